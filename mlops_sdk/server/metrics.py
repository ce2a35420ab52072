"""Counts of the server in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import Counter


class Metrics:
    """What the server counts. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()

    def request(self, method: str, status: int, took_s: float) -> None:
        """A request was answered."""
        method = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE") else "other"
        with self._lock:
            self._requests[method, status] += 1
            self._seconds[method] += took_s  # type: ignore[assignment]  # seconds add up as counts do

    def add(self, name: str, amount: int = 1) -> None:
        """Something happened: ``batches``, ``record_slots``, ``refused_batches``."""
        with self._lock:
            self._totals[name] += amount

    def text(self, *, waiting_bytes: int) -> str:
        """All of it, as `/metrics` answers."""
        with self._lock:
            lines = ["# TYPE mlops_requests_total counter"]
            for (method, status), count in sorted(self._requests.items()):
                lines.append(f'mlops_requests_total{{method="{method}",status="{status}"}} {count}')
            lines.append("# TYPE mlops_request_seconds_total counter")
            for method, seconds in sorted(self._seconds.items()):
                lines.append(f'mlops_request_seconds_total{{method="{method}"}} {seconds:.6f}')
            for name, count in sorted(self._totals.items()):
                lines += [f"# TYPE mlops_{name}_total counter", f"mlops_{name}_total {count}"]
        lines += ["# TYPE mlops_waiting_bytes gauge", f"mlops_waiting_bytes {waiting_bytes}"]
        return "\n".join(lines) + "\n"
