"""The blob store: stored once, whole, private, and checked when read."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.blobs import copying, durable, local
from mlops_sdk.blobs.local import Blob, LocalBlobs
from mlops_sdk.blobs.tree import TreeEntry, walk_tree
from mlops_sdk.errors import (
    ArtifactNotFoundError,
    IntegrityError,
    InvalidValueError,
    StoreCorruptError,
    StoreUnavailableError,
)

CONTENT = b"some bytes worth keeping" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ABSENT = "0" * 64

posix_only = pytest.mark.skipif(os.name == "nt", reason="modes, links and FIFOs are POSIX")


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "store" / "blobs")


def place_of(blobs: LocalBlobs, sha256: str = SHA256) -> Path:
    return blobs.root / "sha256" / sha256[:2] / sha256


def files_of(blobs: LocalBlobs) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if not path.is_dir()]


# -- putting


@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=len)
def test_bytes_come_back(blobs: LocalBlobs, content: bytes) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    assert blobs.put_bytes(content) == Blob(sha256, len(content), is_new=True)
    assert blobs.has(sha256)
    assert blobs.size(sha256) == len(content)
    assert blobs.read_bytes(sha256) == content
    assert blobs.path(sha256) == place_of(blobs, sha256)
    with blobs.open(sha256) as file:
        assert file.read() == content


def test_a_file_is_copied(blobs: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert blobs.put_file(tmp_path / "a") == Blob(SHA256, len(CONTENT), is_new=True)
    (tmp_path / "a").write_bytes(b"changed")
    (tmp_path / "a").unlink()
    assert blobs.read_bytes(SHA256) == CONTENT


def test_the_same_bytes_are_kept_once(blobs: LocalBlobs, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(CONTENT)
    news = [
        blobs.put_file(tmp_path / "a").is_new,
        blobs.put_file(str(tmp_path / "b")).is_new,
        blobs.put_bytes(CONTENT).is_new,
        LocalBlobs(blobs.root).put_bytes(memoryview(CONTENT)).is_new,
    ]
    assert news == [True, False, False, False]
    assert files_of(blobs) == [place_of(blobs)]


@pytest.mark.parametrize("wrap", [bytearray, memoryview, lambda content: memoryview(content)[::1].cast("H")])
def test_any_buffer_is_stored(blobs: LocalBlobs, wrap: Callable[[bytes], bytearray]) -> None:
    assert blobs.put_bytes(wrap(CONTENT)).sha256 == SHA256


@pytest.mark.parametrize("data", ["text", 5, None, [1, 2]])
def test_what_is_no_buffer_is_refused(blobs: LocalBlobs, data: Any) -> None:
    with pytest.raises(InvalidValueError, match="a blob is bytes"):
        blobs.put_bytes(data)
    assert not blobs.root.exists()


def test_a_directory_is_stored_with_its_tree(blobs: LocalBlobs, tmp_path: Path) -> None:
    tree = {"a.txt": b"1", "plots/roc.png": b"2", "plots/copy.png": b"2"}
    for name, content in tree.items():
        (tmp_path / "logged" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "logged" / name).write_bytes(content)
    stored = {}
    for entry in walk_tree(tmp_path / "logged"):
        assert isinstance(entry, TreeEntry)
        with entry.open() as source:
            stored[entry.name] = blobs.put_open(source).sha256
    assert {name: blobs.read_bytes(sha256) for name, sha256 in stored.items()} == tree
    assert len(files_of(blobs)) == 2


@posix_only
@pytest.mark.timeout(30)
def test_special_files_and_missing_ones_are_refused_and_nothing_is_made(blobs: LocalBlobs, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, what in [(tmp_path / "fifo", "a FIFO"), (tmp_path, "a directory"), (tmp_path / "no", "there is no file")]:
        with pytest.raises(InvalidValueError, match=what):
            blobs.put_file(path)
    assert not blobs.root.exists()


class Meddling:
    """Progress that does something to the source after each piece."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self._meddle = meddle

    def update(self, n_bytes: int) -> None:
        self._meddle()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("refused", [[], ["copy_file_range", "sendfile"]], ids=["by the kernel", "plain"])
def test_a_source_that_changes_is_stored_under_the_digest_of_what_was_stored(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str]
) -> None:
    for name in refused:
        monkeypatch.setattr(os, name, fail_with(errno.ENOSYS), raising=False)
    monkeypatch.setattr(copying, "KERNEL_BYTES", 1000)
    monkeypatch.setattr(copying, "BUFFER_BYTES", 1000)
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    blob = blobs.put_file(source, progress=Meddling(lambda: source.write_bytes(os.urandom(len(CONTENT)))))
    assert len(blobs.read_bytes(blob.sha256)) == blob.size_bytes == len(CONTENT)  # read_bytes checks the digest
    assert blob.sha256 != SHA256


def test_the_root_does_not_follow_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = LocalBlobs(Path("relative"))
    blobs.put_bytes(CONTENT)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert blobs.read_bytes(SHA256) == CONTENT


# -- privacy


@posix_only
@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
def test_everything_is_private_whatever_the_umask(blobs: LocalBlobs, tmp_path: Path, umask: int) -> None:
    (tmp_path / "source").write_bytes(CONTENT * 2)
    modes_while_writing: list[int] = []

    def look() -> None:
        modes_while_writing.extend(stat.S_IMODE(path.stat().st_mode) for path in (blobs.root / "tmp").iterdir())

    before = os.umask(umask)
    try:
        blobs.put_bytes(CONTENT)
        blobs.put_file(tmp_path / "source", progress=Meddling(look))
    finally:
        os.umask(before)
    made = [blobs.root.parent, blobs.root, *blobs.root.rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in made}
    assert modes == {(True, 0o700), (False, 0o400)}
    assert modes_while_writing
    assert not any(mode & 0o177 for mode in modes_while_writing)


@posix_only
def test_a_planted_temporary_is_neither_written_through_nor_deleted(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put_bytes(b"makes the directories")
    (tmp_path / "victim").write_bytes(b"precious")
    monkeypatch.setattr(local.secrets, "token_hex", lambda n: "f" * 32)
    (blobs.root / "tmp" / ("f" * 32)).symlink_to(tmp_path / "victim")
    with pytest.raises(StoreUnavailableError, match="File exists"):
        blobs.put_bytes(CONTENT)
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (blobs.root / "tmp" / ("f" * 32)).is_symlink()


def test_names_of_temporaries_cannot_be_foreseen(blobs: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    seen: list[str] = []
    for _ in range(3):
        blobs.put_file(tmp_path / "source", progress=Meddling(lambda: seen.extend(os.listdir(blobs.root / "tmp"))))
    assert len(set(seen)) == 3
    assert all(len(name) == 32 for name in seen)


@pytest.mark.parametrize(
    "digest", ["", "x", SHA256[:-1], SHA256 + "0", SHA256.upper(), "../" + SHA256[3:], SHA256 + "\n", "٠" * 64, None, 5]
)
def test_a_digest_is_checked_before_it_touches_a_path(blobs: LocalBlobs, digest: Any) -> None:
    blobs.put_bytes(CONTENT)
    for use in (blobs.has, blobs.size, blobs.open, blobs.path, blobs.read_bytes, blobs.remove):
        with pytest.raises(InvalidValueError, match="is no SHA-256"):
            use(digest)


# -- damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, len(CONTENT) // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("damage", [flip, truncate, empty, append])
def test_damage_is_found_when_read(blobs: LocalBlobs, damage: Callable[[Path], None]) -> None:
    other = blobs.put_bytes(b"another blob").sha256
    blobs.put_bytes(CONTENT)
    place_of(blobs).chmod(0o600)
    damage(place_of(blobs))
    for read in (blobs.open, blobs.path, blobs.read_bytes):
        with pytest.raises(IntegrityError) as refusal:
            read(SHA256)
        assert refusal.value.expected == SHA256
        assert refusal.value.found == hashlib.sha256(place_of(blobs).read_bytes()).hexdigest()
    assert blobs.path(SHA256, verify=False) == place_of(blobs)
    assert blobs.read_bytes(other) == b"another blob"


def test_a_blob_that_is_gone_is_not_found(blobs: LocalBlobs) -> None:
    for read in (blobs.open, blobs.path, blobs.read_bytes, blobs.size):
        with pytest.raises(ArtifactNotFoundError, match="its bytes are gone"):
            read(ABSENT)
    blobs.put_bytes(CONTENT)
    place_of(blobs).unlink()
    with pytest.raises(ArtifactNotFoundError):
        blobs.path(SHA256, verify=False)
    assert not blobs.has(SHA256)


@pytest.mark.parametrize("damage", [truncate, empty, append])
@pytest.mark.parametrize("is_file", [False, True], ids=["bytes", "file"])
def test_a_blob_of_the_wrong_size_is_replaced_by_the_next_put(
    blobs: LocalBlobs, tmp_path: Path, damage: Callable[[Path], None], is_file: bool
) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    blobs.put_bytes(CONTENT)
    place_of(blobs).chmod(0o600)
    damage(place_of(blobs))
    blob = blobs.put_file(tmp_path / "source") if is_file else blobs.put_bytes(CONTENT)
    assert blob.is_new
    assert blobs.read_bytes(SHA256) == CONTENT
    assert files_of(blobs) == [place_of(blobs)]


@posix_only
@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/hostname", path)])
def test_something_else_in_a_blobs_place_is_reported_with_the_place(
    blobs: LocalBlobs, make: Callable[[Path], None]
) -> None:
    place_of(blobs).parent.mkdir(parents=True)
    make(place_of(blobs))
    assert not blobs.has(SHA256)
    for read in (blobs.open, blobs.path, blobs.read_bytes):
        with pytest.raises(StoreCorruptError) as refusal:
            read(SHA256)
        assert refusal.value.place == str(place_of(blobs))


# -- failures


def fail_with(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["fsync", "link", "write", "mkdir"])
@pytest.mark.parametrize(
    "number, what_to_do",
    [(errno.ENOSPC, "free some disk space"), (errno.EIO, "check the disk"), (errno.EROFS, "mount the file system")],
)
@posix_only
def test_a_failure_stores_nothing_leaves_nothing_and_says_what_to_do(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, call: str, number: int, what_to_do: str
) -> None:
    blobs.put_bytes(b"makes the directories")
    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail_with(number))
        with pytest.raises(StoreUnavailableError, match=what_to_do) as refusal:
            blobs.put_bytes(CONTENT)
    assert os.strerror(number) in str(refusal.value)
    assert isinstance(refusal.value.__cause__, OSError)
    assert not blobs.has(SHA256)
    assert os.listdir(blobs.root / "tmp") == []
    assert blobs.put_bytes(CONTENT).is_new


def test_an_interrupt_leaves_nothing_behind(blobs: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blobs.put_file(tmp_path / "source", progress=Meddling(interrupt))
    assert files_of(blobs) == []


@posix_only
def test_a_root_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blobs = LocalBlobs(tmp_path / "file" / "blobs")
    assert not blobs.has(SHA256)
    assert list(blobs.digests()) == []
    with pytest.raises(StoreUnavailableError, match="Not a directory"):
        blobs.put_bytes(CONTENT)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    mounted = tmp_path / "full"
    mounted.mkdir()
    if sys.platform != "linux":
        pytest.skip("tmpfs is of Linux")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", mounted], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed: {done.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)


@pytest.mark.parametrize("refused", [[], ["copy_file_range", "sendfile"]], ids=["by the kernel", "plain"])
def test_a_full_disk_is_reported_and_left_as_it_was(
    full_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str]
) -> None:
    for name in refused:
        monkeypatch.setattr(os, name, fail_with(errno.ENOSYS))
    (tmp_path / "large").write_bytes(bytes(5 << 20))
    blobs = LocalBlobs(full_disk / "blobs")
    blobs.put_bytes(CONTENT)
    free = os.statvfs(full_disk).f_bavail
    for put in (lambda: blobs.put_file(tmp_path / "large"), lambda: blobs.put_bytes(bytes(5 << 20))):
        with pytest.raises(StoreUnavailableError, match=r"No space left on device.*free some disk space"):
            put()
        assert files_of(blobs) == [place_of(blobs)]
        assert os.statvfs(full_disk).f_bavail >= free
    assert blobs.read_bytes(SHA256) == CONTENT
    (tmp_path / "small").write_bytes(bytes(1 << 20))
    assert blobs.put_file(tmp_path / "small").is_new


# -- durability


@posix_only
def test_a_blob_is_synced_before_it_is_named_and_its_name_after(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def watch(name: str, describe: Callable[..., str]) -> None:
        real = getattr(os, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            calls.append(describe(*args))
            return result

        monkeypatch.setattr(os, name, watched)

    def of_descriptor(descriptor: int) -> str:
        status = os.fstat(descriptor)
        same = [path for path in [blobs.root, *blobs.root.rglob("*")] if os.path.samestat(path.stat(), status)]
        return f"sync {'file' if stat.S_ISREG(status.st_mode) else same[0].name}"

    blobs.put_bytes(b"makes the directories")
    watch("fsync", of_descriptor)
    watch("link", lambda *_: "link")
    watch("mkdir", lambda path, _: f"mkdir {Path(path).name}")
    shard = SHA256[:2]
    blobs.put_bytes(CONTENT)
    expected = ["sync file", f"mkdir {shard}", "sync sha256", "link", f"sync {shard}", "sync sha256", "sync blobs"]
    assert calls == expected
    calls.clear()
    assert not LocalBlobs(blobs.root).put_bytes(CONTENT).is_new
    assert calls == [f"sync {shard}", "sync sha256", "sync blobs"]  # the process that made it may not have come to it


# -- other platforms and file systems


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK])
@posix_only
def test_a_file_system_without_hard_links_will_do(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", fail_with(number))
    assert blobs.put_bytes(CONTENT).is_new
    assert not blobs.put_bytes(CONTENT).is_new
    assert blobs.read_bytes(SHA256) == CONTENT
    assert files_of(blobs) == [place_of(blobs)]


def test_a_file_system_without_modes_will_do(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chmod", fail_with(errno.EPERM))
    blobs.put_bytes(CONTENT)
    assert blobs.read_bytes(SHA256) == CONTENT


@posix_only
def test_directories_that_cannot_be_synced_will_do(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def refuse_directories(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    assert blobs.put_bytes(CONTENT).is_new


@posix_only
def test_the_calls_of_windows_will_do(blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_rename, real_unlink = os.rename, os.unlink

    def rename(source: Path, target: Path) -> None:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists")
        real_rename(source, target)

    def unlink(path: Path, **kwargs: Any) -> None:
        if not stat.S_IMODE(os.lstat(path).st_mode) & 0o200:
            raise PermissionError(errno.EACCES, "read-only")
        real_unlink(path, **kwargs)

    monkeypatch.setattr(durable, "ON_WINDOWS", True)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "unlink", unlink)
    for name in ("link", "copy_file_range", "sendfile"):
        monkeypatch.setattr(os, name, fail_with(errno.ENOSYS))
    (tmp_path / "source").write_bytes(CONTENT)
    assert blobs.put_file(tmp_path / "source").is_new
    assert not blobs.put_file(tmp_path / "source").is_new
    place_of(blobs).chmod(0o600)
    truncate(place_of(blobs))
    place_of(blobs).chmod(0o400)
    assert blobs.put_file(tmp_path / "source").is_new
    assert blobs.read_bytes(SHA256) == CONTENT
    assert files_of(blobs) == [place_of(blobs)]
    assert blobs.remove(SHA256) == len(CONTENT)


def test_another_users_blob_is_reused_as_it_is(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs.put_bytes(CONTENT)
    monkeypatch.setattr(os, "utime", fail_with(errno.EPERM))
    assert not blobs.put_bytes(CONTENT).is_new


def test_a_blob_removed_while_it_is_reused_is_stored_again(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs.put_bytes(CONTENT)

    def be_overtaken(path: Path) -> None:
        monkeypatch.undo()
        blobs.remove(SHA256)
        os.utime(path)

    monkeypatch.setattr(os, "utime", be_overtaken)
    assert blobs.put_bytes(CONTENT).is_new
    assert blobs.read_bytes(SHA256) == CONTENT


# -- many at once

PUT = """
import sys
from pathlib import Path
from mlops_sdk.blobs.local import LocalBlobs
blobs = LocalBlobs(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for path in sys.argv[2:]:
    blob = blobs.put_file(path)
    blobs.read_bytes(blob.sha256)
    print(blob.sha256, blob.is_new, flush=True)
"""


def test_eight_processes_put_the_same_bytes_at_once(blobs: LocalBlobs, tmp_path: Path) -> None:
    sources = [tmp_path / f"source{i}" for i in range(5)]
    for i, source in enumerate(sources):
        source.write_bytes(bytes([i]) * 100_000)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PUT, str(blobs.root), *map(str, sources)]
    children = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(8)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        outcomes = []
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            printed, errors = child.communicate(timeout=60)
            assert child.returncode == 0, errors
            outcomes.append([line.split() for line in printed.splitlines()])
    finally:
        for child in children:
            child.kill()
            child.wait()
    digests = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
    for i, digest in enumerate(digests):
        assert {outcome[i][0] for outcome in outcomes} == {digest}
        assert [outcome[i][1] for outcome in outcomes].count("True") == 1
    assert list(blobs.digests()) == sorted(digests)
    assert sorted(files_of(blobs)) == sorted(place_of(blobs, digest) for digest in digests)


PUT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from mlops_sdk.blobs import copying
from mlops_sdk.blobs.local import LocalBlobs
copying.KERNEL_BYTES = copying.BUFFER_BYTES = 1000
class Dying:
    def update(self, n_bytes):
        os.kill(os.getpid(), signal.SIGKILL)
LocalBlobs(Path(sys.argv[1])).put_file(sys.argv[2], progress=Dying())
"""


@posix_only
def test_a_put_that_is_killed_leaves_only_what_a_sweep_removes(blobs: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PUT_AND_DIE, str(blobs.root), str(tmp_path / "source")]
    assert subprocess.run(command, env=environment, timeout=60).returncode == -signal.SIGKILL
    (left,) = files_of(blobs)
    assert left.parent == blobs.root / "tmp"
    assert list(blobs.digests()) == []
    assert blobs.sweep_temp() == 0  # it may still be running, for all we know
    assert blobs.put_file(tmp_path / "source").is_new
    assert blobs.sweep_temp(older_than_s=0) == 1
    assert files_of(blobs) == [place_of(blobs)]


@posix_only
def test_a_blob_that_appears_before_ours_is_linked_is_reused(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, faster = os.link, LocalBlobs(blobs.root)

    def be_overtaken(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", real)
        assert faster.put_bytes(CONTENT).is_new
        real(source, target)

    monkeypatch.setattr(os, "link", be_overtaken)
    assert not blobs.put_bytes(CONTENT).is_new
    assert files_of(blobs) == [place_of(blobs)]


# -- listing, removing, sweeping


def test_digests_are_listed_in_order_and_strangers_ignored(blobs: LocalBlobs) -> None:
    assert list(blobs.digests()) == []
    stored = [blobs.put_bytes(bytes([i])).sha256 for i in range(50)]
    (blobs.root / "sha256" / "README").write_text("x")
    (blobs.root / "sha256" / SHA256[:2]).mkdir(exist_ok=True)
    (blobs.root / "sha256" / SHA256[:2] / "notes.txt").write_text("x")
    (blobs.root / "sha256" / SHA256[:2] / ("0" * 64 if SHA256[0] != "0" else "f" * 64)).write_text("x")
    assert list(blobs.digests()) == sorted(stored)


def test_removing_says_what_it_freed(blobs: LocalBlobs) -> None:
    blobs.put_bytes(CONTENT)
    assert blobs.remove(ABSENT) == 0
    assert blobs.remove(SHA256) == len(CONTENT)
    assert blobs.remove(SHA256) == 0
    assert files_of(blobs) == []
    assert blobs.put_bytes(CONTENT).is_new


def test_an_open_blob_is_read_to_its_end_after_its_removal(blobs: LocalBlobs) -> None:
    if os.name == "nt":
        pytest.skip("Windows does not delete open files")
    blobs.put_bytes(CONTENT)
    with blobs.open(SHA256) as file:
        blobs.remove(SHA256)
        assert file.read() == CONTENT


def age(path: Path, age_s: float) -> None:
    os.utime(path, (time.time() - age_s,) * 2)


def test_a_put_makes_a_blob_young_again(blobs: LocalBlobs) -> None:
    blobs.put_bytes(CONTENT)
    age(place_of(blobs), 7200)
    blobs.put_bytes(CONTENT)
    assert blobs.remove(SHA256, older_than_s=3600) == 0
    age(place_of(blobs), 7200)
    assert blobs.remove(SHA256, older_than_s=3600) == len(CONTENT)


def test_old_temporaries_are_swept_and_nothing_else(blobs: LocalBlobs) -> None:
    assert blobs.sweep_temp() == 0
    blobs.put_bytes(CONTENT)
    old, young, stranger = (blobs.root / "tmp" / name for name in ("a" * 32, "b" * 32, "notes.txt"))
    for path in (old, young, stranger):
        path.write_bytes(b"x")
    age(old, 90_000)
    age(stranger, 90_000)
    assert blobs.sweep_temp() == 1
    assert sorted(files_of(blobs)) == sorted([young, stranger, place_of(blobs)])
    assert blobs.sweep_temp(older_than_s=0) == 1
    assert stranger.exists()


def test_a_put_that_was_swept_under_its_feet_is_reported(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = durable.sync_file

    def sweep(descriptor: int) -> None:
        real(descriptor)
        blobs.sweep_temp(older_than_s=0)

    monkeypatch.setattr(local, "sync_file", sweep)
    with pytest.raises(StoreUnavailableError, match="try again"):
        blobs.put_bytes(CONTENT)
    assert not blobs.has(SHA256)
