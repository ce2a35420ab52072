"""Whether a writer lives: the lock, the boot, the process, silence."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mlops_sdk.entities import SILENT_AFTER_S
from mlops_sdk.journal import liveness, reader
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.liveness import WriterLock, identity, judge
from mlops_sdk.journal.records import WriterHeader
from mlops_sdk.journal.writer import Journal
from tests.unit.journal.reading import said_by

pytestmark = pytest.mark.timeout(60)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
locks = pytest.mark.skipif(os.name != "posix", reason="no flock on this system")

HERE = WriterHeader("run", "writer", **asdict(identity()))
LONG_AGO = SILENT_AFTER_S + 1


class Child:
    """A forked process that does something, says so, and waits to be ended."""

    def __init__(self, work: Callable[[], object]) -> None:
        said, say = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(said)
                kept = work()  # what it returns stays alive with it
                os.write(say, b"done")
                while kept is not self:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(say)
        assert os.read(said, 4) == b"done"
        os.close(said)
        self._is_over = False

    def kill(self) -> None:
        if not self._is_over:
            self._is_over = True
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def child() -> Iterator[Callable[[Callable[[], object]], Child]]:
    children: list[Child] = []

    def start(work: Callable[[], object]) -> Child:
        children.append(Child(work))
        return children[-1]

    yield start
    for each in children:
        each.kill()


def write(root: Path) -> Journal:
    journal = Journal(root, "run", options=JournalOptions(is_mapped=False))
    journal.define("a")
    journal.point("a", 1.0, 1)
    return journal


def silence(root: Path, seconds: float) -> None:
    """As if nothing had been heard of the writers for so long."""
    for path in [*root.rglob("*"), *root.iterdir()]:
        os.utime(path, (time.time() - seconds,) * 2)


# -- the lock --------------------------------------------------------------------------------------------------------


@locks
def test_a_writer_of_this_process_is_alive(tmp_path: Path) -> None:
    journal = write(tmp_path)
    silence(tmp_path, 10 * LONG_AGO)
    assert list(reader.orphans(tmp_path)) == []
    journal.leave()
    (orphan,) = reader.orphans(tmp_path)
    assert orphan.verdict == "lost:process"
    orphan.close()


@forks
@locks
def test_a_writer_is_alive_until_its_process_dies(
    tmp_path: Path, child: Callable[[Callable[[], object]], Child]
) -> None:
    writer = child(lambda: write(tmp_path))
    silence(tmp_path, 10 * LONG_AGO)
    for _ in range(3):
        assert list(reader.orphans(tmp_path)) == []
    os.kill(writer.pid, signal.SIGSTOP)
    assert list(reader.orphans(tmp_path)) == [], "stopped is not dead"
    writer.kill()
    (orphan,) = reader.orphans(tmp_path)
    assert (orphan.verdict, orphan.may_remove) == ("lost:process", True)
    assert orphan.recovered.header is not None
    assert orphan.recovered.header.pid == writer.pid
    orphan.close()


@forks
@locks
def test_a_child_that_ends_does_not_make_the_parent_look_dead(
    tmp_path: Path, child: Callable[[Callable[[], object]], Child]
) -> None:
    journal = write(tmp_path)
    forked = child(lambda: None)
    assert list(reader.orphans(tmp_path)) == []
    forked.kill()
    assert list(reader.orphans(tmp_path)) == []
    journal.point("a", 2.0, 2)
    assert said_by(journal) == [("a", 1, 1.0), ("a", 2, 2.0)]
    journal.leave()


@forks
@locks
def test_a_child_that_goes_on_does_not_keep_a_dead_parent_alive(tmp_path: Path) -> None:
    said, say = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            journal = write(tmp_path)
            grandchild = os.fork()
            if grandchild == 0:
                os.write(say, f"{os.getpid()}\n".encode())
                while journal is not None:
                    signal.pause()
            os._exit(0)
        finally:
            os._exit(1)
    os.waitpid(parent, 0)
    survivor = int(os.read(said, 20))
    try:
        (orphan,) = reader.orphans(tmp_path)
        assert orphan.verdict == "lost:process"
        orphan.close()
    finally:
        os.kill(survivor, signal.SIGKILL)
        os.close(said)
        os.close(say)


@locks
def test_a_program_started_by_the_writer_does_not_keep_it_alive(tmp_path: Path) -> None:
    journal = write(tmp_path)
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as program:
        journal.leave()
        (orphan,) = reader.orphans(tmp_path)
        orphan.close()
        program.communicate(b"\n")


@locks
def test_a_lock_is_taken_by_one(tmp_path: Path) -> None:
    lock = WriterLock.acquire(tmp_path)
    assert lock is not None
    assert lock.is_proof
    assert WriterLock.acquire(tmp_path) is None
    lock.close()
    lock.close()
    again = WriterLock.acquire(tmp_path)
    assert again is not None
    again.close()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / liveness.LOCK_NAME).symlink_to(target)
    with pytest.raises(OSError, match=r"."):
        WriterLock.acquire(tmp_path)
    assert not target.exists()


@locks
def test_without_locks_on_the_file_system_the_process_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    journal = write(tmp_path)
    silence(tmp_path, 10 * LONG_AGO)
    assert list(reader.orphans(tmp_path)) == [], "this process lives"
    monkeypatch.setattr(liveness, "_pid_lives", lambda header: header.pid != os.getpid())
    (orphan,) = reader.orphans(tmp_path)
    assert orphan.verdict == "lost:process"
    orphan.close()
    journal.leave()


# -- the verdict -----------------------------------------------------------------------------------------------------


def test_a_free_lock_under_this_kernel_is_death() -> None:
    assert judge(HERE, 0.0, lock_is_free=True) == "lost:process"
    assert judge(replace(HERE, host="renamed since"), 0.0, lock_is_free=True) == "lost:process"
    assert judge(replace(HERE, pid_namespace="pid:[1]"), 0.0, lock_is_free=True) == "lost:process"


def test_another_boot_of_this_host_is_death() -> None:
    assert judge(replace(HERE, boot_id="another"), 0.0, lock_is_free=True) == "lost:reboot"
    assert judge(replace(HERE, boot_id="another"), 0.0, lock_is_free=False) == "lost:reboot"


@pytest.mark.parametrize("lock_is_free", [True, False])
def test_another_host_is_dead_only_when_silent(lock_is_free: bool) -> None:
    elsewhere = replace(HERE, host="elsewhere", boot_id="another")
    assert judge(elsewhere, 0.0, lock_is_free) == "alive"
    assert judge(elsewhere, SILENT_AFTER_S - 1, lock_is_free) == "alive"
    assert judge(elsewhere, LONG_AGO, lock_is_free) == "silent"


def test_without_boot_ids_the_process_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows."""
    monkeypatch.setattr(liveness, "boot_id", lambda: "")
    mine = replace(HERE, boot_id="")
    assert judge(mine, LONG_AGO, lock_is_free=True) == "alive"
    assert judge(replace(mine, pid_start="0"), 0.0, lock_is_free=True) == "lost:process", "the number was used again"
    assert judge(replace(mine, pid=2**22 + 1), 0.0, lock_is_free=True) == "lost:process"


def test_a_process_number_of_another_container_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "boot_id", lambda: "")
    other = replace(HERE, boot_id="", pid_namespace="pid:[1]", pid=2**22 + 1)
    assert judge(other, 0.0, lock_is_free=False) == "alive"
    assert judge(other, LONG_AGO, lock_is_free=False) == "silent"


@pytest.mark.parametrize("age_s, verdict", [(0, None), (SILENT_AFTER_S / 2, None), (LONG_AGO, "silent")])
def test_a_journal_of_another_host_by_its_age(tmp_path: Path, age_s: float, verdict: str | None) -> None:
    journal = elsewhere(tmp_path, replace(HERE, host="elsewhere", boot_id="another"))
    silence(tmp_path, age_s)
    found = [orphan.verdict for orphan in closed(reader.orphans(tmp_path))]
    assert found == ([verdict] if verdict else [])
    assert journal.is_dir()


@pytest.mark.parametrize("age_s, may_remove", [(0, False), (LONG_AGO, True)])
def test_after_a_reboot_files_go_only_when_the_writer_is_silent_too(
    tmp_path: Path, age_s: float, may_remove: bool
) -> None:
    """Two hosts of one name on a shared file system look like one that rebooted."""
    elsewhere(tmp_path, replace(HERE, boot_id="another"))
    silence(tmp_path, age_s)
    (orphan,) = closed(reader.orphans(tmp_path))
    assert (orphan.verdict, orphan.may_remove) == ("lost:reboot", may_remove)


def test_what_is_only_silent_is_never_removed(tmp_path: Path) -> None:
    elsewhere(tmp_path, replace(HERE, host="elsewhere", boot_id="another"))
    silence(tmp_path, 100 * LONG_AGO)
    (orphan,) = closed(reader.orphans(tmp_path))
    assert not orphan.may_remove


def elsewhere(root: Path, header: WriterHeader) -> Path:
    """A journal that another process would have written."""
    from mlops_sdk.journal.records import encode_header, encode_point

    directory = root / header.writer_id
    directory.mkdir()
    (directory / liveness.LOCK_NAME).touch()
    record = encode_point(1, 0, 0, 0.0, header.seed)
    (directory / "00000001.seg").write_bytes(encode_header(header) + record)
    return directory


def closed(orphans: Iterator[reader.Orphan]) -> list[reader.Orphan]:
    found = list(orphans)
    for orphan in found:
        orphan.close()
    return found


# -- who we are ------------------------------------------------------------------------------------------------------


def test_this_process_is_told_apart_from_others() -> None:
    me = identity()
    assert (me.pid, me.host) == (os.getpid(), liveness._host())
    assert liveness._pid_lives(replace(HERE, **asdict(me)))
    if os.path.isdir("/proc/self"):
        assert me.pid_start == liveness.pid_start(os.getpid()) != ""
        assert me.boot_id
        assert me.pid_namespace.startswith("pid:")
    assert liveness.pid_start(2**22 + 1) == ""


def test_a_process_of_somebody_else_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert liveness._pid_lives(HERE)
    assert liveness._pid_lives(replace(HERE, pid_start=""))


def test_where_there_is_no_proc_everything_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(Path, "read_bytes", missing)
    monkeypatch.setattr(os, "readlink", missing)
    liveness.boot_id.cache_clear()
    try:
        me = identity()
    finally:
        liveness.boot_id.cache_clear()
    assert (me.boot_id, me.pid_namespace, me.pid_start) == ("", "", "")


def test_the_age_of_a_directory_is_that_of_its_newest_file(tmp_path: Path) -> None:
    for name, age_s in (("old", 5000), ("newer", 1000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    assert 999 < liveness.heard_ago_s(tmp_path) < 1100
    assert liveness.heard_ago_s(tmp_path / "nowhere") > 10**9
    (tmp_path / "future").touch()
    os.utime(tmp_path / "future", (time.time() + 9999,) * 2)
    assert liveness.heard_ago_s(tmp_path) == 0.0
