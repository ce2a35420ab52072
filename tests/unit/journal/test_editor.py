"""Changes from outside a run."""

from __future__ import annotations

import os
import time

from mlops_sdk.journal.editor import edit
from mlops_sdk.journal.records import Kind, decode


def test_an_edit_is_a_batch_of_a_writer_of_its_own() -> None:
    before = time.time_ns()
    one = edit("run", (Kind.TAGS, {"set": {"a": "b"}}), (Kind.TRASH, {"deleted": True}))
    other = edit("run", (Kind.TAGS, {"set": {"a": "b"}}))
    after = time.time_ns()
    assert one.writer.writer_id != other.writer.writer_id
    assert (one.first, one.writer.run_id, one.writer.role, one.writer.pid) == (1, "run", "editor", os.getpid())
    events = decode(one).events
    assert [(event.kind, event.payload) for event in events] == [
        (Kind.TAGS, {"set": {"a": "b"}}),
        (Kind.TRASH, {"deleted": True}),
    ]
    assert all(before <= event.time_ns <= after for event in events)
