"""What every part of the contract suite stands on."""

from __future__ import annotations

import stat
import uuid
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from mlops_sdk.entities import Part, RunHead, RunQuery, WriterState
from mlops_sdk.testing.batches import Clock, WriterScript
from mlops_sdk.testing.observing import differences, observe

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

NAMES = [
    "loss",
    "Loss",
    "lo ss ",
    " loss",
    "caf\u00e9",  # composed
    "cafe\u0301",  # its twin, decomposed
    "\u635f\u5931",
    "\u043f\u043e\u0442\u0435\u0440\u044f",
    "\u062e\u0633\u0627\u0631\u0629",
    "\U0001f525",
    "val/loss",
    "../x",
    "..\\x",
    "C:\\x",
    "/etc/passwd",
    "~root",
    ".",
    "CON",
    "aux.txt.",
    "%",
    "_",
    "%2e%2e",
    "a'b\"c`d;--",
    "\t\r\n",
    "\x01\x1b[31m",
    "\u202etxt",
    "a\u200bb",
    "\uff0e\uff0e\uff0f",
    "\ufb00",
    "null",
    "1.0",
    "x" * 1024,
    "\u00e9" * 512,
]
"""Names of every script and length; all are different."""


class StoreCase:
    """Base of the contract suite: how to open the store under test, and what it can do.

    Attributes
    ----------
    survives_reopen : bool
        A store opened again at the same place has what it had. False for stores that live in memory.
    detects_blob_damage : bool
        `damage_blob` works, and `blobs.path` notices.
    """

    survives_reopen = True
    detects_blob_damage = True

    def open_store(self, tmp_path: Path) -> Store:
        """Open the store of the directory `tmp_path`, which is there: a new one at first, later the same again."""
        raise NotImplementedError("define open_store(self, tmp_path) -> Store")

    def damage_blob(self, store: Store, sha256: str) -> None:
        """Change a byte of a blob behind the store's back."""
        path = store.blobs.path(sha256, verify=False)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A new, empty store."""
        directory = tmp_path / "store"
        directory.mkdir()
        store = self.open_store(directory)
        yield store
        store.close()

    @pytest.fixture
    def clock(self) -> Clock:
        """One clock for all writers of a test."""
        return Clock()


def started(store: Store, run_id: str = "run-1", writer_id: str | None = None, **options: Any) -> WriterScript:
    """A writer whose RUN the store has; `options` are of `WriterScript`, and of RUN what is not."""
    header = {name: options.pop(name) for name in ("clock", "role", "rank") if name in options}
    script = WriterScript(run_id, writer_id, **header).run(**options)
    script.send(store)
    return script


def copy_of(script: WriterScript) -> WriterScript:
    """The same writer with the same history, to go on in another way."""
    copy = WriterScript(script.header.run_id, clock=Clock(script.clock.now_ns + 7))
    copy.__dict__ |= {name: deepcopy(value) for name, value in script.__dict__.items() if name != "clock"}
    return copy


def edit(store: Store, run_id: str, kind: int, payload: Any, *, clock: Clock | None = None) -> None:
    """Change a run from outside, as an editor that exists for this change only."""
    clock = clock or Clock()
    script = WriterScript(run_id, f"editor {kind} {uuid.uuid4().hex}", role="editor", clock=clock)
    script.event(kind, payload).send(store)


def head(store: Store, run_id: str = "run-1") -> RunHead:
    """The row of a run, in the trash or not."""
    (found,) = store.find(RunQuery(run_ids=(run_id,), deleted=None))
    return found


def part(store: Store, name: str, run_id: str = "run-1") -> Any:
    """One field of a run's `RunParts`, loaded as the part it belongs to."""
    asked = cast(Part, {"config": "params", "definitions": "metrics"}.get(name, name))
    return getattr(store.load([run_id], [asked])[run_id], name)


def known(store: Store, script: WriterScript) -> WriterState:
    """What the store knows of a writer."""
    state = store.acknowledged(script.header.writer_id)
    assert state is not None
    return state


def ids(store: Store, **query: Any) -> list[str]:
    """Ids of the runs that fit a query, in order."""
    return [found.run_id for found in store.find(RunQuery(**query))]


def assert_same(expected: Store, found: Store) -> None:
    """Two stores tell their readers the same."""
    assert differences(observe(expected), observe(found)) == []
