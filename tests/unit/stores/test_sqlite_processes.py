"""Many processes at one SQLite store: first opens, concurrent writers, sudden deaths, forks; and what is imported."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import StoreUnavailableError
from mlops_sdk.stores.sqlite import database as databases
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript

has_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")

HEAD = """
import sys
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing.batches import WriterScript
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A fresh interpreter that waits for a line on its standard input after its imports."""
    code = HEAD + "print('ready', flush=True); sys.stdin.readline()\n" + textwrap.dedent(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )


def run_together(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let processes begin at one moment; returns what each printed."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = []
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        printed.append(out)
    return printed


WRITE = """
    script = WriterScript(f"run {sys.argv[2]}", f"writer {sys.argv[2]}").run(experiment="shared")
    store = SQLiteStore(sys.argv[1])
    for number in range(int(sys.argv[3])):
        script.points("loss", [float(number)]).tags(number=str(number)).send(store)
    print(store.store_id)
    store.close()
"""


@pytest.mark.slow
def test_thirty_two_processes_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    ids = run_together([start(WRITE, directory, number, 2) for number in range(32)])
    assert len(set(ids)) == 1
    store = SQLiteStore(directory)
    assert len(store.find(RunQuery())) == 32
    assert [each.n_runs for each in store.experiments()] == [32]
    assert store.fsck() == []
    store.close()


@pytest.mark.slow
def test_eight_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    run_together([start(WRITE, directory, number, 40) for number in range(8)])
    store = SQLiteStore(directory)
    for number in range(8):
        assert store.series(f"run {number}", "loss").value.tolist() == [float(value) for value in range(40)]
    store.close()


def test_threads_of_one_object_and_of_several(tmp_path: Path) -> None:
    stores = [SQLiteStore(tmp_path), SQLiteStore(tmp_path)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            script, store = WriterScript(f"run {number}").run(), stores[number % 2]
            for value in range(15):
                script.points("loss", [float(value)]).send(store)
                assert len(store.series(f"run {number}", "loss")) == value + 1
        except BaseException as error:  # noqa: BLE001 - asserted in the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(stores[0].find(RunQuery())) == 6
    for store in stores:
        store.close()


KILLED = """
    script, store = WriterScript(sys.argv[2]).run(), SQLiteStore(sys.argv[1])
    script.send(store)
    number = 0
    while True:
        size = 1 + number * 7 % 40
        script.points("loss", [float(number + more) for more in range(size)]).tags(last=str(number + size)).send(store)
        number += size
        print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this platform")
def test_a_writer_killed_in_the_middle_leaves_whole_batches(tmp_path: Path) -> None:
    chance = random.Random(7)
    store = SQLiteStore(tmp_path)
    store.open()
    for trial in range(4):
        run_id = f"run {trial}"
        process = start(KILLED, tmp_path, run_id)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        seen = [process.stdout.readline() for _ in range(chance.randrange(2, 40))]
        time.sleep(chance.random() * 0.003)  # not for luck: to be killed anywhere between two commits
        process.kill()
        rest, _ = process.communicate()
        acknowledged = [int(line) for line in seen[1:] + rest.split("\n")[:-1]]
        values = store.series(run_id, "loss").value.tolist()
        assert values == [float(value) for value in range(len(values))]
        assert len(values) >= acknowledged[-1]
        assert store.load([run_id], ["tags"])[run_id].tags == {"last": str(len(values))}
        script, number = WriterScript(run_id).run(), 0
        while number < len(values):
            size = 1 + number * 7 % 40
            script.points("loss", [float(number + more) for more in range(size)]).tags(last=str(number + size))
            number += size
        state = store.acknowledged(script.header.writer_id)
        assert state is not None
        assert (state.sequence, len(values)) == (script.last, number)
    assert store.fsck() == []
    store.close()


# -- forks -------------------------------------------------------------------------------------------------------------


def in_child(work: object) -> int:
    """Exit code of a forked child that does `work`."""
    assert callable(work)
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child must not go on as a second test session
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@has_fork
def test_parent_and_child_go_on_writing_after_a_fork(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path)
    parent = WriterScript("run-1", "parent").run()
    parent.send(store)
    store.find(RunQuery())

    def child() -> None:
        # the object of before, and a new one
        script = WriterScript("run-1", "child", role="attached").run().points("loss", [1.0])
        script.send(store)
        script.points("loss", [2.0]).send(SQLiteStore(tmp_path))
        assert len(store.series("run-1", "loss")) == 2

    for _ in range(3):
        assert in_child(child) == 0
        parent.points("mine", [1.0]).send(store)
    assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0]
    assert len(store.series("run-1", "mine")) == 3
    assert store.fsck() == []
    store.close()


@has_fork
def test_no_connection_is_open_while_the_process_forks(tmp_path: Path) -> None:
    """One that the child inherited would make it share lock states that it does not hold."""
    store = SQLiteStore(tmp_path)
    WriterScript("run-1").run().send(store)
    store.find(RunQuery())

    def child() -> None:
        held = {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if fd_is_open(name)}
        assert not [path for path in held if str(tmp_path) in path], held

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc here")
    assert in_child(child) == 0
    store.close()


def fd_is_open(name: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{name}")


@has_fork
def test_a_child_forked_in_the_middle_of_a_read_leaves_the_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_FORK_WAIT_S", 0.05)
    store = SQLiteStore(tmp_path)
    script = WriterScript("run-1").run()
    script.send(store)

    def child() -> None:
        for attempt in (store, SQLiteStore(tmp_path)):
            with pytest.raises(StoreUnavailableError, match="stays in its journal"):
                WriterScript("run-1", "child", role="attached").run().send(attempt)

    with store.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert in_child(child) == 0
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    script.points("loss", [1.0]).send(store)
    assert len(store.series("run-1", "loss")) == 1
    store.close()


@has_fork
def test_forks_while_threads_write_and_read(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path)
    WriterScript("run-1", "parent").run().send(store)
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        script = WriterScript("run-1", f"thread {number}", role="attached").run()
        try:
            while not stop.is_set():
                script.points(f"metric {number}", [1.0]).send(store)
                store.series("run-1", f"metric {number}")
        except BaseException as error:  # noqa: BLE001 - asserted in the main thread
            errors.append(error)

    def child(number: int) -> None:
        WriterScript("run-1", f"child {number}", role="attached").run().points("child", [1.0]).send(store)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    codes = [in_child(lambda number=number: child(number)) for number in range(15)]
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert codes == [0] * 15
    assert len(store.series("run-1", "child")) == 15
    assert store.fsck() == []
    store.close()


# -- what is imported --------------------------------------------------------------------------------------------------


def loaded_after(program: str, *arguments: object) -> set[str]:
    """Third-party packages in `sys.modules` at the end of a program."""
    tail = "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    (printed,) = run_together([start(textwrap.dedent(program) + tail, *arguments)])
    return set(printed.split()) & {"numpy", "pcodec", "pandas", "sqlite_utils", "click", "hypothesis", "pydantic"}


def test_a_small_append_and_a_short_run_import_no_third_party_module(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path)
    store.open()
    store.close()
    program = """
    script, store = WriterScript("run-1").run().params({"lr": 0.1}).tags(a="b"), SQLiteStore(sys.argv[1])
    script.points("loss", [float(value) for value in range(1000)]).send(store)
    script.status().send(store)
    store.settle("run-1")
    from mlops_sdk.entities import PARTS, RunQuery
    (head,) = store.find(RunQuery())
    assert store.load([head.run_id], PARTS)["run-1"].metrics["loss"].count == 1000
    store.close()
    """
    assert loaded_after(program, tmp_path) == set()


def test_migrations_are_loaded_only_when_the_schema_is_behind(tmp_path: Path) -> None:
    program = "store = SQLiteStore(sys.argv[1]); store.open(); store.close()\n"
    assert loaded_after(program, tmp_path) == set()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("PRAGMA user_version=0")
        connection.execute("DELETE FROM _sqlite_migrations")
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall():
            connection.execute(f"DROP VIEW {name}")
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%sqlite%'"
        for (name,) in connection.execute(tables).fetchall():
            connection.execute(f"DROP TABLE {name}")
        connection.commit()
    assert "sqlite_utils" in loaded_after(program, tmp_path)
    assert loaded_after(program, tmp_path) == set()


def test_a_new_database_and_a_migrated_one_are_the_same(tmp_path: Path) -> None:
    from mlops_sdk.stores.sqlite import creation, migrations

    def made(name: str, make: Callable[[sqlite3.Connection], None]) -> tuple[object, ...]:
        with contextlib.closing(sqlite3.connect(tmp_path / name, isolation_level=None)) as connection:
            make(connection)
            schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
            records = connection.execute("SELECT migration_set, name FROM _sqlite_migrations ORDER BY id").fetchall()
            return schema.fetchall(), records, connection.execute("PRAGMA user_version").fetchone()

    assert made("new.db", creation.create) == made("migrated.db", migrations.migrate)
