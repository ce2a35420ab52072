"""Signals at every instruction: a handler that logs, and Ctrl-C.

The interpreter runs signal handlers behind calls, at the start of functions and where loops turn back. Here every such
place of a call is visited, one after the other, instead of hoping that a timer hits it.
"""

from __future__ import annotations

import dis
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from mlops_sdk.journal import writer
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Kind
from mlops_sdk.journal.writer import Journal, JournalFullError, JournalOptions
from tests.unit.journal.reading import said_by

OURS = str(Path(writer.__file__).parent)
SLOTS = 8
Call = Callable[[Journal], object]
CALLS: dict[str, tuple[Call, list[Any]]] = {
    "point": (lambda journal: journal.point("b", 1.0, 1), [("b", 1, 1.0)]),
    "default step": (lambda journal: journal.point("b", 1.0), [("b", 0, 1.0)]),
    "points": (lambda journal: journal.points({"b": 1.0, "a": 1.0}, 1), [("b", 1, 1.0), ("a", 1, 1.0)]),
    "define": (lambda journal: journal.define("new"), []),
    "event": (lambda journal: journal.event(Kind.TAGS, {"set": {"b": "1"}}), [("TAGS", {"set": {"b": "1"}})]),
}
"""Calls on a journal from `about_to_roll`, and what they say."""
LOGGED_SOME = [("handler", i, float(i)) for i in range(SLOTS + 1)]


def about_to_roll(root: Path, *, is_mapped: bool) -> Journal:
    """A journal whose segment of eight slots is full."""
    options = JournalOptions(is_mapped=is_mapped, first_bytes=HEADER_BYTES + SLOTS * SLOT_BYTES)
    journal = Journal(root, "run", options=options)
    for key in ("a", "b", "handler"):
        journal.define(key)
    while journal.last % SLOTS:
        journal.point("a", 0.0, journal.last)
    return journal


def log_some(journal: Journal) -> None:
    """As a signal handler would; more than a segment, so that it rolls over itself."""
    for i in range(SLOTS + 1):
        journal.point("handler", float(i), i)


def interrupt(_journal: Journal) -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


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
        sys._getframe().f_trace_opcodes = True  # Python 3.12 gives no opcodes unless a frame asked before settrace()
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


class Case(NamedTuple):
    """What is interrupted: a call, in a mode, with or without a spare segment at hand."""

    name: str
    is_mapped: bool = True
    has_spare: bool = False


def sweep(root: Path, case: Case, act: Call) -> Iterator[tuple[Journal, list[Any], BaseException | None]]:
    """Interrupt a call by `act` at every place.

    Yields
    ------
    (journal, before, error)
        A journal for each place; what it said before the call; what the call raised.
    """
    call, _ = CALLS[case.name]
    for at in itertools.count():
        journal = about_to_roll(root, is_mapped=case.is_mapped)
        if case.has_spare:
            journal.prepare_spare()
        before = said_by(journal)
        interruption = Interruption(lambda journal=journal: act(journal), at)  # type: ignore[misc]
        error = interruption.run(lambda journal=journal: call(journal))  # type: ignore[misc]
        if interruption.happened:
            yield journal, before, error
        journal.abandon()  # closes its descriptors, and leaves the files: quicker than removing them
        if not interruption.happened:
            assert at > 15, "the call was not traced"
            return
