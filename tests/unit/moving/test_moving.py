"""Whole runs between stores and through files: what arrives is what there was, and nothing hostile gets in."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import mlops_sdk
from mlops_sdk.cli.program import mlops
from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import IntegrityError, RunExistsError, StoreCorruptError, StoreVersionError
from mlops_sdk.journal.editor import edit
from mlops_sdk.journal.records import Kind
from mlops_sdk.moving.archive import export_runs, import_runs
from mlops_sdk.moving.copying import copy_run
from mlops_sdk.moving.identity import identify
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.protocol import Store
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript

PAYLOAD = {"experiment": "digits", "name": "brisk-otter", "user": "me", "host": "h", "entry_point": "train.py"}


def rich(store: Store) -> str:
    """A run with everything: two writers, a rewind, odd values, artifacts in versions, lineage."""
    blobs = [store.blobs.put_bytes(text) for text in (b"one", b"two", b"")]
    owner = WriterScript("r", "w0", rank=0).run(**PAYLOAD, parent="p", description="d")
    owner.params({"C": 1.5, "big": 2**70, "none": None, "n": "text"}).event(
        Kind.PARAMS, {"params": [], "config": {"C": 1.5, "deep": {"a": [1, None]}}}
    )
    owner.event(Kind.TAGS, {"set": {"team": "growth", "ü/x": "=1+1"}})
    owner.event(Kind.DEFINE, {"key": "loss", "mode": "min", "unit": "nats", "x": None})
    owner.event(Kind.ENVIRONMENT, {"git": {"commit": "abc", "branch": "b", "dirty": True}, "argv": ["a"]})
    owner.event(Kind.DATASET, {"name": "d", "context": "train", "digest": "0" * 64, "rows": 5})
    owner.event(Kind.WARNING, {"cause": "slow", "count": 3, "message": "m"})
    for path, blob in (("m.bin", blobs[0]), ("m.bin", blobs[1]), ("e", blobs[2])):
        said = {"path": path, "sha256": blob.sha256, "size_bytes": blob.size_bytes, "media_type": "x/y", "step": 1}
        owner.event(Kind.ARTIFACT, {**said, "metadata": {"k": 1}})
    owner.points("loss", [1.0, math.nan, -0.0, 5e-324, math.inf, 7.0])
    store.append(owner.batch())
    other = WriterScript("r", "w1", rank=1, role="attached").run()
    other.points("loss", [9.0, 8.0]).points("only/there", [2**-1074, 1.0])
    store.append(other.batch())
    owner.event(Kind.RUN, {**PAYLOAD, "from_step": 3}).points("loss", [0.5, 0.25], steps=[3, 4])
    owner.event(Kind.STATUS, {"status": "FAILED", "end_reason": "ValueError", "traceback": "T", "attributes": {"e": 1}})
    store.append(owner.batch())
    return "r"


@pytest.fixture(params=[MemoryStore, None], ids=["from memory", "from SQLite"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store: Store = request.param() if request.param else SQLiteStore(tmp_path / "source")
    rich(store)
    yield store
    store.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "target")
    yield store
    store.close()


def test_a_copy_is_equal_in_all_that_can_be_read(source: Store, target: SQLiteStore) -> None:
    assert copy_run(source, target, "r").is_new
    assert not copy_run(source, target, "r").is_new
    assert identify(target, "r") == identify(source, "r")
    for rank in (None, "all", 0, 1):
        for attempt in (None, "all", 0, 1):
            a, b = (each.series("r", "loss", rank=rank, attempt=attempt) for each in (source, target))
            assert (a.step.tolist(), a.time_ns.tolist(), a.value.tobytes()) == (
                b.step.tolist(),
                b.time_ns.tolist(),
                b.value.tobytes(),
            )
    was, now = (each.load(["r"], ["params", "metrics", "artifacts"])["r"] for each in (source, target))
    assert was.params == now.params
    assert repr((was.metrics, was.artifacts, was.config)) == repr((now.metrics, now.artifacts, now.config))
    (head,) = target.find(RunQuery())
    assert head == source.find(RunQuery())[0]
    assert target.fsck() == []
    assert target.rejected() == []
    assert target.blobs.path(now.artifacts[1].sha256).read_bytes() == b"two"


def test_a_copy_that_broke_off_is_gone_on_with(source: Store, target: SQLiteStore) -> None:
    class Breaking:
        calls = 0

        def append(self, batch: object) -> int:
            self.calls += 1
            if self.calls == 4:
                raise StoreCorruptError("gone")
            return target.append(batch)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(target, name)

    with pytest.raises(StoreCorruptError, match="gone"):
        copy_run(source, Breaking(), "r")  # type: ignore[arg-type]
    assert target.find(RunQuery())
    assert copy_run(source, target, "r").is_new
    assert identify(target, "r") == identify(source, "r")


def test_another_run_of_that_id_is_left_alone(source: Store, target: SQLiteStore) -> None:
    target.append(WriterScript("r", "x").run(name="mine").batch())
    before = identify(target, "r")
    with pytest.raises(RunExistsError):
        copy_run(source, target, "r")
    assert identify(target, "r") == before


def test_any_change_of_a_run_changes_its_identity(source: Store) -> None:
    seen = {identify(source, "r").digest}
    for event in (
        (Kind.TAGS, {"set": {"a": "b"}}),
        (Kind.INFO, {"description": "other"}),
        (Kind.INFO, {"experiment": "other"}),
        (Kind.PARAMS, {"params": [["C", "float", "2.5", 2.5]], "overwrite": True}),
        (Kind.ENVIRONMENT, {"argv": ["b"]}),
    ):
        source.append(edit("r", event))
        seen.add(identify(source, "r").digest)
    assert len(seen) == 6


def test_runs_that_were_found_dead_stay_so(target: SQLiteStore) -> None:
    store = MemoryStore()
    store.append(WriterScript("r", "w").run(**PAYLOAD).points("loss", [1.0]).batch())
    store.append(edit("r", (Kind.LOST, {"writer": "w", "status": "KILLED", "end_reason": "lost:process"})))
    store.append(WriterScript("still", "v").run(**PAYLOAD).points("loss", [1.0]).batch())
    for run_id in ("r", "still"):
        copy_run(store, target, run_id)
    assert {head.run_id: (head.status, head.is_provisional) for head in target.find(RunQuery())} == {
        "r": ("KILLED", True),
        "still": ("RUNNING", False),
    }


# -- files ---------------------------------------------------------------------------------------------------------------


def test_through_a_file_and_back(source: Store, target: SQLiteStore, tmp_path: Path) -> None:
    path = tmp_path / "x.mlops"
    (written,) = export_runs(source, ["r"], path)
    assert [each.is_new for each in import_runs(target, path)] == [True]
    assert [each.is_new for each in import_runs(target, path)] == [False]
    assert identify(target, "r") == written
    export_runs(target, ["r"], tmp_path / "again.mlops")
    with zipfile.ZipFile(path) as a, zipfile.ZipFile(tmp_path / "again.mlops") as b:
        assert a.read("runs/0") == b.read("runs/0"), "a copy of a copy is the copy"
    assert {each.name for each in tmp_path.iterdir()} <= {"x.mlops", "again.mlops", "source", "target"}


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _manifest(**changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        said = json.loads(members["manifest.json"])
        said["runs"][0].update(changes)
        members["manifest.json"] = json.dumps(said).encode()

    return change


def _blob(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.startswith("blobs/") and members[name] == b"two")
    members[name] = b"Two"


def _swap(members: dict[str, bytes]) -> None:
    members["runs/0"] = members["runs/0"][:-5] + b"?????"


HOSTILE: dict[str, Callable[[dict[str, bytes]], None]] = {
    "a path out of it": lambda members: members.update({"../../evil": b"x"}),
    "an absolute path": lambda members: members.update({"/etc/cron.d/evil": b"x"}),
    "a member of no use": lambda members: members.update({"runs/0/../../x": b"x"}),
    "a bomb": lambda members: members.update({"runs/1": bytes(300 << 20)}),
    "no manifest": lambda members: members.pop("manifest.json") and None,
    "a manifest of nonsense": lambda members: members.update({"manifest.json": b'{"format": 1, "runs": [7]}'}),
    "a manifest without end": lambda members: members.update({"manifest.json": b"[" * 100_000}),
    "a digest that is a path": _manifest(blobs=["../../../etc/passwd"]),
    "a member that is not there": _manifest(member="runs/7"),
    "a member that is a path": _manifest(member="../x"),
    "another run's records": _manifest(run_id="other"),
    "records that were changed": _swap,
    "counts that lie": _manifest(n_points=7),
    "bytes that were changed": _blob,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files(what: str, target: SQLiteStore, tmp_path: Path) -> None:
    store = MemoryStore()
    rich(store)
    path = tmp_path / "x.mlops"
    export_runs(store, ["r"], path)
    rewrite(path, HOSTILE[what])
    before = set(tmp_path.rglob("*"))
    with pytest.raises((StoreCorruptError, IntegrityError)):
        list(import_runs(target, path))
    if what != "counts that lie":  # found by reading back what was stored
        assert target.find(RunQuery()) == []
    home = tmp_path / "target"
    new = {each for each in set(tmp_path.rglob("*")) - before if home not in each.parents}
    assert new <= {home}


def test_files_that_are_cut_short_or_none_of_ours(target: SQLiteStore, tmp_path: Path) -> None:
    store = MemoryStore()
    rich(store)
    path = tmp_path / "x.mlops"
    export_runs(store, ["r"], path)
    whole = path.read_bytes()
    for size in [0, 1, 30, *range(100, len(whole), 61)]:
        path.write_bytes(whole[:size])
        with pytest.raises(StoreCorruptError):
            list(import_runs(target, path))
    for place in range(0, len(whole), 7):  # a flipped bit harms nothing, or is found
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            list(import_runs(target, path))
        except (StoreCorruptError, IntegrityError, StoreVersionError):
            continue
        assert identify(target, "r") == identify(store, "r")


def test_a_later_format_is_refused_by_name(target: SQLiteStore, tmp_path: Path) -> None:
    store = MemoryStore()
    rich(store)
    path = tmp_path / "x.mlops"
    export_runs(store, ["r"], path)

    def later(members: dict[str, bytes]) -> None:
        members["manifest.json"] = members["manifest.json"].replace(b'"format":1', b'"format":9')

    rewrite(path, later)
    with pytest.raises(StoreVersionError, match="format 9"):
        list(import_runs(target, path))


# -- the commands ----------------------------------------------------------------------------------------------------------


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(mlops, list(map(str, words)))
    return result.exit_code, result.output


def test_the_commands(tmp_path: Path) -> None:
    here, there, third = (tmp_path / name for name in ("here", "there", "third"))
    for number in range(3):
        with mlops_sdk.start_run(
            tracking_uri=here, run_id=f"run-{number}", experiment="e", capture=False, system_metrics=False
        ) as one:
            one.log_metric("acc", number / 3)
            one.log_text("hello", "note.txt")
    assert run("export", "run-1", "@1", "-o", tmp_path / "x", "--store", here)[1].startswith("wrote 2 runs")
    code, said = run("import", tmp_path / "x", "--store", there)
    assert (code, said.splitlines()[0]) == (0, "2 runs arrived: 2 points, 2 artifacts, verified; 0 runs were there")
    assert run("copy", "--from", here, "--to", there)[1].startswith(
        "1 run arrived: 1 point, 1 artifact, verified; 2 runs were there"
    )
    assert run("copy", "--from", here, "--to", third, "metrics.acc > 0.5")[1].startswith("1 run arrived")
    found = mlops_sdk.search_runs(tracking_uri=there)
    assert [each.artifact("note.txt").read_text() for each in found] == ["hello"] * 3
    assert run("import", tmp_path / "nothing", "--store", there)[0] == 1
    (tmp_path / "x").write_bytes(b"PK")
    assert run("import", tmp_path / "x", "--store", there)[0] == 1
