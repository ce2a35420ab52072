"""Signals at every instruction: a handler that logs, and Ctrl-C.

The interpreter runs signal handlers behind calls, at the start of functions and where loops turn back. These tests visit
every such place of a call, one after the other, instead of hoping that a timer hits them.
"""

from __future__ import annotations

import contextlib
import dis
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from mlops_sdk.journal import reader, writer
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Kind
from mlops_sdk.journal.writer import Journal, JournalFullError, JournalOptions
from tests.unit.journal.reading import batches_of, said_by, said_on_disk

OURS = str(Path(writer.__file__).parent)
SLOTS = 8
SMALL = HEADER_BYTES + SLOTS * SLOT_BYTES

pytestmark = [
    pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage traces already"),
    pytest.mark.timeout(60),  # a deadlock fails here
]


class Interruption:
    """Calls `act` at the n-th place of a traced call where a signal handler could run.

    Only our own code is traced: what happens inside the standard library looks the same to it.

    Parameters
    ----------
    act : callable
    at : int
        Number of the place, from 0.

    Attributes
    ----------
    happened : bool
        False when the call had fewer places.
    """

    def __init__(self, act: Callable[[], object], at: int) -> None:
        self.happened = False
        self._act = act
        self._places_left = at
        self._opcodes: dict[CodeType, dict[int, str]] = {}
        self._is_behind_call: set[FrameType] = set()

    def run(self, call: Callable[[], object]) -> BaseException | None:
        """Run `call`; returns what it raised."""
        sys.settrace(self._enter)
        try:
            call()
        except (KeyboardInterrupt, JournalFullError) as error:
            return error
        finally:
            sys.settrace(None)
        return None

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self._is_behind_call.add(frame)  # the start of a function is such a place
        return self._trace

    def _trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "opcode" and not self.happened:
            name = self._name(frame)
            if frame in self._is_behind_call or name.startswith("JUMP_BACKWARD"):
                self._visit()
            (self._is_behind_call.add if name.startswith("CALL") else self._is_behind_call.discard)(frame)
        return self._trace

    def _name(self, frame: FrameType) -> str:
        code = frame.f_code
        if code not in self._opcodes:
            self._opcodes[code] = {each.offset: each.opname for each in dis.get_instructions(code)}
        return self._opcodes[code][frame.f_lasti]

    def _visit(self) -> None:
        self._places_left -= 1
        if self._places_left < 0:
            self.happened = True
            sys.settrace(None)
            self._act()


@pytest.fixture(params=["mapped", "appended"])
def new_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Journal]]:
    """Makes a journal with a full segment of eight slots, so that the next record rolls over."""
    made: list[Journal] = []

    def make() -> Journal:
        options = JournalOptions(is_mapped=request.param == "mapped", first_bytes=SMALL)
        journal = Journal(tmp_path, "run", options=options)
        for key in ("a", "b", "handler"):
            journal.define(key)
        while journal.last % SLOTS:
            journal.point("a", 0.0, journal.last)
        made.append(journal)
        return journal

    yield make
    for journal in made:
        journal.leave()


Call = Callable[[Journal], object]
CALLS: dict[str, tuple[Call, list[Any]]] = {
    "point": (lambda journal: journal.point("b", 1.0, 1), [("b", 1, 1.0)]),
    "default step": (lambda journal: journal.point("b", 1.0), [("b", 0, 1.0)]),
    "points": (lambda journal: journal.points({"b": 1.0, "a": 1.0}, 1), [("b", 1, 1.0), ("a", 1, 1.0)]),
    "define": (lambda journal: journal.define("new"), []),
    "event": (lambda journal: journal.event(Kind.TAGS, {"set": {"b": "1"}}), [("TAGS", {"set": {"b": "1"}})]),
}
"""Calls that roll over, and what they say."""


def sweep(
    new_journal: Callable[[], Journal], call: Callable[[Journal], object], act: Callable[[Journal], object]
) -> Iterator[tuple[Journal, list[Any], BaseException | None]]:
    """Interrupt `call` by `act` at every place, with and without a spare segment.

    Yields
    ------
    (journal, before, error)
        A journal for each place; what it said before the call; what the call raised.
    """
    for has_spare in (False, True):
        for at in itertools.count():
            journal = new_journal()
            if has_spare:
                journal.prepare_spare()
            before = said_by(journal)
            interruption = Interruption(lambda journal=journal: act(journal), at)  # type: ignore[misc]
            error = interruption.run(lambda journal=journal: call(journal))  # type: ignore[misc]
            if not interruption.happened:
                assert at > 15, "the call was not traced"
                break
            yield journal, before, error
            journal.abandon()  # closes its descriptors, and leaves the files: quicker than removing them


def interrupt(_journal: Journal) -> None:
    raise KeyboardInterrupt


def log_some(journal: Journal) -> None:
    """As a signal handler would; more than a segment, so that it rolls over itself."""
    for i in range(SLOTS + 1):
        journal.point("handler", float(i), i)


LOGGED_SOME = [("handler", i, float(i)) for i in range(SLOTS + 1)]


def count(items: Iterable[Any]) -> Counter[str]:
    return Counter(map(repr, items))


@pytest.mark.parametrize("name", CALLS)
def test_a_handler_that_logs_at_every_place(name: str, new_journal: Callable[[], Journal]) -> None:
    """What the handler logged and what it interrupted are both there, once; nothing deadlocks."""
    call, said_by_call = CALLS[name]
    for journal, before, error in sweep(new_journal, call, log_some):
        assert error is None
        journal.define("new")
        journal.point("new", 2.0, 2)
        found = said_by(journal)
        assert found[: len(before)] == before
        assert count(found[len(before) :]) == count([*said_by_call, *LOGGED_SOME, ("new", 2, 2.0)])
        assert said_on_disk(journal.directory) == found


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_at_every_place(name: str, new_journal: Callable[[], Journal]) -> None:
    """The interrupted record is there or not; everything before is, and everything after."""
    call, said_by_call = CALLS[name]
    for journal, before, error in sweep(new_journal, call, interrupt):
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


def test_ctrl_c_again_and_again(new_journal: Callable[[], Journal]) -> None:
    """Somebody keeps pressing: each call is interrupted, one place further each time, on the same journal."""
    journal = new_journal()
    before = said_by(journal)
    for at in range(150):
        Interruption(lambda: interrupt(journal), at % 50).run(lambda: journal.point("b", 1.0, 1))
    log_some(journal)
    found = said_by(journal)
    assert found[: len(before)] == before
    assert found[-len(LOGGED_SOME) :] == LOGGED_SOME
    assert set(found[len(before) : -len(LOGGED_SOME)]) <= {("b", 1, 1.0)}
    assert said_on_disk(journal.directory) == found


def test_a_handler_that_logs_while_there_is_no_room(new_journal: Callable[[], Journal]) -> None:
    """Each record is kept or counted."""

    def call(journal: Journal) -> None:
        journal.options.quota_bytes = 1
        journal.point("b", 1.0, 1)

    def log_one(journal: Journal) -> None:
        with contextlib.suppress(JournalFullError):
            journal.point("handler", 1.0, 1)

    for journal, before, _ in sweep(new_journal, call, log_one):
        assert len(said_by(journal)) + journal.dropped == len(before) + 2
        assert reader.recover(journal.directory).dropped == journal.dropped
