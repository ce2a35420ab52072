"""The files of a SQLite store: whose they are, what they may hold, and what happens to them behind the store's back."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import (
    ForeignStoreError,
    SequenceGapError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    StoreVersionError,
)
from mlops_sdk.stores.sqlite import connection as connections
from mlops_sdk.stores.sqlite import database as databases
from mlops_sdk.stores.sqlite import directory as directories
from mlops_sdk.stores.sqlite.lock import locked
from mlops_sdk.stores.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript

posix_only = pytest.mark.skipif(os.name == "nt", reason="modes and owners are POSIX")


@pytest.fixture
def opened() -> Iterator[Callable[..., SQLiteStore]]:
    """Opens stores, and closes them at the end."""
    stores: list[SQLiteStore] = []

    def open_store(directory: Path, **options: Any) -> SQLiteStore:
        stores.append(SQLiteStore(directory, **options))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def filled(directory: Path) -> WriterScript:
    """A store at rest with one run."""
    store = SQLiteStore(directory)
    script = WriterScript("run-1").run().params({"lr": 0.1}).points("loss", [1.0, 2.0])
    script.send(store)
    store.close()
    return script


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def edit_database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


# -- at rest -----------------------------------------------------------------------------------------------------------


def test_making_the_object_touches_nothing(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store")
    assert (store.uri, store.is_remote, store.directory) == (str(tmp_path / "store"), False, tmp_path / "store")
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_store_at_rest_is_one_clean_file(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    assert sorted(files(tmp_path / "store")) == ["store.db", "store.lock"]
    connection = sqlite3.connect(f"{(tmp_path / 'store' / 'store.db').as_uri()}?mode=ro&immutable=1", uri=True)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert connection.execute("SELECT last FROM v_metrics").fetchone() == (2.0,)
    connection.close()


def test_connections_end_with_the_store_that_nobody_closed(tmp_path: Path) -> None:
    """Python 3.13 would warn of each, in a program that never heard of it."""
    store = SQLiteStore(tmp_path / "store")
    WriterScript("run-1").run().send(store)
    store.find(RunQuery())
    database = store.database
    connections = [database._writer, *(connection for _, connection in database._readers)]
    assert len(connections) == 2
    del store, database
    gc.collect()
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")  # type: ignore[union-attr]


def test_settling_merges_the_log_and_closes_the_file(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    store = opened(tmp_path)
    WriterScript("run-1").run().points("loss", [1.0]).send(store)
    store.find(RunQuery())
    assert (tmp_path / "store.db-wal").stat().st_size > 0
    store.settle("run-1")
    assert sorted(files(tmp_path)) == ["store.db", "store.lock"]
    assert len(store.series("run-1", "loss")) == 1


def test_a_reader_does_not_keep_settling_waiting(
    tmp_path: Path, opened: Callable[..., SQLiteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_CHECKPOINT_WAIT_MS", 1)
    store, reader = opened(tmp_path), opened(tmp_path)
    script = WriterScript("run-1").run().points("loss", [1.0])
    script.send(store)
    with reader.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        script.points("loss", [2.0]).send(store)
        store.settle("run-1")
        assert (tmp_path / "store.db-wal").stat().st_size > 0
    assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0]


def test_settings_of_the_connections(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    store = opened(tmp_path)
    expected = {"trusted_schema": 0, "cell_size_check": 1, "mmap_size": 0}
    with store.database.exclusive() as writer:
        found = {name: writer.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
        assert found == expected
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
        assert writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="too many attached"):
            writer.execute("ATTACH ':memory:' AS other")
    with store.database.reading() as reader:
        assert {name: reader.execute(f"PRAGMA {name}").fetchone()[0] for name in expected} == expected
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM meta")


def test_the_log_is_merged_above_four_mebibytes(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    store = opened(tmp_path)
    script = WriterScript("run-1").run()
    script.send(store)
    largest = 0
    for number in range(24):
        script.tags(**{f"tag {number} {part}": "x" * 60_000 for part in range(10)}).send(store)
        largest = max(largest, (tmp_path / "store.db-wal").stat().st_size)
    assert (tmp_path / "store.db").stat().st_size > 8 << 20
    assert largest < databases.CHECKPOINT_BYTES + (2 << 20)


def test_without_a_log(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    store = opened(tmp_path, wal=False)
    script = WriterScript("run-1").run().points("loss", [1.0])
    script.send(store)
    with store.database.exclusive() as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert writer.execute("PRAGMA synchronous").fetchone() == (3,)
    assert store.series("run-1", "loss").value.tolist() == [1.0]
    assert not list(tmp_path.glob("*-wal")) + list(tmp_path.glob("*-shm"))
    store.close()
    with_log = opened(tmp_path)
    script.points("loss", [2.0]).send(with_log)
    assert (tmp_path / "store.db-wal").exists()
    with_log.close()
    assert len(store.series("run-1", "loss")) == 2
    script.points("loss", [3.0]).send(store)
    assert not list(tmp_path.glob("*-wal"))


# -- owners and permissions ------------------------------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_everything_is_private_whatever_the_umask(
    tmp_path: Path, opened: Callable[..., SQLiteStore], umask: int
) -> None:
    old = os.umask(umask)
    try:
        store = opened(tmp_path / "store")
        WriterScript("run-1").run().points("loss", [1.0]).send(store)
        store.find(RunQuery())
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").iterdir()}
    assert modes == dict.fromkeys(["store.db", "store.db-wal", "store.db-shm", "store.lock"], 0o600)


@posix_only
def test_a_shared_directory_stays_shared(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    tmp_path.chmod(0o2770)
    old = os.umask(0o077)
    try:
        store = opened(tmp_path)
        WriterScript("run-1").run().send(store)
    finally:
        os.umask(old)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o2770
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("store.*")} == {0o660}


@posix_only
def test_a_store_of_somebody_else_is_read_and_not_written(
    tmp_path: Path, opened: Callable[..., SQLiteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = filled(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1234)
    store = opened(tmp_path)
    assert len(store.series("run-1", "loss")) == 2
    before = files(tmp_path)
    with pytest.raises(StoreUnavailableError, match=r"belongs to user .*mlops init --shared"):
        script.points("loss", [3.0]).send(store)
    assert files(tmp_path)["store.db"] == before["store.db"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(directories, "claim", lambda *_: None)
    assert store.append(script.between(script.last, script.last)) == script.last


@posix_only
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    directory = tmp_path / "store"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 23456)
    store = SQLiteStore(directory)
    WriterScript("run-1").run().send(store)
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in directory.iterdir()}
    assert owners == dict.fromkeys(["store.db", "store.db-wal", "store.db-shm", "store.lock"], (12345, 23456))
    store.close()


@posix_only
def test_a_directory_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    """In a child whose mounts are its own, for permissions do not bind root."""
    filled(tmp_path / "store")
    before = files(tmp_path / "store")
    done = read_from_read_only(
        tmp_path / "store",
        """
        assert len(store.series("run-1", "loss")) == 2
        assert store.load(["run-1"], ["params"])["run-1"].params == {"lr": 0.1}
        try:
            WriterScript("run-2").run().send(store)
        except StoreUnavailableError as error:
            print("refused:", error)
        """,
    )
    assert "refused:" in done
    assert files(tmp_path / "store") == before


@posix_only
def test_a_log_in_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    store = SQLiteStore(directory)
    WriterScript("run-1").run().points("loss", [1.0]).send(store)
    shutil.copytree(directory, tmp_path / "copy")
    store.close()
    (tmp_path / "copy" / "store.db-shm").unlink()
    done = read_from_read_only(
        tmp_path / "copy",
        """
        try:
            store.find(RunQuery())
        except StoreUnavailableError as error:
            print("refused:", error)
        """,
    )
    assert "store.db-wal" in done
    assert "copy the directory" in done


def read_from_read_only(directory: Path, program: str) -> str:
    """Run a program with `store` on `directory` while that is read-only; returns what it printed."""
    setup = f"""
        import os, sys
        from mlops_sdk.entities import RunQuery
        from mlops_sdk.errors import StoreUnavailableError
        from mlops_sdk.stores.sqlite.store import SQLiteStore
        from mlops_sdk.testing import WriterScript
        if os.access({str(directory)!r}, os.W_OK):
            print("BOUND BY NOTHING"); sys.exit()
        store = SQLiteStore({str(directory)!r})
    """
    code = textwrap.dedent(setup) + textwrap.dedent(program)
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        mounts = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", mounts, "sh", str(directory), *command]
    directory.chmod(0o500)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    except FileNotFoundError as error:
        pytest.skip(f"no read-only directory for root here: {error}")
    finally:
        directory.chmod(0o700)
    if "BOUND BY NOTHING" in done.stdout or "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no read-only directory here: {done.stderr.strip() or 'permissions do not bind'}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_read_only_makes_nothing(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    store = opened(tmp_path / "store", read_only=True)
    with pytest.raises(StoreUnavailableError, match="mlops init"):
        store.find(RunQuery())
    assert list(tmp_path.iterdir()) == []
    script = filled(tmp_path / "store")
    assert [head.run_id for head in store.find(RunQuery())] == ["run-1"]
    with pytest.raises(StoreUnavailableError, match="for reading only"):
        script.points("loss", [3.0]).send(store)
    edit_database(tmp_path / "store" / "store.db", "PRAGMA user_version=0")
    store.close()
    with pytest.raises(StoreUnavailableError, match="older format"):
        store.find(RunQuery())


# -- not ours, or not as we made it ------------------------------------------------------------------------------------


def assert_refused(directory: Path, error: type[StoreError], match: str) -> None:
    """Every way to use the store is refused, and not a byte changes."""
    before = files(directory)
    script = WriterScript("run-1").run()
    store = SQLiteStore(directory)
    for use in (lambda: script.send(store), lambda: store.find(RunQuery()), store.open):
        with pytest.raises(error, match=match):
            use()
    store.close()
    after = files(directory)
    after.pop("store.lock", None)
    if error is StoreCorruptError:  # ours, if damaged: SQLite may make its side files
        after = {name: after[name] for name in before}
    assert after == before


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_database_of_another_program_is_not_touched(tmp_path: Path, journal_mode: str) -> None:
    edit_database(
        tmp_path / "store.db",
        f"PRAGMA journal_mode={journal_mode}",
        "CREATE TABLE experiments (experiment_id INTEGER)",
        "CREATE TABLE runs (run_uuid TEXT)",
    )
    assert_refused(tmp_path, ForeignStoreError, "another program; it was not touched. Name another directory")


def test_a_database_with_another_application_id_is_not_touched(tmp_path: Path) -> None:
    edit_database(tmp_path / "store.db", "PRAGMA application_id=252006673", "CREATE TABLE t (x)")
    assert_refused(tmp_path, ForeignStoreError, "another program")


def test_a_newer_store_is_not_touched(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "store.lock").unlink()
    edit_database(tmp_path / "store.db", f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    assert_refused(tmp_path, StoreVersionError, f"format {SCHEMA_VERSION + 1}")


def test_a_store_that_a_newer_version_migrates_is_left_alone_at_once(
    tmp_path: Path, opened: Callable[..., SQLiteStore]
) -> None:
    store = opened(tmp_path)
    script = WriterScript("run-1").run()
    script.send(store)
    edit_database(tmp_path / "store.db", f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(StoreVersionError):
        script.points("loss", [1.0]).send(store)
    with pytest.raises(StoreVersionError):
        store.find(RunQuery())
    edit_database(tmp_path / "store.db", f"PRAGMA user_version={SCHEMA_VERSION}")
    assert store.append(script.batches()[0]) == script.last


def test_no_database_at_all(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is not a database, and long enough to be one" * 100)
    assert_refused(tmp_path, StoreCorruptError, "not a SQLite database")


def test_an_empty_file_becomes_a_store(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    (tmp_path / "store.db").touch()
    assert opened(tmp_path).find(RunQuery()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM params; END",
        "CREATE TEMP TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM params; END",
    ],
)
def test_triggers_are_refused(tmp_path: Path, opened: Callable[..., SQLiteStore], statement: str) -> None:
    filled(tmp_path)
    edit_database(tmp_path / "store.db", statement)
    if "TEMP" in statement:  # those are of one connection, and not in the file
        assert len(opened(tmp_path).find(RunQuery())) == 1
    else:
        (tmp_path / "store.lock").unlink()
        assert_refused(tmp_path, StoreCorruptError, "trigger 't'")


def test_a_view_in_the_place_of_a_table_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "store.lock").unlink()
    edit_database(
        tmp_path / "store.db",
        "DROP TABLE tags",
        """CREATE VIEW tags AS WITH RECURSIVE n (run, key, value) AS
        (SELECT 1, 'k', 'v' UNION ALL SELECT run, key, value FROM n) SELECT * FROM n""",
    )
    assert_refused(tmp_path, StoreCorruptError, "view 'tags'")


def test_views_and_tables_of_the_user_are_welcome(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    filled(tmp_path)
    edit_database(
        tmp_path / "store.db", "CREATE VIEW best AS SELECT max(last) FROM v_metrics", "CREATE TABLE notes (text)"
    )
    assert len(opened(tmp_path).find(RunQuery())) == 1


# -- behind the store's back -------------------------------------------------------------------------------------------


@posix_only
def test_a_store_that_was_removed_is_made_again(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    directory = tmp_path / "store"
    store = opened(directory)
    script = WriterScript("run-1").run().points("loss", [1.0])
    script.send(store)
    first_id = store.store_id
    shutil.rmtree(directory)
    script.points("loss", [2.0])
    with pytest.raises(SequenceGapError) as caught:
        script.send(store)
    assert caught.value.expected == 1
    assert store.append(script.batches()[0]) == script.last
    assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0]
    assert store.store_id != first_id


@posix_only
def test_a_store_that_was_replaced_is_noticed_by_writers_and_readers(
    tmp_path: Path, opened: Callable[..., SQLiteStore]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    store = opened(one)
    script = WriterScript("run-1").run().points("loss", [1.0])
    script.send(store)
    store.find(RunQuery())
    other = SQLiteStore(two)
    WriterScript("run-2").run().send(other)
    other.close()
    for path in one.glob("store.db*"):
        path.unlink()
    shutil.copy(two / "store.db", one / "store.db")
    assert [head.run_id for head in store.find(RunQuery())] == ["run-2"]
    script.points("loss", [2.0])
    with pytest.raises(SequenceGapError):
        script.send(store)
    assert store.store_id == other.store_id


def test_a_lock_file_that_was_removed_is_made_again(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    store = opened(tmp_path)
    script = WriterScript("run-1").run()
    script.send(store)
    (tmp_path / "store.lock").unlink()
    script.points("loss", [1.0]).send(store)
    assert (tmp_path / "store.lock").exists()


def test_a_writer_waits_for_the_lock_and_gives_up_with_words(
    tmp_path: Path, opened: Callable[..., SQLiteStore]
) -> None:
    store = opened(tmp_path, timeout_s=0.05)
    script = WriterScript("run-1").run()
    script.send(store)
    script.points("loss", [1.0])
    with (
        locked(tmp_path / "store.lock", timeout_s=1.0, mode=0o600),
        pytest.raises(StoreUnavailableError, match="another process has been writing"),
    ):
        script.send(store)
    assert len(store.find(RunQuery())) == 1
    assert store.append(script.batches()[0]) == script.last


def test_a_program_that_locks_the_database_itself_is_named_as_the_cause(
    tmp_path: Path, opened: Callable[..., SQLiteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.05)
    store = opened(tmp_path)
    script = WriterScript("run-1").run()
    script.send(store)
    browser = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    browser.execute("BEGIN IMMEDIATE")
    store.database.rest()
    script.points("loss", [1.0])
    with pytest.raises(StoreUnavailableError, match="database browser"):
        script.send(store)
    browser.execute("ROLLBACK")
    browser.close()
    assert store.append(script.batches()[0]) == script.last


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path, opened: Callable[..., SQLiteStore]) -> None:
    store = opened(tmp_path)
    script = WriterScript("run-1").run().points("loss", [1.0])
    script.send(store)
    with store.database.exclusive() as writer:
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count={pages + 1}").fetchall()
    script.tags(**{f"tag {number}": "x" * 5_000 for number in range(50)}).points("loss", [2.0])
    with pytest.raises(StoreUnavailableError, match="free some space"):
        script.send(store)
    assert store.load(["run-1"], ["tags"])["run-1"].tags == {}
    assert store.append(script.batches()[0]) == script.last  # a new connection has no limit
    assert len(store.load(["run-1"], ["tags"])["run-1"].tags) == 50
