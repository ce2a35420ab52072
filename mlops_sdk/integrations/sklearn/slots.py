"""Which run a fit goes to: the run itself, or a child; so that params never collide."""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.sklearn.describing import changed_params, title_of

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_of_runs: weakref.WeakKeyDictionary[Run, Slots] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Slots:
    """What went to one run so far."""

    def __init__(self, *, is_attached: bool) -> None:
        self._lock = threading.Lock()
        self._is_attached = is_attached
        self._n = 0
        self._main = ""
        self._kinds: set[str] = set()
        self._prepared: Counter[str] = Counter()

    def take(self, kind: str, signature: str) -> str | None:
        """The child's name, or None for the run itself.

        Parameters
        ----------
        kind : {"fit", "cv"}
        signature : str
            A cross-validation and a fit of the same estimator share the run.

        Notes
        -----
        A worker that was given a run always takes a child: what went to the run before, it cannot know.
        """
        with self._lock:
            if self._is_attached:
                self._n += 1
                return f"fit-{os.getpid()}-{self._n}"
            if self.is_free(kind, signature):
                self._n, self._main = 1, signature
                self._kinds.add(kind)
                return None
            self._n += 1
            return f"fit-{self._n}"

    def is_free(self, kind: str, signature: str) -> bool:
        """Whether this would go to the run itself."""
        return self._n == 0 or (self._n == 1 and self._main == signature and kind not in self._kinds)

    def prepare(self, name: str) -> str:
        """A name for a fit that only prepares data: ``StandardScaler``, ``StandardScaler-2``."""
        with self._lock:
            self._prepared[name] += 1
            count = self._prepared[name]
        return name if count == 1 else f"{name}-{count}"


def slots_of(run: Run) -> Slots:
    """The slots of a run, the same for every block around it."""
    with _lock:
        slots = _of_runs.get(run)
        if slots is None:
            slots = _of_runs[run] = Slots(is_attached=run._is_attached)
        return slots


def signature_of(estimator: Any) -> str:
    """What makes two fits fits of the same thing: class, parts and params."""
    return f"{title_of(estimator)} {sorted(changed_params(estimator).items(), key=lambda item: item[0])!r}"
