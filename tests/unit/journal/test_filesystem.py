"""Where journals may be mapped: read from mountinfo, and tried on real mounts where this machine allows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mlops_sdk.journal import filesystem
from mlops_sdk.journal.filesystem import Mount, inspect

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mountinfo is Linux's")

MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid - proc proc rw
30 22 254:16 / /data rw,noatime shared:5 - ext4 /dev/vdb rw,nodelalloc
31 22 254:32 / /journalled rw - ext4 /dev/vdc rw,data=journal
32 22 254:48 / /fast rw - xfs /dev/vdd rw,attr2,inode64,noquota
33 22 0:40 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw,size=4096k
34 22 0:41 / /merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
35 22 0:42 / /home rw,relatime shared:9 - nfs4 server:/home rw,vers=4.2
36 22 0:43 / /scratch rw - lustre 10.0.0.1@tcp:/fs rw,flock
37 22 254:48 /sub /my\\040disk\\011x rw - xfs /dev/vdd rw
38 22 254:0 /srv/real /bound rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
39 22 0:44 / /c rw - 9p drvfs rw,aname=drvfs;path=C:\\134;uid=1000
40 22 0:45 / /snap rw - btrfs /dev/vde rw,subvol=/@
41 22 0:46 / /pool rw - zfs pool rw
42 22 0:47 / /host rw - virtiofs host rw
43 22 0:48 / /bucket rw - fuse.gcsfuse bucket rw
44 22 0:49 / /deep rw shared:3 master:1 propagate_from:2 unbindable - tmpfs none rw
45 22 0:50 / /gr\u00fc\u00df\\040gott rw - nfs server:/x rw
"""


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Mount | None]:
    """Finds the mount of a directory on a device, by the text above."""
    text = tmp_path / "mountinfo"
    text.write_text(MOUNTINFO, encoding="utf-8")
    stat = os.stat

    def find(directory: str, device: str) -> Mount | None:
        major, minor = map(int, device.split(":"))

        class Stat:
            st_dev = os.makedev(major, minor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", lambda path, **more: Stat if path == Path(directory) else stat(path, **more))
            patch.setattr(os.path, "realpath", str)
            return filesystem.find_mount(Path(directory), str(text))

    return find


@linux
@pytest.mark.parametrize(
    "directory, device, kind, is_mapped, is_network",
    [
        ("/work/run", "254:0", "ext4", True, False),
        ("/", "254:0", "ext4", True, False),
        ("/bound/x", "254:0", "ext4", True, False),
        ("/data/x", "254:16", "ext4", False, False),
        ("/journalled", "254:32", "ext4", False, False),
        ("/fast", "254:48", "xfs", True, False),
        ("/my disk\tx/y", "254:48", "xfs", True, False),
        ("/dev/shm", "0:40", "tmpfs", True, False),
        ("/deep/er", "0:49", "tmpfs", True, False),
        ("/home/me/project", "0:42", "nfs4", False, True),
        ("/grüß gott/x", "0:50", "nfs", False, True),
        ("/scratch/x", "0:43", "lustre", False, True),
        ("/c/Users", "0:44", "9p", False, True),
        ("/host", "0:47", "virtiofs", False, True),
        ("/bucket", "0:48", "fuse.gcsfuse", False, True),
        ("/snap", "0:45", "btrfs", False, False),
        ("/pool", "0:46", "zfs", False, False),
    ],
)
def test_each_kind_of_mount(
    on: Callable[[str, str], Mount | None],
    monkeypatch: pytest.MonkeyPatch,
    directory: str,
    device: str,
    kind: str,
    is_mapped: bool,
    is_network: bool,
) -> None:
    mount = on(directory, device)
    assert mount is not None
    assert mount.kind == kind
    monkeypatch.setattr(filesystem, "find_mount", lambda _: mount)
    verdict = inspect(Path(directory))
    assert (verdict.kind, verdict.is_mapped, verdict.is_network) == (kind, is_mapped, is_network)
    assert kind in verdict.reason


@linux
def test_the_reason_names_the_option(on: Callable[[str, str], Mount | None], monkeypatch: pytest.MonkeyPatch) -> None:
    for directory, device, option in (("/data", "254:16", "nodelalloc"), ("/journalled", "254:32", "data=journal")):
        mount = on(directory, device)
        with monkeypatch.context() as patch:
            patch.setattr(filesystem, "find_mount", lambda _, mount=mount: mount)
            assert option in inspect(Path(directory)).reason


@linux
def test_a_mount_point_above_is_not_a_prefix_of_the_text(on: Callable[[str, str], Mount | None]) -> None:
    assert on("/database", "254:16") is None
    assert on("/datum", "254:0") == Mount("ext4", frozenset(["rw", "relatime", "errors=remount-ro"]))


@linux
def test_of_mounts_on_one_point_the_last_stands_on_top() -> None:
    text = "1 0 9:1 / /m rw - xfs /dev/a rw\n2 0 9:1 / /m rw - ext4 /dev/a rw,nodelalloc\n"
    mount = filesystem._match(text, "9:1", "/m/x")
    assert mount is not None
    assert mount.kind == "ext4"


@pytest.mark.parametrize("text", ["", "\n", "nonsense\n", "1 2 3\n", "1 0 9:1 / /m rw - xfs\n", "- - -\n", "\udcff\n"])
def test_a_mountinfo_that_cannot_be_read_says_nothing(text: str) -> None:
    assert filesystem._match(text, "9:1", "/m") is None


def test_where_nothing_is_known_records_are_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filesystem.find_mount(tmp_path, str(tmp_path / "no mountinfo")) is None
    monkeypatch.setattr(filesystem, "find_mount", lambda _: None)
    verdict = inspect(tmp_path)
    assert (verdict.is_mapped, verdict.is_network, verdict.kind) == (False, False, sys.platform)


def test_without_fallocate_records_are_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    verdict = inspect(tmp_path)
    assert not verdict.is_mapped
    assert "posix_fallocate" in verdict.reason


@pytest.mark.parametrize("choice, is_mapped", [("mmap", True), ("append", False)])
def test_the_user_is_taken_at_his_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str, is_mapped: bool
) -> None:
    monkeypatch.setattr(filesystem, "find_mount", lambda _: Mount("nfs4", frozenset()))
    verdict = inspect(tmp_path, choice)
    assert (verdict.is_mapped, verdict.is_network, verdict.reason) == (is_mapped, True, f"MLOPS_JOURNAL={choice}")


@linux
def test_this_directory_can_be_told(tmp_path: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True).stdout.strip()
    found = inspect(tmp_path).kind
    assert found in kind or kind in found or kind == "ext2/ext3"


# -- overlays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sysfs, options, reason",
    [
        ("xfs", "", None),
        ("ext4", "rw\ndelalloc\nbarrier\n", None),
        ("ext4", "rw\nnodelalloc\n", "nodelalloc"),
        ("ext4", "rw\ndata=journal\n", "data=journal"),
        ("ext4", None, "could not be read"),
        ("btrfs", "", "neither ext4 nor xfs"),
    ],
)
def test_an_overlay_is_as_safe_as_its_upper_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sysfs: str, options: str | None, reason: str | None
) -> None:
    monkeypatch.setattr(filesystem, "_layer_by_size", lambda _: None)
    monkeypatch.setattr(filesystem, "_backing_device", lambda _: "254:0")
    monkeypatch.setattr(os, "readlink", lambda path: f"../../devices/{Path(path).name}/vda")
    isdir = os.path.isdir
    monkeypatch.setattr(
        os.path, "isdir", lambda path: path == f"/sys/fs/{sysfs}/vda" if str(path).startswith("/sys/") else isdir(path)
    )
    read_text = Path.read_text

    def read(path: Path, *args: str, **more: str) -> str:
        if path != Path("/proc/fs/ext4/vda/options"):
            return read_text(path, *args, **more)
        if options is None:
            raise PermissionError
        return options

    monkeypatch.setattr(Path, "read_text", read)
    found = filesystem._unsafe_upper(tmp_path)
    assert found is None if reason is None else found is not None and reason in found


def test_an_overlay_on_something_without_a_device_is_not_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "_layer_by_size", lambda _: None)
    monkeypatch.setattr(filesystem, "_backing_device", lambda _: None)
    assert "could not be told" in (filesystem._unsafe_upper(tmp_path) or "")
    monkeypatch.setattr(filesystem, "_backing_device", lambda _: "9999:9999")
    assert "not a block device" in (filesystem._unsafe_upper(tmp_path) or "")


class Sizes(NamedTuple):
    """As of os.statvfs_result."""

    f_frsize: int = 4096
    f_blocks: int = 1_000_000
    f_files: int = 65_536
    f_bfree: int = 500_000


IN_DOCKER = """\
500 400 0:60 / / rw,relatime - overlay overlay rw,lowerdir=/x,upperdir=/y,workdir=/z
501 500 254:1 /docker/containers/c/hosts /etc/hosts rw - {kind} /dev/vda1 rw,{options}
502 500 0:61 / /dev/shm rw - tmpfs shm rw,size=65536k
"""


@pytest.mark.parametrize(
    "kind, options, layer, reason",
    [
        ("ext4", "relatime", Sizes(), None),
        ("ext4", "relatime", Sizes(f_bfree=500_900), None),
        ("xfs", "relatime", Sizes(f_files=1), None),
        ("ext4", "nodelalloc", Sizes(), "overlay on ext4 mounted with nodelalloc"),
        ("ext4", "relatime", Sizes(f_blocks=999_999), "could not be told"),
        ("ext4", "relatime", Sizes(f_files=65_537), "could not be told"),
        ("ext4", "relatime", Sizes(f_bfree=400_000), "could not be told"),
        ("ext4", "relatime", Sizes(f_frsize=1024), "could not be told"),
        ("btrfs", "relatime", Sizes(), "could not be told"),
    ],
)
def test_in_a_container_the_upper_layer_is_told_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, layer: Sizes, reason: str | None
) -> None:
    monkeypatch.setattr(filesystem, "_mountinfo", lambda: IN_DOCKER.format(kind=kind, options=options))
    monkeypatch.setattr(filesystem, "_backing_device", lambda _: None)
    monkeypatch.setattr(os, "statvfs", lambda path: layer if path == "/etc/hosts" else Sizes(), raising=False)
    found = filesystem._unsafe_upper(tmp_path)
    assert found is None if reason is None else found is not None and reason in found


def test_a_mount_that_cannot_be_looked_at_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(filesystem, "_mountinfo", lambda: IN_DOCKER.format(kind="ext4", options="relatime"))
    monkeypatch.setattr(os, "statvfs", refuse, raising=False)
    assert filesystem._layer_by_size(tmp_path) is None


@linux
def test_the_device_of_a_directory_is_found_by_mapping_a_file(tmp_path: Path) -> None:
    device = os.stat(tmp_path).st_dev
    found = filesystem._backing_device(tmp_path)
    if inspect(tmp_path).kind in ("btrfs", "overlay", "zfs"):
        pytest.skip("this file system shows another device to stat than to a mapping")
    assert found == f"{os.major(device)}:{os.minor(device)}"
    assert list(tmp_path.iterdir()) == []


# -- real mounts -----------------------------------------------------------------------------------------------------

Mounter = Callable[..., Path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounter]:
    """Mounts a file system below `tmp_path`; unmounted at the end. Skips where that is refused."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    points: list[Path] = []

    def mount(name: str, *arguments: str) -> Path:
        point = tmp_path / name
        point.mkdir()
        done = subprocess.run(["mount", *arguments, point], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is refused here: {done.stderr.strip()}")
        points.append(point)
        return point

    yield mount
    for point in reversed(points):
        subprocess.run(["umount", "-l", point], check=True)


@linux
def test_a_real_tmpfs(mounted: Mounter) -> None:
    point = mounted("my disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    (point / "deeper").mkdir()
    verdict = inspect(point / "deeper")
    assert (verdict.kind, verdict.is_mapped) == ("tmpfs", True)


@linux
def test_a_real_overlay(mounted: Mounter, tmp_path: Path) -> None:
    """The upper layer decides: as safe as the directory that it is, if that is on a block device."""
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    layers = ",".join(f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work"))
    point = mounted("merged", "-t", "overlay", "-o", layers, "overlay")
    below = inspect(tmp_path)
    verdict = inspect(point)
    assert (verdict.kind, verdict.is_network) == ("overlay", False)
    if below.kind in ("ext4", "xfs"):
        assert verdict.is_mapped == below.is_mapped, verdict.reason
    assert list((tmp_path / "upper").iterdir()) == []


@linux
def test_a_real_overlay_on_a_tmpfs_is_appended_to(mounted: Mounter) -> None:
    """No device tells that its upper layer is one."""
    layer = mounted("layer", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    for name in ("lower", "upper", "work"):
        (layer / name).mkdir()
    layers = ",".join(f"{name}dir={layer / name}" for name in ("lower", "upper", "work"))
    verdict = inspect(mounted("merged", "-t", "overlay", "-o", layers, "overlay"))
    assert (verdict.kind, verdict.is_mapped) == ("overlay", False)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("options, is_mapped", [("", True), ("nodelalloc", False), ("data=journal", False)])
def test_a_real_ext4(mounted: Mounter, tmp_path: Path, options: str, is_mapped: bool) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4")
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    point = mounted("ext4", "-o", ",".join(filter(None, ["loop", options])), str(image))
    verdict = inspect(point)
    assert (verdict.kind, verdict.is_mapped) == ("ext4", is_mapped), verdict.reason
