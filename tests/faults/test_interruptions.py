"""A signal at every instruction of every call that rolls over, in both modes: nothing lost, doubled or stuck."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.journal import reader
from mlops_sdk.journal.writer import Journal, JournalFullError
from tests.unit.journal.interruption import (
    CALLS,
    LOGGED_SOME,
    Case,
    Interruption,
    about_to_roll,
    interrupt,
    log_some,
    sweep,
)
from tests.unit.journal.reading import batches_of, said_by, said_on_disk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage traces already"),
    pytest.mark.timeout(60),  # a deadlock fails here
]

CASES = [
    *(Case(name) for name in CALLS),
    Case("point", has_spare=True),
    Case("define", has_spare=True),
    Case("point", is_mapped=False),
    Case("event", is_mapped=False, has_spare=True),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def count(items: Iterable[Any]) -> Counter[str]:
    return Counter(map(repr, items))


@each_case
def test_a_handler_that_logs_at_every_place(case: Case, tmp_path: Path) -> None:
    """What the handler logged and what it interrupted are both there, once; nothing deadlocks."""
    _, said_by_call = CALLS[case.name]
    for journal, before, error in sweep(tmp_path, case, log_some):
        assert error is None
        journal.define("new")
        journal.point("new", 2.0, 2)
        found = said_by(journal)
        assert found[: len(before)] == before
        assert count(found[len(before) :]) == count([*said_by_call, *LOGGED_SOME, ("new", 2, 2.0)])
        assert said_on_disk(journal.directory) == found


@each_case
def test_ctrl_c_at_every_place(case: Case, tmp_path: Path) -> None:
    """The interrupted record is there or not; everything before is, and everything after."""
    _, said_by_call = CALLS[case.name]
    for journal, before, error in sweep(tmp_path, case, interrupt):
        assert isinstance(error, KeyboardInterrupt)
        log_some(journal)
        journal.define("new")
        journal.point("new", 2.0, 2)
        found = said_by(journal)
        after = [*LOGGED_SOME, ("new", 2, 2.0)]
        assert found[: len(before)] == before
        assert found[-len(after) :] == after
        assert found[len(before) : -len(after)] in ([], said_by_call)
        assert said_on_disk(journal.directory) == found
        assert journal.last == sum(batch.count for batch in batches_of(journal))


@pytest.mark.parametrize("is_mapped", [True, False], ids=["mapped", "appended"])
def test_ctrl_c_again_and_again(tmp_path: Path, is_mapped: bool) -> None:
    """Somebody keeps pressing: each call is interrupted, one place further each time, on the same journal."""
    journal = about_to_roll(tmp_path, is_mapped=is_mapped)
    before = said_by(journal)
    for at in range(150):
        Interruption(lambda: interrupt(journal), at % 50).run(lambda: journal.point("b", 1.0, 1))
    log_some(journal)
    found = said_by(journal)
    assert found[: len(before)] == before
    assert found[-len(LOGGED_SOME) :] == LOGGED_SOME
    assert set(found[len(before) : -len(LOGGED_SOME)]) <= {("b", 1, 1.0)}
    assert said_on_disk(journal.directory) == found
    journal.remove()


@pytest.mark.parametrize("case", [Case("point"), Case("point", is_mapped=False)], ids=str)
def test_a_handler_that_logs_while_there_is_no_room(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is kept or counted."""

    def refuse(_journal: Journal, _need: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def log_one(journal: Journal) -> None:
        with contextlib.suppress(JournalFullError):
            journal.point("handler", 1.0, 1)

    monkeypatch.setattr(Journal, "_take_spare", refuse)
    for journal, before, _ in sweep(tmp_path, case, log_one):
        assert len(said_by(journal)) + journal.dropped == len(before) + 2
        assert reader.recover(journal.directory).dropped == journal.dropped
