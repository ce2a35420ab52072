"""The audit log says who did what, and shows when it was tampered with; what was refused for good is kept."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlops_sdk.cli.program import mlops
from mlops_sdk.errors import StoreCorruptError
from mlops_sdk.journal.editor import edit
from mlops_sdk.journal.records import Batch, Kind
from mlops_sdk.server.audit import FIRST, Audit
from mlops_sdk.server.guard import API
from mlops_sdk.server.limits import Limits
from mlops_sdk.server.quarantine import Quarantine
from mlops_sdk.stores.http import wire
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.testing import WriterScript
from tests.server.running import Running, server
from tests.server.test_door import ask


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with server(MemoryStore(), tmp_path / "server", limits=Limits(failures_s=60.0)) as running:
        yield running


def said(running: Running) -> list[tuple[str, str, str]]:
    return [(each.actor, each.action, each.subject) for each in Audit(running.tokens.path.parent).entries()]


def test_who_did_what(running: Running) -> None:
    store = HTTPStore(running.uri, token=running.tokens.create("ada", "admin")[1])
    run = WriterScript("r").run()
    store.append(run.batch())
    store.append(run.points("loss", [1.0]).batch())  # going on is no news
    store.append(edit("r", (Kind.TRASH, {"deleted": True}), (Kind.TAGS, {"set": {"a": "b"}, "delete": []})))
    store.append(edit("", (Kind.EXPERIMENT, {"name": "x", "deleted": True})))
    digest = store.blobs.put_bytes(b"bytes").sha256
    store.blobs.remove(digest)
    for _ in range(5):
        ask(running.port, "GET", f"{API}/hello", [("Host", "localhost"), ("Authorization", "Bearer guess")])
    assert said(running) == [
        ("name:ada", "run.write", "r"),
        ("name:ada", "run.trash", "r"),
        ("name:ada", "run.tag", "r"),
        ("name:ada", "experiment.change", "x"),
        ("name:ada", "blob.delete", digest),
        ("address:127.0.0.1", "refused.token", f"{API}/hello"),  # once: a guesser does not fill the disk
    ]
    detail = json.loads(Audit(running.tokens.path.parent).entries(last=1)[0].detail)
    assert detail["client"] == "127.0.0.1"
    assert detail["request_id"]
    assert not any("guess" in each.detail for each in Audit(running.tokens.path.parent).entries())


def test_what_is_in_the_log_cannot_be_changed_unseen(tmp_path: Path) -> None:
    log = Audit(tmp_path)
    assert log.verify().head == FIRST
    for number in range(5):
        log.add("name:ada", "run.write", f"r{number}", {"n": number})
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o600
    noted = log.verify()
    assert (noted.count, noted.problems) == (5, [])
    connection = sqlite3.connect(log.path, isolation_level=None)
    for statement in ("UPDATE audit SET actor = 'name:bob'", "DELETE FROM audit WHERE number = 5"):
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            connection.execute(statement)
    connection.execute("DROP TRIGGER audit_stays")
    connection.execute("DROP TRIGGER audit_keeps")
    connection.execute("UPDATE audit SET actor = 'name:bob' WHERE number = 3")
    assert log.verify().problems == ["entry 3 was changed"]
    connection.execute("UPDATE audit SET actor = 'name:ada' WHERE number = 3")
    assert log.verify().problems == []
    connection.execute("DELETE FROM audit WHERE number = 5")
    assert log.verify().problems == ["1 entries were cut off the end"]
    connection.execute("UPDATE sqlite_sequence SET seq = 4")
    assert log.verify().problems == [], "whoever may write the file can cut its end off"
    assert "cut off" in log.verify(noted=noted.head).problems[0], "and a hash that was noted elsewhere shows it"
    connection.execute("DELETE FROM audit WHERE number = 2")
    assert log.verify().problems == ["entry 2 is missing"]
    connection.close()


def test_threads_and_other_processes_add_to_one_chain(tmp_path: Path) -> None:
    logs = [Audit(tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=lambda log=log: [log.add("a", "b") for _ in range(10)]) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (logs[0].verify().count, logs[0].verify().problems) == (40, [])


def test_a_long_or_odd_subject_is_kept_within_bounds(tmp_path: Path) -> None:
    log = Audit(tmp_path)
    log.add("name:" + "x" * 10_000, "run.write", "\ud800" + "y" * 10_000, {"much": "z" * 100_000})
    assert log.verify().problems == []
    assert len(log.entries()[0].detail) < 5_000


def test_mlops_audit_reads_and_verifies(tmp_path: Path) -> None:
    from mlops_sdk.stores.sqlite.store import SQLiteStore

    SQLiteStore(tmp_path / "store").close()
    place = ["--store", str(tmp_path / "store")]
    run = CliRunner().invoke
    run(mlops, ["init", str(tmp_path / "store")])
    made = run(mlops, ["token", "create", "--name", "ada", "--experiment", "x", *place])
    assert made.exit_code == 0, made.output
    listed = run(mlops, ["token", "list", *place])
    assert "only x" in listed.output
    told = run(mlops, ["audit", *place])
    assert "token.create" in told.output
    assert made.output.split()[-1] not in told.output
    verified = run(mlops, ["audit", "--verify", *place])
    assert verified.exit_code == 0
    assert "1 entry, all in their place" in verified.output
    assert run(mlops, ["audit", "--verify", "--noted", "f" * 64, *place]).exit_code == 1
    assert json.loads(run(mlops, ["audit", "--json", *place]).output)[0]["action"] == "token.create"


# -- quarantine --------------------------------------------------------------------------------------------------------


def test_a_batch_that_can_never_be_applied_is_kept_once_and_told(running: Running) -> None:
    store = HTTPStore(running.uri, token=running.secret)
    good = WriterScript("r").run().points("loss", [1.0] * 5).batch()
    bad = Batch(good.writer, good.first, good.data[:-4] + b"oops")
    for _ in range(3):
        with pytest.raises(StoreCorruptError):
            store.append(bad)
    headers = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}")]
    status, answer = ask(running.port, "GET", f"{API}/quarantine", headers)
    assert status == 200
    (about,) = wire.loads(answer.partition(b"\r\n\r\n")[2])
    assert about["times"] == 3
    assert (about["principal"], about["code"], about["run_id"]) == ("name:test", "corrupt", "r")
    directory = running.tokens.path.parent / "quarantine"
    kept = directory / f"{about['id']}.batch"
    assert wire.decode_batch(kept.read_bytes()) == bad
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert store.append(good) == good.last
    ahead = WriterScript("s").run().run().batches(1)[1]
    with pytest.raises(Exception, match="waits for record"):
        store.append(ahead)
    assert len(list(directory.glob("*.batch"))) == 1, "a gap is no fault of the batch"


def test_the_quarantine_is_bounded(tmp_path: Path) -> None:
    kept = Quarantine(tmp_path / "q", most_bytes=1000, most_batches=3)
    names = [kept.keep(bytes([n]) * 100, principal="p", code="c", reason="r") for n in range(5)]
    assert [name is not None for name in names] == [True, True, True, False, False]
    assert kept.dropped == 2
    assert [each["id"] for each in kept.listed()] == names[:3], "the earliest stay"
    assert kept.keep(bytes([0]) * 100, principal="p", code="c", reason="r") == names[0]
    small = Quarantine(tmp_path / "s", most_bytes=50, most_batches=3)
    assert small.keep(b"x" * 100, principal="p", code="c", reason="r") is None
    (tmp_path / "q" / "ffff.json").write_text("no JSON")
    assert len(kept.listed()) == 3
