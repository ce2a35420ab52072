"""What goes wrong after a run has started: counted, said once per cause, raised only when strict."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable

from mlops_sdk._logging import warn
from mlops_sdk.errors import MlopsError
from mlops_sdk.values.describing import text_of

_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")
_MOST_SAID = 20
"""Different messages of one type of error that are said; then it is only counted."""


class Troubles:
    """Counts by the type of the error; says each cause once, a cause being a message whatever names and numbers are in it.

    Parameters
    ----------
    label : str
        The run, as messages name it.
    is_strict : bool
        Raise instead.
    record : callable, optional
        Called with (cause, count, message) the first time and at each power of two: the store shows it too.
    """

    def __init__(self, label: str, *, is_strict: bool, record: Callable[[str, int, str], None] | None = None) -> None:
        self.label = label
        self.is_strict = is_strict
        self.counts: Counter[str] = Counter()
        self.messages: dict[str, str] = {}
        self._record = record
        self._said: dict[str, set[str]] = {}
        self._lock = threading.RLock()

    def report(self, error: Exception, *, key: str | None = None) -> None:
        """Count an error; raise it when strict.

        Parameters
        ----------
        error : Exception
        key : str, optional
            The name it happened at.
        """
        if self.is_strict:
            raise error
        message = words_of(error)
        is_named = not isinstance(key, str) or key in message or getattr(error, "key", None) is not None
        self.count(type(error).__name__, message if is_named else f"{key}: {message}")

    def count(self, cause: str, message: str) -> None:
        """Count without raising: a warning."""
        with self._lock:
            self.counts[cause] += 1
            count = self.counts[cause]
            self.messages.setdefault(cause, message)
            said = self._said.setdefault(cause, set())
            kind = _VARIABLE.sub("", message[:500])
            is_new = len(said) < _MOST_SAID and kind not in said
            if is_new:
                said.add(kind)
        if is_new:
            warn("mlops_sdk: run %s: %s (said once; run.health() counts)", self.label, message)
        if count & (count - 1) == 0 and self._record is not None:
            self._record(cause, count, self.messages[cause])

    @property
    def total(self) -> int:
        """All that was counted."""
        return sum(self.counts.values())


def words_of(error: BaseException) -> str:
    """An error in words; the errors of users' objects may not even have a text."""
    return text_of(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {text_of(error)}"
