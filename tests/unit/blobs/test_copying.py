"""One pass from a source into a copy: the digest is that of the copy, by every way of copying."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.blobs import copying
from mlops_sdk.blobs.copying import copy_and_hash, write_all

CONTENT = bytes(range(256)) * 4096 + b"end"  # 1 MiB and a bit


def refuse(*_: object) -> int:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@pytest.fixture(params=["copy_file_range", "sendfile", "read and write"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of copying that takes pieces; those before it are refused, as a file system would."""
    name = str(request.param)
    if name != "read and write" and sys.platform != "linux":
        pytest.skip("the kernel copies between files on Linux only")
    monkeypatch.setattr(copying, "KERNEL_BYTES", 1 << 16)
    monkeypatch.setattr(copying, "BUFFER_BYTES", 1 << 15)
    for earlier in {"copy_file_range": [], "sendfile": ["copy_file_range"]}.get(name, ["copy_file_range", "sendfile"]):
        monkeypatch.setattr(os, earlier, refuse, raising=False)
    return name


class Counter:
    """Progress that adds up, and may meddle with the source meanwhile."""

    def __init__(self, meddle: Callable[[], object] = lambda: None) -> None:
        self.pieces: list[int] = []
        self._meddle = meddle

    def update(self, n_bytes: int) -> None:
        self.pieces.append(n_bytes)
        self._meddle()

    def close(self) -> None:
        pass


def copied(source: Path, target: Path, progress: Counter | None = None) -> tuple[str, int]:
    with source.open("rb") as reading, target.open("xb+") as writing:
        return copy_and_hash(reading.fileno(), writing.fileno(), progress=progress)


def described(path: Path) -> tuple[str, int]:
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), len(content)


def test_the_way_under_test_is_taken(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def watch(name: str) -> None:
        real = getattr(os, name)

        def watched(*args: Any) -> Any:
            result = real(*args)
            taken.append(name)
            return result

        monkeypatch.setattr(os, name, watched)

    for name in ("copy_file_range", "sendfile", "write"):
        if hasattr(os, name):
            watch(name)
    (tmp_path / "source").write_bytes(CONTENT)
    copied(tmp_path / "source", tmp_path / "target")
    assert set(taken) == {"write" if way == "read and write" else way}


@pytest.mark.parametrize("size_bytes", [0, 1, (1 << 15) - 1, 1 << 15, 1 << 16, (1 << 16) + 1, len(CONTENT)])
@pytest.mark.usefixtures("way")
def test_a_copy_is_equal_and_described(tmp_path: Path, size_bytes: int) -> None:
    (tmp_path / "source").write_bytes(CONTENT[:size_bytes])
    progress = Counter()
    assert copied(tmp_path / "source", tmp_path / "target", progress) == described(tmp_path / "source")
    assert (tmp_path / "target").read_bytes() == CONTENT[:size_bytes]
    assert sum(progress.pieces) == size_bytes


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(len(CONTENT)))


def truncate(path: Path) -> None:
    os.truncate(path, 100_000)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(CONTENT)


def replace_it(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(os.urandom(1000))
    other.replace(path)


@pytest.mark.parametrize("change", [overwrite, truncate, grow, replace_it])
@pytest.mark.usefixtures("way")
def test_the_digest_is_of_the_copy_when_the_source_changes(tmp_path: Path, change: Callable[[Path], None]) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    progress = Counter(lambda: change(source))
    assert copied(source, tmp_path / "target", progress) == described(tmp_path / "target")
    assert len(progress.pieces) > 1
    assert (tmp_path / "target").stat().st_size <= len(CONTENT)  # one that grows does not keep us for ever


@pytest.mark.parametrize("refused", ["copy_file_range", "sendfile"])
def test_a_way_that_ends_in_the_middle_is_taken_up_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    if sys.platform != "linux":
        pytest.skip("the kernel copies between files on Linux only")
    monkeypatch.setattr(copying, "KERNEL_BYTES", 1000)
    if refused == "sendfile":
        monkeypatch.setattr(os, "copy_file_range", refuse)
    real, answers = getattr(os, refused), iter([True, True])

    def give_up_after_two(*args: Any) -> Any:
        return real(*args) if next(answers, False) else refuse()

    monkeypatch.setattr(os, refused, give_up_after_two)
    (tmp_path / "source").write_bytes(CONTENT)
    assert copied(tmp_path / "source", tmp_path / "target") == described(tmp_path / "source")
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_copy_begins_at_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    with (tmp_path / "source").open("rb") as reading, (tmp_path / "target").open("xb+") as writing:
        reading.read(10)
        assert copy_and_hash(reading.fileno(), writing.fileno()) == described(tmp_path / "source")


def test_a_file_that_claims_to_be_empty_is_read_to_its_end(tmp_path: Path) -> None:
    source = Path("/proc/version")
    if not source.exists():
        pytest.skip("this platform has no procfs")
    assert source.stat().st_size == 0
    assert copied(source, tmp_path / "target") == described(source)


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:1000]))
    with (tmp_path / "target").open("xb") as file:
        write_all(file.fileno(), CONTENT[:12_345])
    assert (tmp_path / "target").read_bytes() == CONTENT[:12_345]


@pytest.fixture(params=["btrfs", "xfs"])
def cloning(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A mounted file system that can share blocks between files."""
    kind = str(request.param)
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    image.touch()
    os.truncate(image, 320 << 20)
    mounted.mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed: {done.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_blocks_are_shared_where_the_file_system_can(cloning: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(os, "sendfile", refuse)
    monkeypatch.setattr(os, "write", refuse)  # nothing but a clone can succeed
    (cloning / "source").write_bytes(CONTENT)
    progress = Counter()
    assert copied(cloning / "source", cloning / "target", progress) == described(cloning / "source")
    assert sum(progress.pieces) == len(CONTENT)
    with (cloning / "source").open("r+b") as file:
        file.write(b"changed")
    assert (cloning / "target").read_bytes() == CONTENT
