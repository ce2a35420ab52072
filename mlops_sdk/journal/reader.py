"""The recovering side of a journal: what a dead writer left, whatever state it is in.

Nothing inside a file is trusted: sizes are bounded, names inside are never opened, and only the unbroken prefix of sound
records is returned, never a record that was not logged.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlops_sdk.entities import SILENT_AFTER_S
from mlops_sdk.errors import StoreCorruptError, StoreVersionError
from mlops_sdk.journal import liveness
from mlops_sdk.journal.records import (
    HEADER_BYTES,
    SLOT_BYTES,
    Batch,
    WriterHeader,
    decode_dropped,
    decode_header,
    sound_prefix,
)
from mlops_sdk.journal.segment import SUFFIX

MAX_SEGMENT_BYTES = 64 << 20
"""A larger file was not written by us."""
_MAX_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a journal that cannot be used; the bytes stay where they are.

    Attributes
    ----------
    path : Path
    what : str
    lost_bytes : int
        Bytes behind the last sound record that look written.
    """

    path: Path
    what: str
    lost_bytes: int = 0


@dataclass(slots=True)
class Recovered:
    """What a writer's directory still holds.

    Attributes
    ----------
    header : WriterHeader or None
        Of the first readable segment.
    segments : list of (Path, WriterHeader)
        In order.
    dropped : int
        Records the writer counted as dropped.
    damage : list of Damage
    """

    header: WriterHeader | None = None
    segments: list[tuple[Path, WriterHeader]] = field(default_factory=list)
    dropped: int = 0
    damage: list[Damage] = field(default_factory=list)

    @property
    def first(self) -> int:
        """Sequence number of the first record that is still here; 1 when there is none."""
        return self.segments[0][1].first if self.segments else 1

    def batches(self, after: int, *, stored: int = 0) -> Iterator[Batch]:
        """The sound records behind sequence number `after`, an unbroken run of them.

        Parameters
        ----------
        after : int
        stored : int
            Up to here all is stored elsewhere: damage to these records breaks nothing, it goes on behind them.

        Notes
        -----
        Ends at the first damaged or missing record; what lies behind it is added to `damage`.
        """
        expected = after + 1
        for path, header in self.segments:
            if expected < header.first <= stored + 1:
                expected = header.first
            if header.first > expected:
                self.damage.append(Damage(path, f"records {expected} to {header.first - 1} before it are missing"))
                return
            for batch in self._of_segment(path, header, expected, stored):
                yield batch
                expected = batch.last + 1

    def _of_segment(self, path: Path, header: WriterHeader, expected: int, stored: int) -> Iterator[Batch]:
        data = self._records(path, header, expected)
        end = sound_prefix(data, header.seed)
        if end:  # else what is expected lies in a later segment, or this one is a double of an earlier one
            yield Batch(header, expected, data[:end])
        expected += end // SLOT_BYTES
        if not (written := _written_bytes(data[end:])):
            return
        self.damage.append(Damage(path, f"damaged record {expected}", written))
        if expected <= stored and header.first + len(self._records(path, header, header.first)) // SLOT_BYTES > stored:
            yield from self._of_segment(path, header, stored + 1, stored)

    def _records(self, path: Path, header: WriterHeader, first: int) -> bytes:
        """The bytes of a segment from record `first` on; none where it cannot be read."""
        try:
            return _read(path)[HEADER_BYTES + (first - header.first) * SLOT_BYTES :]
        except FileNotFoundError:  # a writer that lives has delivered and removed it meanwhile
            return b""
        except (OSError, StoreCorruptError) as error:
            self.damage.append(Damage(path, str(error)))
            return b""


def recover(directory: Path) -> Recovered:
    """List what a writer's directory holds.

    Raises
    ------
    StoreVersionError
        If a newer version wrote it; nothing was touched.
    """
    found = Recovered()
    for path in _segment_files(directory):
        try:
            head = _read(path, HEADER_BYTES)
            header = decode_header(head, place=str(path))
            if header.writer_id != directory.name:
                raise StoreCorruptError(f"{path}: belongs to another writer", place=str(path))
        except FileNotFoundError:  # a writer that lives has delivered and removed it meanwhile
            continue
        except (StoreCorruptError, OSError) as error:
            found.damage.append(Damage(path, str(error)))
            continue
        found.segments.append((path, header))
        found.dropped = max(found.dropped, decode_dropped(head))
    found.segments.sort(key=lambda item: (item[1].first, item[1].index))
    found.header = found.segments[0][1] if found.segments else None
    return found


def _segment_files(directory: Path) -> list[Path]:
    with os.scandir(directory) as entries:
        names = [entry.name for _, entry in zip(range(_MAX_FILES), entries, strict=False)]
    return [directory / name for name in sorted(names) if name.endswith(SUFFIX) and not name.startswith(".")]


def _read(path: Path, limit: int = MAX_SEGMENT_BYTES) -> bytes:
    """Bytes of a regular file; never follows a link, never waits on a FIFO."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    fd = os.open(path, flags)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StoreCorruptError(f"{path}: not a regular file", place=str(path))
        return file.read(limit)


def _written_bytes(tail: bytes) -> int:
    """Length of `tail` without the zeros that were reserved and never written."""
    return len(tail.rstrip(b"\0"))


@dataclass(slots=True)
class Orphan:
    """A dead writer's journal, held so that nobody else adopts it meanwhile.

    Attributes
    ----------
    directory : Path
    recovered : Recovered
    verdict : {"lost:process", "lost:reboot", "silent"}
    heard_s : float
        Seconds since the writer was last heard of.
    """

    directory: Path
    recovered: Recovered
    verdict: liveness.Verdict
    heard_s: float
    _lock: liveness.WriterLock

    @property
    def may_remove(self) -> bool:
        """Whether the writer is dead for certain, so that its files may go once they are delivered.

        A host that has rebooted might be another one of the same name, on a shared file system that keeps locks to
        itself: so its writers have to be silent too.
        """
        return self.verdict == "lost:process" or (self.verdict == "lost:reboot" and self.heard_s > SILENT_AFTER_S)

    def remove(self) -> None:
        """Delete the directory: everything sound in it is durable elsewhere. Damaged files are kept aside."""
        if self.recovered.damage:
            self._set_aside()
            return
        hidden = self.directory.with_name(f".{self.directory.name}.tmp")
        import shutil

        with contextlib.suppress(OSError):
            os.rename(self.directory, hidden)
            shutil.rmtree(hidden, ignore_errors=True)

    def _set_aside(self) -> None:
        aside = self.directory.parent / "damaged"
        with contextlib.suppress(OSError):
            aside.mkdir(mode=0o700, exist_ok=True)
            os.rename(self.directory, aside / self.directory.name)

    def close(self) -> None:
        """Let go of it."""
        self._lock.close()


def writers(root: Path) -> list[Path]:
    """Directories of writers in a store's ``journals`` directory."""
    try:
        with os.scandir(root) as entries:
            found = [
                entry
                for _, entry in zip(range(_MAX_FILES), entries, strict=False)
                if not entry.name.startswith(".") and entry.name != "damaged" and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
    return sorted(Path(entry.path) for entry in found)


def orphans(root: Path) -> Iterator[Orphan]:
    """Adopt, one after the other, the journals whose writers are dead; the caller closes each.

    Notes
    -----
    Writers that live, and journals of a newer format, are left alone.
    """
    for directory in writers(root):
        with contextlib.suppress(OSError, StoreVersionError):
            orphan = adopt(directory)
            if orphan is not None:
                yield orphan


def adopt(directory: Path) -> Orphan | None:
    """Take hold of a dead writer's journal; None when it lives, or somebody else has taken hold of it.

    Raises
    ------
    OSError
        If it cannot be read, or went away meanwhile.
    StoreVersionError
        If a newer version wrote it.
    """
    lock = liveness.WriterLock.acquire(directory)
    if lock is None:
        return None
    try:
        heard_s = liveness.heard_ago_s(directory)
        recovered = recover(directory)
        verdict: liveness.Verdict = "lost:process"
        if recovered.header is not None:
            verdict = liveness.judge(recovered.header, heard_s, lock_is_free=lock.is_proof)
        if verdict == "alive" or not directory.is_dir():
            lock.close()
            return None
        return Orphan(directory, recovered, verdict, heard_s, lock)
    except BaseException:
        lock.close()
        raise
