"""A captured record: what could be had, and why the rest could not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlops_sdk.capture.redact import redact_text

REASON_LIMIT = 300


class Record:
    """Values by name; a part that fails costs that part only.

    Examples
    --------
    >>> record = Record()
    >>> record.add("answer", lambda: 42)
    >>> record.add("ratio", lambda: 1 / 0)
    >>> record.to_dict()
    {'answer': 42, 'errors': ['ratio: ZeroDivisionError: division by zero']}

    Notes
    -----
    Not thread-safe: a record belongs to the call that fills it.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._errors: list[str] = []

    def add(self, name: str, take: Callable[[], Any]) -> None:
        """Keep what `take` returns under `name`, or its error."""
        try:
            self._values[name] = take()
        except Exception as error:  # noqa: BLE001 - whatever a platform, a driver or a broken package throws
            self.fail(name, f"{type(error).__name__}: {error}")

    def update(self, name: str, take: Callable[[], dict[str, Any]]) -> None:
        """Keep every value that `take` returns, or its error under `name`."""
        try:
            self._values.update(take())
        except Exception as error:  # noqa: BLE001 - as in `add`
            self.fail(name, f"{type(error).__name__}: {error}")

    def fail(self, name: str, reason: str) -> None:
        """Note why a part is missing; the reason is redacted and cut to 300 characters."""
        self._errors.append(f"{name}: {redact_text(reason)[:REASON_LIMIT]}")

    def to_dict(self) -> dict[str, Any]:
        """What there is; ``"errors"`` only where something failed."""
        return {**self._values, "errors": list(self._errors)} if self._errors else dict(self._values)
