"""G6: no failure of disk, store, clock or value makes a tracking call raise once a run has started, unless strict."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk import MlopsError, Run
from tests.guarantees import processes
from tests.guarantees.every_call import CALLS, QUIET, call_all, covered, promised

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the faults are made the POSIX way")


def test_the_matrix_has_a_row_for_every_public_call() -> None:
    assert covered() == promised()


# -- what happens to the directory ---------------------------------------------------------------------------------------


def _remove(store: Path) -> None:
    shutil.rmtree(store)


def _replace_by_a_file(store: Path) -> None:
    shutil.rmtree(store)
    store.write_text("in the way")


def _replace_by_another(store: Path) -> None:
    os.rename(store, store.with_name("elsewhere"))
    other = store.with_name("fresh")
    with mlops_sdk.start_run(tracking_uri=other, nested=True, **QUIET) as run:
        run.log_metric("x", 1.0)
    os.rename(other, store)


def _delete_database(store: Path) -> None:
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (store / name).unlink(missing_ok=True)


def _corrupt_database(store: Path) -> None:
    for name in ("store.db", "store.db-wal"):
        path = store / name
        with open(path, "r+b") as file:
            file.write(b"\xa5" * path.stat().st_size)


def _foreign_database(store: Path) -> None:
    _delete_database(store)
    with sqlite3.connect(store / "store.db") as other:
        other.execute("CREATE TABLE experiments (a)")
    other.close()


def _newer_database(store: Path) -> None:
    with sqlite3.connect(store / "store.db") as database:
        database.execute("PRAGMA user_version=999")
    database.close()


def _database_is_a_directory(store: Path) -> None:
    _delete_database(store)
    (store / "store.db").mkdir()


def _blobs_are_a_file(store: Path) -> None:
    shutil.rmtree(store / "blobs")
    (store / "blobs").write_text("in the way")


def _remove_journals(store: Path) -> None:
    shutil.rmtree(store / "journals")


def _truncate_segments(store: Path) -> None:
    """Appended files only: a mapped one that somebody cuts short is a SIGBUS that no program survives."""
    for path in (store / "journals").glob("*/*.seg"):
        os.truncate(path, 100)


def _lock_is_a_directory(store: Path) -> None:
    (store / "store.lock").unlink(missing_ok=True)
    (store / "store.lock").mkdir()


SUDDEN: dict[str, Callable[[Path], None]] = {
    "store removed": _remove,
    "store replaced by a file": _replace_by_a_file,
    "store replaced by another": _replace_by_another,
    "database deleted": _delete_database,
    "database corrupted": _corrupt_database,
    "database of another program": _foreign_database,
    "database of a newer version": _newer_database,
    "database a directory": _database_is_a_directory,
    "blobs a file": _blobs_are_a_file,
    "journals removed": _remove_journals,
    "lock a directory": _lock_is_a_directory,
}


@pytest.mark.parametrize("journal", ["mmap", "append"])
@pytest.mark.parametrize("fault", SUDDEN)
def test_a_store_that_changes_in_the_middle_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str, journal: str
) -> None:
    monkeypatch.setenv("MLOPS_JOURNAL", journal)
    caplog.set_level(logging.CRITICAL, "mlops_sdk")
    store = tmp_path / "store"
    run = mlops_sdk.start_run(tracking_uri=store, **QUIET)
    run.log_metric("before", 1.0)
    run.flush()
    SUDDEN[fault](store)
    n_calls = call_all(run, tmp_path / "files")
    is_flushed = _is_flushed(run)
    n_calls += call_all(run, tmp_path / "files", ["log_metric", "log_text", "set_tag"])
    run.finish()
    health = run.health()
    # Nothing in silence: either all of it arrived, or the trouble was counted.
    assert health["errors"] or (is_flushed and health["delivered"] == health["logged"]), health
    print(f"G6 {fault} ({journal}): {n_calls} calls, 0 exceptions, counted: {health['errors']}")


def test_appended_segments_cut_short_raise_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_JOURNAL", "append")
    run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET)
    _truncate_segments(tmp_path / "store")
    call_all(run, tmp_path / "files")
    run.finish()
    assert run.health()["errors"]


def _is_flushed(run: Run) -> bool:
    with suppress(MlopsError):
        run.flush(5.0)
        return True
    return False


def test_what_is_at_hand_goes_into_a_store_that_was_removed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with mlops_sdk.start_run(tracking_uri=store, run_id="r", **QUIET) as run:
        run.log_metric("loss", 1.0)
        run.flush()
        shutil.rmtree(store)
        run.log_metric("loss", 0.5)
    again = mlops_sdk.get_run("r", tracking_uri=store)
    assert (again.status, again.metric("loss").value.tolist()) == ("FINISHED", [1.0, 0.5])


# -- permissions ---------------------------------------------------------------------------------------------------------

_AS_NOBODY = """
import json, os, sys
from pathlib import Path
import mlops_sdk
from tests.guarantees.every_call import QUIET, call_all
from tests.guarantees.processes import become_nobody
place, what, mode = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3], 8)
become_nobody(place)
store = place / "store"
run = mlops_sdk.start_run(tracking_uri=store, run_id="r", **QUIET)
run.log_metric("before", 1.0)
run.flush()
directories = [path for path in store.rglob("*") if path.is_dir()][::-1] + [store]
for path in directories if what == "*" else [store / what]:
    os.chmod(path, mode)
n_calls = call_all(run, place / "files")
try:
    run.flush(2.0)
    is_flushed = True
except mlops_sdk.MlopsError:
    is_flushed = False
run.finish()
print(json.dumps({"calls": n_calls, "is_flushed": is_flushed, **run.health()}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["000", "500"])
@pytest.mark.parametrize("what", [".", "journals", "blobs", "store.db", "*"])
def test_permissions_taken_away_raise_nothing(open_directory: Path, what: str, mode: str) -> None:
    done = processes.run(
        _AS_NOBODY, open_directory, what, mode, cwd=open_directory,
        env=processes.environment(HOME=str(open_directory), XDG_STATE_HOME=str(open_directory / "state")),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    health = json.loads(done.stdout)
    assert health["errors"] or (health["is_flushed"] and health["delivered"] == health["logged"])
    print(f"G6 chmod {mode} {what}: {health['calls']} calls, 0 exceptions, counted: {health['errors']}")


# -- another process in the way ------------------------------------------------------------------------------------------

_HOLDERS = {
    "SQLite's own lock": (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1] + '/store.db', isolation_level=None); c.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True); sys.stdin.read()\n"
    ),
    "the store's lock": (
        "import fcntl, os, sys\n"
        "fd = os.open(sys.argv[1] + '/store.lock', os.O_RDWR | os.O_CREAT); fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print('held', flush=True); sys.stdin.read()\n"
    ),
}


@contextmanager
def _held(store: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    holder = processes.start(_HOLDERS[what], store, stdin=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.send_signal(signal.SIGCONT)
        holder.communicate("")


@pytest.mark.slow
@pytest.mark.parametrize("what", _HOLDERS)
def test_a_database_locked_by_another_process_raises_nothing_and_loses_nothing(tmp_path: Path, what: str) -> None:
    store = tmp_path / "store"
    with mlops_sdk.start_run(tracking_uri=store, **QUIET):
        pass
    run = mlops_sdk.start_run(tracking_uri=store, run_id="r", **QUIET)
    run.log_metric("loss", 1.0, step=0)
    run.flush()
    with _held(store, what):
        n_calls = call_all(run, tmp_path / "files")
        began = time.monotonic()
        run.finish()
        took_s = time.monotonic() - began
    assert took_s < 6.0
    view = mlops_sdk.get_run("r", tracking_uri=store)
    assert view.status == "FINISHED"
    assert view.metrics["other"] == 2.0
    print(f"G6 {what} held: {n_calls} calls, 0 exceptions, finish() in {took_s:.2f} s")


# -- a full disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs of 4 MiB cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    mlops_sdk.end_run()
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("journal", ["mmap", "append"])
def test_a_full_disk_raises_nothing(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    monkeypatch.setenv("MLOPS_JOURNAL", journal)
    run = mlops_sdk.start_run(tracking_uri=small_disk / "store", run_id="r", **QUIET)
    run.log_metric("before", 1.0)
    run.flush()
    filler = small_disk / "filler"
    with suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    n_calls = call_all(run, tmp_path / "files")
    for step in range(5_000):
        run.log_metric("loss", float(step), step=step)
    health = run.health()
    assert health["errors"][
        "StoreUnavailableError" if "StoreUnavailableError" in health["errors"] else "JournalFullError"
    ]
    filler.unlink()
    time.sleep(0.15)  # room is looked for ten times a second
    run.log_metric("after", 1.0)
    run.finish()
    view = mlops_sdk.get_run("r", tracking_uri=small_disk / "store")
    assert view.status == "FINISHED"
    assert view.metrics["before"] == view.metrics["after"] == 1.0
    kept = len(view.metric("loss"))
    dropped = run.health()["dropped"]
    assert kept + dropped >= 5_000
    print(
        f"G6 full disk ({journal}): {n_calls + 5000} calls, 0 exceptions, {kept} points kept, {dropped} slots dropped"
    )


# -- clocks --------------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET)
    real_ns = time.time_ns
    n_calls = 0
    for jump_s in (-10 * 365 * 86400, 10 * 365 * 86400, -real_ns() // 10**9, 0):
        monkeypatch.setattr(time, "time_ns", lambda jump_s=jump_s: real_ns() + jump_s * 10**9)
        monkeypatch.setattr(time, "time", lambda jump_s=jump_s: (real_ns() + jump_s * 10**9) / 1e9)
        n_calls += call_all(run, tmp_path / "files")
    run.finish()
    assert run.health()["errors"] == {}
    assert run.duration_s is not None
    assert run.duration_s >= 0
    assert (run.metric("loss").time_ns[1:] >= run.metric("loss").time_ns[:1]).all()
    print(f"G6 clock: {n_calls} calls, 0 exceptions")


# -- the program itself --------------------------------------------------------------------------------------------------

_TRAINING = """
import os, random, shutil, sys
tracked, store, fault = sys.argv[1] == "1", sys.argv[2], sys.argv[3]
if tracked:
    import mlops_sdk
    run = mlops_sdk.start_run(tracking_uri=store, capture=False, system_metrics=False)
random.seed(7)
weight = 0.0
for step in range(200):
    weight += random.gauss(0, 1) / (1 + step)
    if tracked:
        run.log_metric("weight", weight, step=step)
        run.log_metric("weight", object())
        run.log_artifact("no-such-file")
        if step == 100:
            shutil.rmtree(store) if fault == "removed" else None
print(repr(weight), random.random())
sys.exit(3)
"""


@pytest.mark.parametrize("fault", ["none", "removed"])
def test_exit_code_and_results_are_those_of_the_program_alone(tmp_path: Path, fault: str) -> None:
    alone = processes.run(_TRAINING, 0, tmp_path / "store", fault)
    tracked = processes.run(_TRAINING, 1, tmp_path / "store", fault)
    assert (tracked.returncode, tracked.stdout) == (alone.returncode, alone.stdout) == (3, alone.stdout)
    assert "Traceback" not in tracked.stderr


def test_strict_raises_what_is_otherwise_counted(tmp_path: Path) -> None:
    run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", strict=True, **QUIET)
    bad: list[Callable[[], Any]] = [
        lambda: run.log_metric("a", "text"),
        lambda: run.log_param("a\0", 1),
        lambda: run.set_tag("", 1),
        lambda: run.log_artifact("no-such-file"),
        lambda: run.define_metric("a", mode="up"),  # type: ignore[arg-type]
        lambda: run.log_text("text", "a\0b"),
    ]
    for call in bad:
        with pytest.raises(MlopsError):
            call()
    assert len(CALLS) > len(bad)
