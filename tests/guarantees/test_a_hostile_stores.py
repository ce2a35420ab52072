"""A28, A29, A32-A34: stores, journals and models that somebody else made."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

import mlops_sdk
from mlops_sdk import IntegrityError, MlopsError, UntrustedModelError
from tests.guarantees import processes
from tests.guarantees.every_call import QUIET
from tests.guarantees.journals import leave_a_journal

# -- A28: pickles --------------------------------------------------------------------------------------------------------

_EXECUTED: list[str] = []
_STATE = {"is_watching": False}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _STATE["is_watching"] and event in ("pickle.find_class", "os.system", "subprocess.Popen", "marshal.loads"):
        _EXECUTED.append(f"{event} {arguments!r}")


sys.addaudithook(_watch)


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {_FLAG}",)


_FLAG = ""


@pytest.fixture
def bombed(tmp_path: Path) -> Path:
    """A store whose artifacts, params and tags hold pickles."""
    global _FLAG
    _FLAG = str(tmp_path / "exploded")
    joblib.dump(Bomb(), tmp_path / "bomb.joblib")
    with mlops_sdk.start_run(
        tracking_uri=tmp_path / "store", run_id="r", params={"p": "cos\nsystem\n"}, **QUIET
    ) as run:
        run.log_metric("x", 1.0)
        run.log_model(Bomb(), "model")
        for name in ("b.pkl", "b.joblib", "b.npy", "b.pt", "b.json", "b.csv", "b.png", "model/model.json", "MLmodel"):
            shutil.copy(tmp_path / "bomb.joblib", tmp_path / Path(name).name)
            run.log_artifact(tmp_path / Path(name).name, "model" if "/" in name else None)
    return tmp_path / "store"


def test_reading_never_loads_a_pickle(bombed: Path, tmp_path: Path) -> None:
    import pandas  # noqa: F401 - before the watch begins: importing reads bytecode
    from click.testing import CliRunner

    from mlops_sdk.cli.program import mlops

    mlops_sdk.search_runs(tracking_uri=bombed).to_pandas()
    mlops_sdk.get_run("r", tracking_uri=bombed).metric("x")
    for command in (["show", "r"], ["runs"], ["fsck"]):
        CliRunner().invoke(mlops, [*command, "--store", str(bombed)])
    _EXECUTED.clear()
    _STATE["is_watching"] = True
    try:
        view = mlops_sdk.get_run("r", tracking_uri=bombed)
        runs = mlops_sdk.search_runs(tracking_uri=bombed, order_by="metrics.x")
        shown = [repr(runs), repr(view), view.params, view.config, view.tags, view.environment, view.git, view.system]
        shown += [runs.to_dicts(), runs.to_pandas(), view.metric("x"), view.summary("x"), view.datasets, view.warnings]
        for ref in view.artifacts:
            view.artifact(ref.path)
            view.download(ref.path, tmp_path / "target")
        for arguments in (["show", "r"], ["runs"], ["fsck"]):
            result = CliRunner().invoke(mlops, [*arguments, "--store", str(bombed)])
            assert result.exit_code == 0, result.output
        with pytest.raises(UntrustedModelError, match="trust=True"):
            view.load_model()
        with pytest.raises(UntrustedModelError):
            mlops_sdk.load_model("r", tracking_uri=bombed)
    finally:
        _STATE["is_watching"] = False
    assert _EXECUTED == []
    assert not Path(_FLAG).exists()
    print(f"A28: {len(shown) + 2 * len(view.artifacts) + 5} reads of a store full of pickles, 0 loaded")


def test_a_model_is_checked_before_it_is_loaded(bombed: Path) -> None:
    view = mlops_sdk.get_run("r", tracking_uri=bombed)
    (ref,) = (ref for ref in view.artifacts if ref.path == "model/model.joblib")
    blob = bombed / "blobs" / "sha256" / ref.sha256[:2] / ref.sha256
    os.chmod(blob, 0o600)
    content = bytearray(blob.read_bytes())
    content[-3] ^= 1
    blob.write_bytes(content)
    _EXECUTED.clear()
    _STATE["is_watching"] = True
    try:
        with pytest.raises(IntegrityError):
            view.load_model(trust=True)
    finally:
        _STATE["is_watching"] = False
    assert _EXECUTED == []
    assert not Path(_FLAG).exists()


def test_metadata_of_a_model_is_text_only(tmp_path: Path) -> None:
    """A29."""
    evil = {"requirements": ["-r http://evil", "--index-url http://evil", "x; rm -rf /", "$(touch pwned)"]}
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
        run.log_model([1, 2], metadata=evil)
    _EXECUTED.clear()
    _STATE["is_watching"] = True
    try:
        (ref,) = (ref for ref in run.artifacts if ref.path == "model/model.joblib")
        assert ref.metadata["metadata"] == evil
    finally:
        _STATE["is_watching"] = False
    assert _EXECUTED == []
    assert run.load_model(trust=True, check=True) == [1, 2]


# -- A32: journals -------------------------------------------------------------------------------------------------------


def _flip_bits(store: Path, rng: random.Random) -> None:
    (segment,) = leave_a_journal(store, "victim").glob("*.seg")
    content = bytearray(segment.read_bytes())
    for _ in range(40):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    segment.write_bytes(content)


def _random_bytes(store: Path, rng: random.Random) -> None:
    (segment,) = leave_a_journal(store, "victim").glob("*.seg")
    segment.write_bytes(rng.randbytes(100_000))


def _huge_lengths(store: Path, _: random.Random) -> None:
    (segment,) = leave_a_journal(store, "victim").glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[512:] = b"\xff" * (len(content) - 512)
    segment.write_bytes(content)


def _many_files(store: Path, _: random.Random) -> None:
    directory = store / "journals" / ("f" * 32)
    directory.mkdir()
    for number in range(10_000):
        (directory / f"{number:08d}.seg").touch()


def _fifos(store: Path, _: random.Random) -> None:
    directory = store / "journals" / ("e" * 32)
    directory.mkdir()
    os.mkfifo(directory / "00000001.seg")
    os.mkfifo(store / "journals" / "fifo")
    os.mkfifo(directory / "alive")


def _links(store: Path, _: random.Random) -> None:
    directory = store / "journals" / ("d" * 32)
    directory.mkdir()
    (directory / "00000001.seg").symlink_to("/etc/passwd")
    (directory / "00000002.seg").symlink_to(directory)
    (store / "journals" / ("c" * 32)).symlink_to("/etc")
    (store / "journals" / "loop").symlink_to(store / "journals")


def _foreign_files(store: Path, _: random.Random) -> None:
    (store / "journals" / "README").write_text("what is this")
    (store / "journals" / "a.tar.gz").write_bytes(b"\x1f\x8b")
    (store / "journals" / ("b" * 32)).mkdir()
    ((store / "journals" / ("b" * 32)) / "00000001.seg").mkdir()
    (store / "journals" / "..").exists()


def _sparse_giant(store: Path, _: random.Random) -> None:
    (segment,) = leave_a_journal(store, "victim").glob("*.seg")
    os.truncate(segment, 1 << 40)


JOURNALS = {
    "bits flipped": _flip_bits,
    "random bytes": _random_bytes,
    "huge lengths": _huge_lengths,
    "ten thousand files": _many_files,
    "FIFOs": _fifos,
    "links": _links,
    "foreign files": _foreign_files,
    "a sparse giant": _sparse_giant,
}


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.skipif(os.name != "posix", reason="made the POSIX way")
@pytest.mark.parametrize("what", JOURNALS)
def test_hostile_journals_harm_no_other_run(tmp_path: Path, what: str) -> None:
    store = tmp_path / "store"
    leave_a_journal(store, "sound")
    JOURNALS[what](store, random.Random(32))
    before = time.monotonic()
    view = mlops_sdk.get_run("sound", tracking_uri=store)
    took_s = time.monotonic() - before
    assert (view.status, len(view.metric("loss")), dict(view.params)) == ("KILLED", 100, {"p": 1})
    assert took_s < 5.0
    with mlops_sdk.start_run(tracking_uri=store, run_id="next", **QUIET) as run:
        run.log_metric("loss", 1.0)
    assert run.health()["errors"] == {}
    victims = [each for each in mlops_sdk.search_runs(tracking_uri=store) if each.run_id not in ("sound", "next")]
    for victim in victims:  # a prefix of what was logged, and nothing else
        values = victim.metric("loss").value.tolist() if victim.metrics else []
        assert values == [float(step) for step in range(len(values))]
    print(f"A32 {what}: read in {took_s:.2f} s, {len(victims)} damaged runs read in part")


# -- A33: databases ------------------------------------------------------------------------------------------------------


def _sql(store: Path, *statements: str) -> None:
    database = sqlite3.connect(store / "store.db", isolation_level=None)
    database.execute("PRAGMA writable_schema=ON")
    for statement in statements:
        database.execute(statement)
    database.close()


DATABASES: dict[str, tuple[str, ...]] = {
    "a trigger": ("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END",),
    "a view for a table": ("ALTER TABLE tags RENAME TO t2", "CREATE VIEW tags AS SELECT * FROM t2"),
    "an attached file": ("CREATE VIEW v AS SELECT load_extension('/tmp/evil.so')",),
    "a huge schema": tuple(f"CREATE TABLE extra{number} (a)" for number in range(300)),
    "a schema of nonsense": ("UPDATE sqlite_schema SET sql = 'CREATE TABLE runs (((' WHERE name = 'runs'",),
    "lying blobs": ("UPDATE tails SET points = zeroblob(1000000)",),
    "lying counts": ("UPDATE tails SET n = 1000000000000",),
    "text for numbers": ("UPDATE runs SET start_ns = 'soon'",),
}


@pytest.mark.parametrize("what", DATABASES)
def test_hostile_databases_are_errors_of_ours(tmp_path: Path, what: str) -> None:
    store = tmp_path / "store"
    with mlops_sdk.start_run(tracking_uri=store, run_id="r", **QUIET) as run:
        run.log_metric("loss", 1.0)
        run.set_tag("a", "b")
    mlops_sdk.open_store(store).close()  # type: ignore[attr-defined]
    _sql(store, *DATABASES[what])
    program = (
        "import sys, resource, mlops_sdk\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "try:\n"
        "    view = mlops_sdk.get_run('r', tracking_uri=sys.argv[1])\n"
        "    print(view.metric('loss').value.tolist(), dict(view.tags), view.start_time)\n"
        "except mlops_sdk.MlopsError as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = processes.run(program, store)
    assert done.returncode == 0, done.stderr
    fine = what in ("a huge schema", "an attached file")
    assert (done.stdout.startswith("[1.0]")) == fine, done.stdout
    assert fine or done.stdout.strip() == "StoreCorruptError", done.stdout


# -- A34: clones ---------------------------------------------------------------------------------------------------------


def _count(store: Path, run_id: str) -> dict[str, list[float]]:
    view = mlops_sdk.get_run(run_id, tracking_uri=store)
    return {key: view.metric(key).value.tolist() for key in view.metrics}


_TWO_LIVES = """
import os, shutil, sys, mlops_sdk
from pathlib import Path
import mlops_sdk.stores.sqlite.store as s
def refuse(*_):
    raise mlops_sdk.StoreUnavailableError("not now")
store, clone, keys = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
run = mlops_sdk.start_run(tracking_uri=store, run_id="r", capture=False, system_metrics=False)
for step in range(50):
    run.log_metric("common", float(step), step=step)
run.flush()
s.SQLiteStore.append = refuse
(directory,) = (store / "journals").iterdir()
shutil.copytree(directory, clone / directory.name)
for step in range(100):
    run.log_metric("first", 1.0, step=step)
os._exit(0)
"""


def test_a_cloned_journal_corrupts_nothing_that_is_stored(tmp_path: Path) -> None:
    """The copy, delivered twice and shorter than the original, in either order."""
    for order in ("clone first", "clone last"):
        store, clone = tmp_path / order / "store", tmp_path / order / "clone"
        clone.mkdir(parents=True)
        assert processes.run(_TWO_LIVES, store, clone).returncode == 0
        (original,) = (store / "journals").iterdir()
        if order == "clone first":
            kept = tmp_path / order / "kept"
            os.rename(original, kept)
            os.rename(clone / original.name, original)
            mlops_sdk.get_run("r", tracking_uri=store)
            os.rename(kept, store / "journals" / original.name)
        else:
            mlops_sdk.get_run("r", tracking_uri=store)
            os.rename(clone / original.name, store / "journals" / original.name)
        found = _count(store, "r")
        assert found == {"common": [float(step) for step in range(50)], "first": [1.0] * 100}, order
        assert list((store / "journals").iterdir()) == []


def _diverge(directory: Path, key: str) -> None:
    """Another history under the same numbers: what a restored snapshot of the machine would log."""
    from mlops_sdk.journal import reader
    from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Kind, encode_frame, sound_prefix

    recovered = reader.recover(directory)
    (path, header), *_ = recovered.segments
    content = bytearray(path.read_bytes())
    end = HEADER_BYTES + sound_prefix(bytes(content[HEADER_BYTES:]), header.seed)
    from zlib import crc32

    from mlops_sdk.journal.records import pack_body, pack_slot

    frame = encode_frame(Kind.KEY, 10**9, {"id": 2, "name": key}, header.seed)
    points = [pack_body(2, 10**9 + step, step, 99.0) for step in range(300)]
    more = frame + b"".join(pack_slot(body, crc32(body, header.seed)) for body in points)
    content[end : end + len(more)] = more
    assert len(frame) % SLOT_BYTES == 0
    path.write_bytes(content)


@pytest.mark.parametrize("order", ["clone last", "clone first", "clone twice"])
def test_a_clone_with_another_history_corrupts_nothing_that_is_stored(tmp_path: Path, order: str) -> None:
    """Both histories are found, each record once, whichever comes first and however often."""
    store, clone = tmp_path / "store", tmp_path / "clone"
    clone.mkdir()
    assert processes.run(_TWO_LIVES, store, clone).returncode == 0
    (copy,) = clone.iterdir()
    _diverge(copy, "second")
    (original,) = (store / "journals").iterdir()
    kept, again = tmp_path / "kept", tmp_path / "again"
    shutil.copytree(copy, again / copy.name)
    if order == "clone first":
        os.rename(original, kept)
        os.rename(copy, original)
        assert _count(store, "r") == {"common": [float(step) for step in range(50)], "second": [99.0] * 300}
        os.rename(kept, original)
    else:
        before = _count(store, "r")
        assert before == {"common": [float(step) for step in range(50)], "first": [1.0] * 100}
        os.rename(copy, original)
    if order == "clone twice":
        _count(store, "r")
        os.rename(again / copy.name, original)
    assert _count(store, "r") == {
        "common": [float(step) for step in range(50)],
        "first": [1.0] * 100,
        "second": [99.0] * 300,
    }
    assert list((store / "journals").iterdir()) == []
    view = mlops_sdk.get_run("r", tracking_uri=store)
    assert (view.status, len(view.warnings)) == ("KILLED", 0)


def test_reports_are_json(tmp_path: Path) -> None:
    """What is damaged is told by `mlops doctor`, where a program may read it."""
    from click.testing import CliRunner

    from mlops_sdk.cli.program import mlops

    leave_a_journal(tmp_path / "store", "sound")
    _random_bytes(tmp_path / "store", random.Random(1))
    try:
        mlops_sdk.get_run("sound", tracking_uri=tmp_path / "store")
    except MlopsError as error:
        raise AssertionError("one damaged journal hides the others") from error
    result = CliRunner().invoke(mlops, ["doctor", "--store", str(tmp_path / "store"), "--json"])
    assert "damaged" in json.dumps(json.loads(result.output))
