"""A captured record: what could be had, and why the rest could not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

REASON_LIMIT = 300

T = TypeVar("T")


class Record:
    """Values by name; a part that fails costs that part only, and its reason is kept, redacted and short.

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

    def take(self, name: str, take: Callable[[], T]) -> T | None:
        """What `take` returns, not kept yet; None where it failed, with its error kept under `name`."""
        try:
            return take()
        except Exception as error:  # noqa: BLE001 - whatever a platform, a driver or a broken package throws
            from mlops_sdk.capture.redact import redact_text  # its patterns take long to compile: not for `start_run`

            self._errors.append(f"{name}: {redact_text(f'{type(error).__name__}: {error}')[:REASON_LIMIT]}")
            return None

    def add(self, name: str, take: Callable[[], Any]) -> None:
        """Keep what `take` returns under `name`, or its error."""
        self.update(name, lambda: {name: take()})

    def update(self, name: str, take: Callable[[], Mapping[str, Any]]) -> None:
        """Keep every value that `take` returns, or its error under `name`."""
        self._values.update(self.take(name, take) or {})

    def to_dict(self) -> dict[str, Any]:
        """What there is; ``"errors"`` only where something failed."""
        return {**self._values, "errors": list(self._errors)} if self._errors else dict(self._values)
