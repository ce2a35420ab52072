"""Whether a writer still lives: a lock that dies with its process, and the identity of processes.

A free lock proves death only under the same kernel (boot id). The same host under another boot id has rebooted: dead.
Where there are no locks, the process is looked up, if its number means anything here. Anything else is told by silence
alone, and a wrong verdict must be harmless: recovery applies by sequence number.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from mlops_sdk.entities import SILENT_AFTER_S
from mlops_sdk.journal.records import WriterHeader

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "alive"
Verdict = Literal["alive", "lost:process", "lost:reboot", "silent"]


@dataclass(frozen=True, slots=True)
class Identity:
    """This process, told apart from every other one; see `WriterHeader`."""

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    pid_start: str


def identity() -> Identity:
    """The calling process's identity."""
    pid = os.getpid()
    return Identity(_host(), boot_id(), _pid_namespace(pid), pid, pid_start(pid))


@cache
def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


@cache
def boot_id() -> str:
    """Id of the running kernel's boot, "" where the system has none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _pid_namespace(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return ""


def pid_start(pid: int) -> str:
    """Start time of a process as the kernel gives it (clock ticks since boot), "" where it cannot be told."""
    with contextlib.suppress(OSError, IndexError):
        # The command name may hold spaces and brackets: count from behind the last one.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode("ascii")
    return ""


class WriterLock:
    """The lock file of a writer's directory.

    Notes
    -----
    The lock belongs to the open file: a forked child must `close` it, never unlock, or the parent would read as dead.
    """

    def __init__(self, fd: int | None, path: Path, *, is_proof: bool = False) -> None:
        self._fd = fd
        self.path = path
        self.is_proof = is_proof
        """Whether nobody else of this kernel holds it; False on systems and file systems without locks."""

    @classmethod
    def acquire(cls, directory: Path) -> WriterLock | None:
        """Take the lock of `directory` without waiting; None when somebody holds it.

        Raises
        ------
        OSError
            If the lock file cannot be opened.
        """
        path = directory / LOCK_NAME
        if fcntl is None:  # and no open file, which would keep Windows from renaming the directory
            return cls(None, path)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            return cls(fd, path, is_proof=_try_lock(fd))
        except BlockingIOError:
            os.close(fd)
            return None

    @classmethod
    def open(cls, directory: Path) -> WriterLock:
        """The lock of a directory nobody else knows yet, taken where the file system has locks at all."""
        return cls.acquire(directory) or cls(None, directory / LOCK_NAME)  # not held: nobody knows the directory

    def close(self) -> None:
        """Let go of the lock; idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _try_lock(fd: int) -> bool:
    """Whether the lock was taken; False where there are no locks. Raises BlockingIOError when somebody holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks (some Lustre and FUSE mounts)
        return False
    return True


def judge(header: WriterHeader, heard_s: float, lock_is_free: bool) -> Verdict:
    """Whether the writer of `header` lives.

    Parameters
    ----------
    header : WriterHeader
    heard_s : float
        Seconds since it was last heard of.
    lock_is_free : bool
        Whether its lock could be taken just now; False where there are no locks.
    """
    me = identity()
    are_boots_known = bool(header.boot_id and me.boot_id)
    is_same_kernel = header.boot_id == me.boot_id if are_boots_known else header.host == me.host
    if is_same_kernel and are_boots_known and lock_is_free:
        return "lost:process"
    if is_same_kernel and header.pid_namespace == me.pid_namespace:
        return "alive" if _pid_lives(header) else "lost:process"
    if header.host == me.host and are_boots_known and not is_same_kernel:
        return "lost:reboot"
    return "silent" if heard_s > SILENT_AFTER_S else "alive"


def _pid_lives(header: WriterHeader) -> bool:
    if os.name != "posix":
        import psutil

        return bool(psutil.pid_exists(header.pid))
    try:
        os.kill(header.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not header.pid_start or pid_start(header.pid) in ("", header.pid_start)


def heard_ago_s(directory: Path) -> float:
    """Seconds since the newest change to a file of a writer's directory."""
    newest = 0.0
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        newest = max((entry.stat(follow_symlinks=False).st_mtime for entry in entries), default=0.0)
    return max(0.0, time.time() - newest)
