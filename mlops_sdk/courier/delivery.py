"""What to send to a store next, and what an answer of it means: the courier's decisions, without a disk, a network, a clock.

So they can be tried a million times in a simulation, with every order of losses and repeats (``crash_lab/simulation.py``).

References
----------
.. [1] ``docs/adr/0004-courier.md``, ``docs/adr/0010-diverged-histories.md``
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from mlops_sdk.courier.diverged import Branch
from mlops_sdk.errors import StoreError

if TYPE_CHECKING:
    from mlops_sdk.errors import DivergedError, SequenceGapError
    from mlops_sdk.journal.records import Batch

After: TypeAlias = "Callable[[int], Batch | None]"
"""The records of a journal behind a sequence number, None when there are none, or they are gone."""


@dataclass(slots=True)
class Delivery:
    """One journal's way into one store.

    Attributes
    ----------
    acknowledged : int
        Sequence number up to which the store has the journal, durably.
    branches : list of Branch
        The store has another history of this journal: what did not agree goes under another writer, and so on.
    opening : Branch or None
        Begun, and not acknowledged yet.
    """

    acknowledged: int = 0
    branches: list[Branch] = field(default_factory=list)
    opening: Branch | None = None
    _sent: Batch | None = None
    _last: int = 0

    def next(self, after: After) -> Batch | None:
        """The batch to append now, None when everything has arrived; ask again when nobody knows what became of it."""
        if self.opening is not None:
            self._sent = self.opening.opening
            return self._sent
        batch = after(self.acknowledged)
        if batch is None:
            return None
        self._last = batch.last
        for branch in self.branches:
            batch = branch.translate(batch)
        self._sent = batch
        return batch

    def accepted(self, sequence: int) -> None:
        """The store has acknowledged what `next` gave, up to `sequence`.

        Raises
        ------
        StoreError
            If that is less than was sent: a store that breaks the contract would be sent the same for ever.
        """
        assert self._sent is not None, "something was sent"
        if sequence < self._sent.last:
            raise StoreError(f"the store took records up to {self._sent.last} and acknowledged {sequence}")
        self._sent = None
        if self.opening is not None:
            self._turn(self.opening)
        else:
            self.acknowledged = self._last  # what the store has beyond came from elsewhere, and was not compared

    def diverged(self, error: DivergedError) -> bool:
        """The store has another history behind some record: what follows branches off; returns whether it can."""
        sent, self._sent = self._sent, None
        if (
            self.opening is not None or sent is None
        ):  # how a branch begins follows from the records: this store is broken
            self.opening = None
            return False
        self.opening = Branch.off(sent, error)
        return self.opening is not None

    def gap(self, after: After, error: SequenceGapError) -> None:
        """The store knows less than it acknowledged (it was replaced): send again what is still here."""
        self.branches.clear()
        self.opening = None
        if error.expected - 1 < self.acknowledged and after(error.expected - 1) is not None:
            self.acknowledged = error.expected - 1

    def _turn(self, branch: Branch) -> None:
        common = branch.common
        for earlier in reversed(self.branches):
            common = earlier.original(common)
        self.branches.append(branch)
        self.opening = None
        self.acknowledged = common
