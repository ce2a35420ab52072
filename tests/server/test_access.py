"""What a token opens: its principal's writers, and the experiments that it is bound to, for reading and for writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.conditions import Compare, Field, Not
from mlops_sdk.entities import PARTS, RunQuery
from mlops_sdk.errors import AccessDeniedError, ArtifactNotFoundError, InvalidValueError
from mlops_sdk.journal.editor import edit
from mlops_sdk.journal.records import Kind
from mlops_sdk.server.tokens import Tokens
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript
from tests.server.running import Running, server


@pytest.fixture(params=["memory", "sqlite"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    store: Any = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "store")
    with server(store, tmp_path / "server") as running:
        yield running
    store.close()


def user(running: Running, name: str, role: str = "writer", *experiments: str) -> HTTPStore:
    token, secret = running.tokens.create(name, role, experiments=experiments)
    return HTTPStore(running.uri, token=secret, cache=running.tokens.path.parent / token.id)


def script(run_id: str, experiment: str, **header: Any) -> WriterScript:
    return WriterScript(run_id, f"writer of {run_id} {header.get('role', '')}", **header).run(experiment=experiment)


# -- principals --------------------------------------------------------------------------------------------------------


def test_nobody_goes_on_with_a_writer_of_somebody_else(running: Running) -> None:
    ada, bob, admin = user(running, "ada"), user(running, "bob"), user(running, "root", "admin")
    run = script("r", "x").points("loss", [1.0] * 10)
    first, second, third = run.batches(4, 4)
    assert ada.append(first) == first.last
    for batch in (first, second, third):  # the same again, what follows, what leaves a gap
        with pytest.raises(AccessDeniedError, match="another token"):
            bob.append(batch)
    with pytest.raises(AccessDeniedError):
        bob.acknowledged(first.writer.writer_id)
    assert bob.acknowledged("nobody") is None
    assert ada.append(second) == second.last
    assert user(running, "ada").append(third) == third.last, "a new token of the same name stands for the same user"
    state = admin.acknowledged(first.writer.writer_id)
    assert state is not None
    assert state.sequence == run.last
    run.batch()
    assert admin.append(run.points("loss", [2.0]).batch()) == run.last, "an admin may go on with everybody's"
    assert ada.append(run.points("loss", [3.0]).batch()) == run.last, "which takes nothing from whom it belongs to"


def test_whose_a_writer_is_outlives_the_server(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store")
    run = script("r", "x")
    with server(store, tmp_path / "server") as running:
        user(running, "ada").append(run.batch())
    run.points("loss", [1.0])
    with server(store, tmp_path / "server") as running:
        with pytest.raises(AccessDeniedError):
            user(running, "bob").append(run.between(1, run.last))
        assert user(running, "ada").append(run.batch()) == run.last
    store.close()


def test_writers_of_the_servers_own_machine_are_nobodys_to_go_on_with(running: Running) -> None:
    run = script("r", "x")
    running.store.append(run.batch())
    with pytest.raises(AccessDeniedError):
        user(running, "ada").append(run.points("loss", [1.0]).batch())
    assert user(running, "", "admin").append(run.between(1, run.last)) == run.last


def test_only_ones_own_writers_are_declared_dead(running: Running) -> None:
    ada, bob = user(running, "ada"), user(running, "bob")
    run = script("r", "x")
    ada.append(run.batch())
    lost = {"writer": run.header.writer_id, "status": "KILLED", "end_reason": "lost:process", "dropped": 0}
    with pytest.raises(AccessDeniedError):
        bob.append(edit("r", (Kind.LOST, lost)))
    assert running.store.find(RunQuery())[0].status == "RUNNING"
    ada.append(edit("r", (Kind.LOST, lost)))
    assert running.store.find(RunQuery())[0].status == "KILLED"


# -- experiments -------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(running: Running) -> Running:
    admin = user(running, "root", "admin")
    for name in ("open", "shut"):
        blob = admin.blobs.put_bytes(name.encode() * 100)
        run = script(f"run {name}", name).params({f"param {name}": 1}).tags(**{f"tag {name}": "x"})
        run.points(f"metric {name}", [1.0, 2.0])
        run.event(Kind.DATASET, {"name": "d", "context": f"context {name}", "digest": "0" * 64})
        artifact = {"path": "a", "sha256": blob.sha256, "size_bytes": blob.size_bytes, "media_type": "text/plain"}
        admin.append(run.event(Kind.ARTIFACT, {**artifact, "step": None, "metadata": {}}).batch())
    admin.append(script("child", "shut").event(Kind.INFO, {}).batch())
    admin.append(WriterScript("child of open").run(experiment="shut", parent="run open").batch())
    return running


def test_a_bound_token_reads_its_experiments_and_nothing_else(filled: Running) -> None:
    bound, admin = user(filled, "eve", "reader", "open"), user(filled, "root", "admin")
    shut = next(digest for digest in admin.blobs.digests() if admin.blobs.path(digest).read_bytes().startswith(b"shut"))
    everything = Not(Compare(Field("attribute", "run_id"), "=", "nobody"))
    for query in (
        RunQuery(),
        RunQuery(deleted=None),
        RunQuery(where=everything),
        RunQuery(run_ids=("run open", "run shut")),
    ):
        assert [head.run_id for head in bound.find(query)] == ["run open"]
    for query in (RunQuery(experiment="shut"), RunQuery(id_like="run shut"), RunQuery(parent="run open")):
        assert bound.find(query) == []
    loaded = bound.load(["run open", "run shut"], PARTS)
    assert list(loaded) == ["run open"]
    assert loaded["run open"].children == []
    assert list(admin.load(["run open"], PARTS)["run open"].children) == ["child of open"]
    assert bound.series("run open", "metric open").value.tolist() == [1.0, 2.0]
    for run_id in ("run shut", "no such run"):  # in the same words
        with pytest.raises(AccessDeniedError, match="opens only what belongs to: open"):
            bound.series(run_id, "metric shut")
    assert [each.name for each in bound.experiments()] == ["open"]
    for kind, key in (("params", "param"), ("tags", "tag"), ("metrics", "metric"), ("datasets", "context")):
        assert bound.keys(kind) == [f"{key} open"]
        assert admin.keys(kind) == [f"{key} open", f"{key} shut"]
    assert len(list(bound.blobs.digests())) == 1
    assert not bound.blobs.has(shut)
    with pytest.raises(ArtifactNotFoundError):
        bound.blobs.path(shut)
    (mine,) = bound.blobs.digests()
    assert bound.blobs.has(mine)
    assert bound.blobs.path(mine).read_bytes() == b"open" * 100


def test_a_bound_token_writes_into_its_experiments_and_nowhere_else(filled: Running) -> None:
    bound = user(filled, "eve", "writer", "open", "mine")
    for batch in (
        script("new", "shut").batch(),
        WriterScript("new").run().batch(),  # "default"
        WriterScript("run shut", "x1", role="attached").run().batch(),
        WriterScript("run shut", "x2").run(experiment="open").batch(),  # named otherwise, the run is the same
        WriterScript("new", "x3").points("loss", [1.0]).batch(),  # of a run that nobody knows
        WriterScript("run open", "x5").run(experiment="shut").batch(),  # would move it when it has no owner
        edit("run shut", (Kind.TRASH, {"deleted": True})),
        edit("run shut", (Kind.TAGS, {"set": {"a": "b"}, "delete": []})),
        edit("run open", (Kind.INFO, {"experiment": "shut"})),
        edit("", (Kind.EXPERIMENT, {"name": "shut", "deleted": True})),
    ):
        with pytest.raises(AccessDeniedError, match="opens only"):
            bound.append(batch)
    with pytest.raises(AccessDeniedError):
        bound.settle("run shut")
    assert sorted(head.run_id for head in filled.store.find(RunQuery(experiment="shut"))) == [
        "child",
        "child of open",
        "run shut",
    ]
    for batch in (
        script("new", "mine").points("loss", [1.0]).batch(),
        WriterScript("run open", "x4", role="attached").run().points("loss", [2.0]).batch(),
        edit("run open", (Kind.INFO, {"experiment": "mine"})),
        edit("run open", (Kind.TAGS, {"set": {"a": "b"}, "delete": []})),
        edit("", (Kind.EXPERIMENT, {"name": "mine", "deleted": False})),
    ):
        assert bound.append(batch) == batch.last
    bound.settle("new")
    assert {head.run_id for head in filled.store.find(RunQuery(experiment="mine"))} == {"new", "run open"}


def test_an_artifact_is_in_reach_once_a_run_in_reach_names_it(filled: Running) -> None:
    bound = user(filled, "eve", "writer", "mine")
    blob = bound.blobs.put_bytes(b"of my own" * 50)
    assert not bound.blobs.has(blob.sha256), "whoever has the bytes may send them; that they are there is not said"
    artifact = {"path": "a", "sha256": blob.sha256, "size_bytes": blob.size_bytes, "media_type": "text/plain"}
    run = script("new", "mine").event(Kind.ARTIFACT, {**artifact, "step": None, "metadata": {}})
    bound.append(run.batch())
    assert bound.blobs.has(blob.sha256)


def test_tokens_of_earlier_versions_are_read_and_admins_are_not_bound(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    _, old = tokens.create("old", "writer")
    with tokens.writing() as connection:
        connection.execute("ALTER TABLE tokens DROP COLUMN experiments")
    found = tokens.check(old)
    assert found is not None
    assert found.experiments is None
    bound, secret = tokens.create("new", "reader", experiments=["a", "b", "a"])
    assert tokens.check(secret) == bound
    assert bound.experiments == ("a", "b")
    with pytest.raises(InvalidValueError, match="admin"):
        tokens.create("x", "admin", experiments=["a"])
