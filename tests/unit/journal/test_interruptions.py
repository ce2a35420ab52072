"""A signal at every instruction of a call that rolls over; `tests/faults/test_interruptions.py` has all the calls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.journal.interruption import CALLS, LOGGED_SOME, Case, interrupt, log_some, sweep
from tests.unit.journal.reading import said_by, said_on_disk

pytestmark = [
    pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage traces already"),
    pytest.mark.timeout(60),  # a deadlock fails here
]


def test_a_handler_that_logs_at_every_place_of_a_point(tmp_path: Path) -> None:
    _, said_by_call = CALLS["point"]
    for journal, before, error in sweep(tmp_path, Case("point"), log_some):
        assert error is None
        found = said_by(journal)
        assert found[: len(before)] == before
        assert sorted(found[len(before) :]) == sorted([*said_by_call, *LOGGED_SOME])
        assert said_on_disk(journal.directory) == found


def test_ctrl_c_at_every_place_of_an_event(tmp_path: Path) -> None:
    _, said_by_call = CALLS["event"]
    for journal, before, error in sweep(tmp_path, Case("event", is_mapped=False), interrupt):
        assert isinstance(error, KeyboardInterrupt)
        log_some(journal)
        found = said_by(journal)
        assert found in ([*before, *LOGGED_SOME], [*before, *said_by_call, *LOGGED_SOME])
        assert said_on_disk(journal.directory) == found
