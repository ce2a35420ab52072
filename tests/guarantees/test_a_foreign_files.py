"""A31-A33: places that somebody else prepared, journals made to mislead, a database beside the log of another one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.fingerprint.making import fingerprint
from mlops_sdk.journal import records
from mlops_sdk.stores import location
from mlops_sdk.stores.sqlite.connection import open_reader
from tests.guarantees import processes
from tests.guarantees.every_call import QUIET
from tests.guarantees.journals import leave_a_journal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions and links are those of POSIX")

# -- A31: places ---------------------------------------------------------------------------------------------------------


def _for_all(path: Path) -> None:
    path.mkdir(parents=True)
    path.chmod(0o777)


def _somebody_elses(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make what is somebody else's")
    path.mkdir(parents=True, mode=0o700)
    os.chown(path, processes.NOBODY, processes.NOBODY)


def _a_link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700, parents=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(elsewhere)


PREPARED: dict[str, Callable[[Path], None]] = {
    "for all": _for_all, "somebody else's": _somebody_elses, "a link": _a_link,
}  # fmt: skip


@pytest.mark.parametrize("depth", ["mlops", "mlops/fingerprints"])
@pytest.mark.parametrize("what", PREPARED)
def test_a_prepared_cache_of_fingerprints_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, depth: str
) -> None:
    data = tmp_path / "x.csv"
    data.write_text("a\n1\n")
    os.utime(data, (1e9, 1e9))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    true = fingerprint(data)
    (entry,) = (tmp_path / "own" / "mlops" / "fingerprints").iterdir()

    cache = tmp_path / "shared" / "mlops" / "fingerprints"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    PREPARED[what](tmp_path / "shared" / depth)
    cache.mkdir(parents=True, exist_ok=True)
    lie = cache / entry.name
    lie.write_text(entry.read_text().replace('"n_rows": 1', '"n_rows": 77'))
    if depth == "mlops/fingerprints":
        lie.chmod(0o666)
    assert fingerprint(data) == true
    assert fingerprint(data).n_rows == 1
    assert "77" in lie.read_text(), "and nothing was written there"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_cache_is_the_owners_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "x.csv").write_text("a\n1\n")
    os.utime(tmp_path / "x.csv", (1e9, 1e9))
    before = os.umask(umask)
    try:
        fingerprint(tmp_path / "x.csv")
    finally:
        os.umask(before)
    made = [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
    assert [f"{path} {path.stat().st_mode:o}" for path in made if path.stat().st_mode & 0o077] == []
    assert len(made) == 4


def test_an_entry_that_is_a_pipe_or_a_link_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "x.csv").write_text("a\n1\n")
    os.utime(tmp_path / "x.csv", (1e9, 1e9))
    fingerprint(tmp_path / "x.csv")
    (entry,) = (tmp_path / "cache" / "mlops" / "fingerprints").iterdir()
    text = entry.read_text()
    for make in (lambda: os.mkfifo(entry), lambda: entry.symlink_to(tmp_path / "lie.json")):
        (tmp_path / "lie.json").write_text(text.replace('"n_rows": 1', '"n_rows": 77'))
        entry.unlink()
        make()
        assert fingerprint(tmp_path / "x.csv").n_rows == 1


@pytest.mark.parametrize("what", PREPARED)
def test_a_prepared_directory_in_a_directory_for_all_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The last resort for a store that nobody named lies in the temporary directory, under a name that can be guessed."""
    monkeypatch.setattr(location, "_temporary_directory", lambda: tmp_path)
    lab = location.Location(Path("/proc/no/such/place"), "of the working directory")
    monkeypatch.setattr(location, "state_directory", lambda: Path("/proc/no/such/state"))
    (tmp_path / "sub").mkdir()
    made, is_new = location.make(lab)
    assert is_new
    assert made.path.parent.parent == tmp_path
    assert [each for each in tmp_path.rglob("mlops-*/**") if each.stat().st_mode & 0o077] == []
    shutil.rmtree(made.path.parent)
    PREPARED[what](made.path.parent)
    with pytest.raises(mlops_sdk.StoreUnavailableError, match="not a private directory"):
        location.make(lab)
    assert list(made.path.parent.iterdir()) == []


def test_a_store_behind_a_link_of_ones_own_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with mlops_sdk.start_run(tracking_uri=tmp_path / "link" / "store", run_id="r", **QUIET) as run:
        run.log_text("x", "x.txt")
    assert mlops_sdk.get_run("r", tracking_uri=tmp_path / "disk" / "store").status == "FINISHED"
    assert [path for path in (tmp_path / "disk").rglob("*") if path.stat().st_mode & 0o077] == []


# -- A32: journals made to mislead: their checksums are right -------------------------------------------------------------


def _with_header(segment: Path, **changes: Any) -> None:
    content = bytearray(segment.read_bytes())
    header = replace(records.decode_header(bytes(content[: records.HEADER_BYTES])), **changes)
    content[: records.HEADER_BYTES] = records.encode_header(header)
    segment.write_bytes(content)


def _future_version(segment: Path) -> None:
    content = bytearray(segment.read_bytes())
    struct.pack_into("<I", content, 8, records.FORMAT + 7)
    segment.write_bytes(content)


def _negative_numbers(segment: Path) -> None:
    content = bytearray(segment.read_bytes())
    magic, version, length, _ = records._PREFIX.unpack_from(content)
    said = json.loads(content[records._PREFIX.size : records._PREFIX.size + length])
    body = json.dumps({**said, "first": -5, "index": -1, "pid": -1}, separators=(",", ":")).encode()
    content[: records._PREFIX.size] = records._PREFIX.pack(magic, version, len(body), zlib.crc32(body))
    content[records._PREFIX.size : records._PREFIX.size + len(body)] = body
    segment.write_bytes(content)


def _far_ahead(segment: Path) -> None:
    _with_header(segment, first=2**62, index=2**62)


def _names_of_paths(segment: Path) -> None:
    _with_header(segment, run_id="../../../../tmp/evil", host="../..", boot_id="/etc")


def _twice(segment: Path) -> None:
    for number in (2, 3):
        shutil.copy(segment, segment.with_name(f"{number:08d}.seg"))


def _in_a_circle(segment: Path) -> None:
    """Each says that it follows the other."""
    other = segment.with_name("00000002.seg")
    shutil.copy(segment, other)
    _with_header(segment, index=2, first=200)
    _with_header(other, index=1, first=400)


def _lying_frame(segment: Path) -> None:
    """A frame whose length is 2^32 - 1 by a right checksum of what is there."""
    content = bytearray(segment.read_bytes())
    header = records.decode_header(bytes(content[: records.HEADER_BYTES]))
    frame = bytearray(
        records.encode_frame(records.Kind.PARAMS, 1, {"key": "k", "value": 1}, records.seed_of(header.writer_id))
    )
    struct.pack_into("<I", frame, 4, 2**32 - 1)
    end = records.HEADER_BYTES + records.sound_prefix(bytes(content[records.HEADER_BYTES :]), header.seed)
    content[end : end + len(frame)] = frame
    segment.write_bytes(content)


MISLEADING = {
    "of a version to come": _future_version, "negative numbers": _negative_numbers, "far ahead": _far_ahead,
    "names of paths": _names_of_paths, "three times the same": _twice, "in a circle": _in_a_circle, "a lying frame": _lying_frame,
}  # fmt: skip
_OPENED: list[str] = []
_STATE = {"is_watching": False}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _STATE["is_watching"] and event in (
        "open",
        "os.mkdir",
        "os.rename",
        "os.remove",
        "subprocess.Popen",
        "os.system",
    ):
        _OPENED.append(f"{event} {arguments[0]!r}")


sys.addaudithook(_watch)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """What this process opens, makes, moves and runs meanwhile."""
    _OPENED.clear()
    _STATE["is_watching"] = True
    yield _OPENED
    _STATE["is_watching"] = False


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", MISLEADING)
def test_misleading_journals_harm_no_other_run(tmp_path: Path, what: str, opened: list[str]) -> None:
    store = tmp_path / "store"
    leave_a_journal(store, "sound")
    journal = leave_a_journal(store, "victim")
    (segment,) = journal.glob("*.seg")
    MISLEADING[what](segment)
    kept = {path.name: path.read_bytes() for path in journal.glob("*.seg")}
    opened.clear()
    began = time.monotonic()
    view = mlops_sdk.get_run("sound", tracking_uri=store)
    assert (view.status, len(view.metric("loss")), dict(view.params)) == ("KILLED", 100, {"p": 1})
    with mlops_sdk.start_run(tracking_uri=store, run_id="next", **QUIET) as run:
        run.log_metric("loss", 1.0)
    assert time.monotonic() - began < 5.0
    others = {each.run_id: each for each in mlops_sdk.search_runs(tracking_uri=store)}
    for name in set(others) - {"sound", "next"}:  # a prefix of what was logged, each value once, and nothing else
        values = others[name].metric("loss").value.tolist() if others[name].metrics else []
        assert values == [float(step) for step in range(len(values))], name
    if what == "of a version to come":
        assert {path.name: path.read_bytes() for path in journal.glob("*.seg")} == kept, (
            "left for the version that can read it"
        )
    strays = [
        line for line in opened if "evil" in line or "/etc/" in line or line.startswith(("subprocess", "os.system"))
    ]
    assert strays == []
    print(f"A32 {what}: {len(others) - 2} misled runs, {len(opened)} files touched, 0 outside")


def test_a_journal_of_a_version_to_come_is_told_by_doctor(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from mlops_sdk.cli.program import mlops

    leave_a_journal(tmp_path / "store", "sound")
    (segment,) = leave_a_journal(tmp_path / "store", "victim").glob("*.seg")
    _future_version(segment)
    mlops_sdk.get_run("sound", tracking_uri=tmp_path / "store")
    result = CliRunner().invoke(mlops, ["doctor", "--store", str(tmp_path / "store"), "--json"])
    assert "version" in json.dumps(json.loads(result.output))


# -- A33: databases ------------------------------------------------------------------------------------------------------


def _filled(store: Path, run_id: str, n: int) -> None:
    with mlops_sdk.start_run(tracking_uri=store, run_id=run_id, **QUIET) as run:
        for step in range(n):
            run.log_metric("loss", float(step))
    mlops_sdk.open_store(store).close()


def test_the_log_of_another_database_is_an_error_of_ours_or_nothing(tmp_path: Path) -> None:
    """SQLite checks a log by its own checksums, not whose it is."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    _filled(mine, "mine", 50)
    _filled(theirs, "theirs", 500)
    writer = sqlite3.connect(theirs / "store.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("PRAGMA wal_autocheckpoint=0")
    for turn in range(20):
        writer.execute("UPDATE runs SET name = ?", (f"name {turn}" * 300,))
    shutil.copy(theirs / "store.db-wal", mine / "store.db-wal")
    writer.close()
    program = (
        "import sys, resource, mlops_sdk\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "for name in ('mine', 'theirs'):\n"
        "    try:\n"
        "        print(mlops_sdk.get_run(name, tracking_uri=sys.argv[1]).metric('loss').value.tolist())\n"
        "    except mlops_sdk.MlopsError as error:\n"
        "        print(type(error).__name__)\n"
    )
    done = processes.run(program, mine)
    assert done.returncode == 0, done.stderr
    own, other = done.stdout.splitlines()
    whole = [[float(step) for step in range(n)] for n in (50, 500)]
    assert own in ("StoreCorruptError", "RunNotFoundError", str(whole[0]))
    assert other in ("StoreCorruptError", "RunNotFoundError", str(whole[1]))


def test_a_reader_cannot_be_made_to_reach_anything_else(tmp_path: Path) -> None:
    _filled(tmp_path / "store", "r", 3)
    connection, _ = open_reader(tmp_path / "store" / "store.db")
    try:
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("trusted_schema", "cell_size_check", "query_only")
        }
        assert settings == {"trusted_schema": 0, "cell_size_check": 1, "query_only": 1}
        for statement in (
            f"ATTACH '{tmp_path / 'other.db'}' AS other", "DELETE FROM runs", "CREATE TABLE x (a)", "CREATE TEMP TABLE x (a)",
            "CREATE VIEW x AS SELECT 1", "DROP TABLE runs", "UPDATE runs SET name = 'x'", "ALTER TABLE runs ADD COLUMN x",
            "SELECT load_extension('/tmp/evil.so')", "VACUUM", f"VACUUM INTO '{tmp_path / 'copy.db'}'",
            "CREATE VIRTUAL TABLE x USING fts5(a)", "REINDEX", "INSERT INTO runs DEFAULT VALUES",
        ):  # fmt: skip
            with pytest.raises(sqlite3.Error):
                connection.execute(statement).fetchall()
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    finally:
        connection.close()
    assert not (tmp_path / "other.db").exists()
    assert not (tmp_path / "copy.db").exists()
