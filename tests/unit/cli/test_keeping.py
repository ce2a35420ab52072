"""``delete``, ``restore``, ``gc``, ``backup``, ``init``: what is kept, and what goes."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import Journal
from tests.unit.cli.conftest import QUIET, Mlops, from_json


def live(mlops: Mlops, store: Path) -> set[str]:
    return {row["name"] for row in from_json(mlops("runs", "--json", "--store", store))}


def make_old(store: Path) -> None:
    """Let the files of a store be two days old."""
    for path in (store / "blobs" / "sha256").rglob("*"):
        os.utime(path, (time.time() - 2 * 86400,) * 2)


def test_deleted_runs_are_in_the_trash_until_they_are_restored(mlops: Mlops, store: Path) -> None:
    result = mlops("delete", "slow", "run-fast", "--store", store)
    assert result.exit_code == 0
    assert "`mlops restore run-slow`" in result.stdout
    assert not {"slow", "fast"} & live(mlops, store)
    assert mlops("restore", "run-slow", "--store", store).exit_code == 0
    assert "slow" in live(mlops, store)
    assert mlops_sdk.get_run("run-slow", tracking_uri=store).metrics["acc"] == 0.005


def test_latest_runs_are_looked_up_before_the_first_is_deleted(mlops: Mlops, store: Path) -> None:
    mlops("delete", "@1", "@2", "--store", store)
    assert not {"broken", "odd-numbers"} & live(mlops, store)
    assert {"slow", "fast"} <= live(mlops, store)


def test_a_run_whose_id_reads_like_a_shorthand_is_itself(mlops: Mlops, store: Path) -> None:
    mlops_sdk.start_run(run_id="@3", name="sly", tracking_uri=store, **QUIET).finish()
    before = live(mlops, store)
    mlops("delete", "sly", "--store", store)
    assert before - live(mlops, store) == {"sly"}


def test_nothing_is_deleted_when_one_of_them_is_not_found(mlops: Mlops, store: Path) -> None:
    result = mlops("delete", "slow", "nope", "--store", store)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "slow" in live(mlops, store)
    assert mlops("restore", "slow", "--store", store).exit_code == 1  # it is not in the trash


def test_gc_frees_the_trash_and_files_nothing_refers_to(mlops: Mlops, store: Path) -> None:
    make_old(store)
    blobs = store / "blobs" / "sha256"
    with mlops_sdk.start_run(run_id="lone", tracking_uri=store, **QUIET) as run:
        lone = run.log_text("only here", "lone.txt")
    make_old(store)
    mlops("delete", "lone", "--store", store)
    preview = mlops("gc", "--dry-run", "--store", store)
    assert preview.stdout == "would free 1 run and 1 file, 9 B\n"
    assert (blobs / lone.sha256[:2] / lone.sha256).exists()
    assert mlops("gc", "--older-than", "1", "--store", store).stdout.startswith("freed 0 runs and 0 files")
    assert mlops("gc", "--store", store).stdout.startswith("freed 1 run and 1 file")
    assert not (blobs / lone.sha256[:2] / lone.sha256).exists()
    assert mlops("restore", "lone", "--store", store).exit_code == 1
    assert mlops_sdk.get_run("run-slow", tracking_uri=store).artifact("notes/report.txt").read_text() == "report"


def test_gc_keeps_what_a_journal_refers_to_and_stops_where_it_cannot_know(mlops: Mlops, store: Path) -> None:
    place = mlops_sdk.open_store(store)
    waiting = place.blobs.put_bytes(b"waits in a journal").sha256
    unused = place.blobs.put_bytes(b"nobody's").sha256
    make_old(store)
    journal = Journal(store / "journals", "elsewhere")  # its writer lives: it delivers for itself
    journal.event(Kind.ARTIFACT, {"path": "a", "sha256": waiting, "size_bytes": 18})
    unreadable = store / "journals" / ("f" * 32)
    unreadable.mkdir()
    header = bytearray((next(journal.directory.glob("*.seg"))).read_bytes())
    header[8] = 99  # a format of the future
    (unreadable / "000001.seg").write_bytes(header)
    mlops("delete", "slow", "--store", store)
    try:
        stopped = mlops("gc", "--store", store)
        assert (stopped.exit_code, stopped.stderr.count("\n")) == (1, 1)
        assert place.blobs.has(unused)
        assert mlops("restore", "slow", "--store", store).exit_code == 0
        for path in (*unreadable.iterdir(), unreadable):
            path.unlink() if path.is_file() else path.rmdir()
        assert mlops("gc", "--store", store).exit_code == 0
        assert (place.blobs.has(waiting), place.blobs.has(unused)) == (True, False)
    finally:
        journal.close()
        journal.remove()


def test_a_backup_is_a_store_with_everything(mlops: Mlops, store: Path, tmp_path: Path) -> None:
    result = mlops("backup", tmp_path / "copy.bak", "--store", store)
    assert result.exit_code == 0
    assert "2 files" in result.stdout
    assert live(mlops, tmp_path / "copy.bak") == live(mlops, store)
    assert mlops("fsck", "--store", tmp_path / "copy.bak").exit_code == 0
    copied = mlops("artifacts", "get", "run-slow", "notes/report.txt", "-o", tmp_path, "--store", tmp_path / "copy.bak")
    assert Path(copied.stdout.strip()).read_text() == "report"


def test_a_backup_never_replaces_a_store_and_tells_what_is_missing(mlops: Mlops, store: Path, tmp_path: Path) -> None:
    assert mlops("backup", store, "--store", store).exit_code == 2
    (blob, *_) = [path for path in (store / "blobs" / "sha256").rglob("*") if path.is_file()]
    blob.unlink()
    result = mlops("backup", tmp_path / "copy.bak", "--store", store)
    assert result.exit_code == 1
    assert blob.name in result.stderr
    assert live(mlops, tmp_path / "copy.bak") == live(mlops, store)


def test_backup_takes_what_a_dead_writer_left(mlops: Mlops, store: Path, tmp_path: Path) -> None:
    journal = Journal(store / "journals", "orphan")
    journal.event(Kind.RUN, {"experiment": "digits", "name": "orphan"})
    journal.leave()
    mlops("backup", tmp_path / "copy.bak", "--store", store)
    assert "orphan" in live(mlops, tmp_path / "copy.bak")


# -- init ----------------------------------------------------------------------------------------------------------------


def test_init_makes_a_private_store_here_or_there(mlops: Mlops, tmp_path: Path) -> None:
    assert mlops("init").exit_code == 0
    assert mlops("init", tmp_path / "there").exit_code == 0
    for directory in (tmp_path / ".mlops", tmp_path / "there" / ".mlops"):
        assert (directory / "store.db").is_file()
        if os.name == "posix":
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            assert stat.S_IMODE((directory / "store.db").stat().st_mode) == 0o600
    again = mlops("init", tmp_path / "there")
    assert (again.exit_code, "already" in again.stdout) == (0, True)
    assert not (tmp_path / "there" / ".mlops" / ".mlops").exists()
    assert mlops_sdk.search_runs(tracking_uri=tmp_path / "there").to_dicts() == []


@pytest.mark.skipif(os.name != "posix", reason="groups are a POSIX notion")
def test_a_store_is_shared_when_made_or_later(mlops: Mlops, store: Path, tmp_path: Path) -> None:
    assert mlops("init", tmp_path / "lab", "--shared").exit_code == 0
    assert mlops("init", store, "--shared").exit_code == 0
    for root in (tmp_path / "lab" / ".mlops", store):
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*")) if path.is_dir()}
        assert modes == {0o2770}
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
        assert files["store.db"] == 0o660
        assert all(mode & 0o077 == mode >> 3 & 0o070 for mode in files.values())
    assert live(mlops, store) >= {"slow", "fast"}


def test_init_refuses_what_is_no_directory(mlops: Mlops, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = mlops("init", tmp_path / "file")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "file").read_text() == "mine"
    assert mlops("init", "http://127.0.0.1:1").exit_code == 2
