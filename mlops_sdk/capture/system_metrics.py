"""Load of the machine and of this process, sampled beside the training."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from mlops_sdk.capture.gpu import LIBRARY, GpuSampler

SHORTEST_INTERVAL_S = 0.01
DEFAULT_INTERVAL_S = 10.0
# Between two calls that compute a percentage; psutil asks for at least this.
_PRIMING_S = 0.1


class SystemSampler:
    """Samples system metrics in a thread of its own and hands them on.

    Parameters
    ----------
    interval_s : float
        Between two samples; at least 0.01, else and for what is no number that or the default.
    emit : callable
        Takes the metrics of a sample, float by key (below); called in the sampler's thread.
    gpu_library : str
        Name or path of the library that `GpuSampler` takes.

    Attributes
    ----------
    last_error : BaseException or None
        What went wrong last, in a measurement or in `emit`.

    Notes
    -----
    Keys: ``system/cpu_percent``, ``system/memory_percent``, ``system/load_average_1m`` (and ``_5m``, ``_15m``),
    ``system/disk_percent`` (of the file system of the working directory), ``system/process_cpu_percent`` (100 is one core),
    ``system/process_memory_bytes``, ``system/process_threads``; since the start of the sampler and for the whole machine
    ``system/disk_read_bytes``, ``system/disk_written_bytes``, ``system/network_sent_bytes``,
    ``system/network_received_bytes``; and those of `GpuSampler`. What cannot be measured is missing.

    No method raises, and no failing measurement ends the thread. Thread-safe. In a forked child it counts as stopped; a
    `start` there begins afresh.

    Examples
    --------
    >>> sampler = SystemSampler(emit=run.log_system_metrics)  # doctest: +SKIP
    >>> sampler.start()  # doctest: +SKIP
    >>> sampler.stop(timeout_s=1.0)  # doctest: +SKIP
    """

    def __init__(
        self,
        interval_s: float = DEFAULT_INTERVAL_S,
        *,
        emit: Callable[[dict[str, float]], None],
        gpu_library: str = LIBRARY,
    ) -> None:
        self._interval_s = max(interval_s, SHORTEST_INTERVAL_S) if math.isfinite(interval_s) else DEFAULT_INTERVAL_S
        self._emit = emit
        self._gpu_library = gpu_library
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._pid = os.getpid()
        self.last_error: BaseException | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread is there, in this process."""
        return self._pid == os.getpid() and self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to sample: at once, then each interval. Nothing happens where it runs already."""
        self._renew_after_fork()
        with self._lock:
            if self.is_running:
                return
            self._ended = threading.Event()
            thread = threading.Thread(target=self._run, args=(self._ended,), name="mlops-system", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is ending, or there are too many threads
                self.last_error = error
            else:
                self._thread = thread

    def stop(self, timeout_s: float = 1.0) -> None:
        """End sampling.

        Parameters
        ----------
        timeout_s : float
            How long to wait for a sample that is being taken. The thread ends after it in any case.
        """
        self._renew_after_fork()
        with self._lock:
            thread, self._thread = self._thread, None
        self._ended.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, timeout_s))

    def _renew_after_fork(self) -> None:
        """The thread stayed in the parent, and may have held our locks when it forked."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.Lock()
            self._ended = threading.Event()
            self._thread = None

    def _run(self, ended: threading.Event) -> None:
        metrics, gpu = _Metrics(self._note), GpuSampler(self._gpu_library)
        due = time.monotonic() + min(_PRIMING_S, self._interval_s)
        while not ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval_s, time.monotonic())
            with self._noting():
                self._emit({**metrics.sample(), **gpu.sample()})
        gpu.close()

    def _note(self, error: BaseException) -> None:
        self.last_error = error

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - kept as `last_error`; the thread must not end
            self._note(error)


class _Metrics:
    """psutil's figures; imported and used in the sampler's thread only.

    Parameters
    ----------
    note : callable
        Takes the error of a measurement that failed.
    """

    def __init__(self, note: Callable[[BaseException], None]) -> None:
        self._note = note
        self._baseline: dict[str, float] = {}
        self._psutil: Any = None
        self._process: Any = None
        self._guarded(self._prime)

    def sample(self) -> dict[str, float]:
        """Every figure that can be had."""
        samples: dict[str, float] = {}
        if self._process is None:  # no psutil
            return samples
        for measure in (self._machine, self._load, self._own_process, self._disk, self._traffic):
            samples |= self._guarded(measure)
        return samples

    def _prime(self) -> dict[str, float]:
        import psutil

        self._psutil, self._process = psutil, psutil.Process()
        psutil.cpu_percent(None)  # percentages are since the last call
        self._process.cpu_percent(None)
        self._baseline = self._counters()
        return {}

    def _guarded(self, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        try:
            return measure()
        except Exception as error:  # noqa: BLE001 - kept by the sampler; the other figures are still wanted
            self._note(error)
            return {}

    def _machine(self) -> dict[str, float]:
        return {
            "system/cpu_percent": float(self._psutil.cpu_percent(None)),
            "system/memory_percent": float(self._psutil.virtual_memory().percent),
        }

    def _load(self) -> dict[str, float]:
        if not hasattr(os, "getloadavg"):
            return {}
        return dict(zip((f"system/load_average_{minutes}m" for minutes in (1, 5, 15)), os.getloadavg(), strict=True))

    def _own_process(self) -> dict[str, float]:
        with self._process.oneshot():
            return {
                "system/process_memory_bytes": float(self._process.memory_info().rss),
                "system/process_cpu_percent": float(self._process.cpu_percent(None)),
                "system/process_threads": float(self._process.num_threads()),
            }

    def _disk(self) -> dict[str, float]:
        return {"system/disk_percent": float(self._psutil.disk_usage(os.curdir).percent)}

    def _traffic(self) -> dict[str, float]:
        return {key: max(0.0, value - self._baseline.get(key, value)) for key, value in self._counters().items()}

    def _counters(self) -> dict[str, float]:
        # Without `nowrap`: that is for 32-bit counters, and holds a lock that a fork could leave locked.
        disk = self._psutil.disk_io_counters(nowrap=False)
        network = self._psutil.net_io_counters(nowrap=False)
        counters: dict[str, float] = {}
        if disk is not None:  # none in some containers
            counters["system/disk_read_bytes"] = float(disk.read_bytes)
            counters["system/disk_written_bytes"] = float(disk.write_bytes)
        if network is not None:
            counters["system/network_sent_bytes"] = float(network.bytes_sent)
            counters["system/network_received_bytes"] = float(network.bytes_recv)
        return counters
