"""Whether a directory's files may be mapped into memory for writing.

A store to a mapped page that the file system then cannot back kills the process (SIGBUS). So files are mapped only where
`posix_fallocate` really reserves space and nobody revokes it: ext4 (not with ``nodelalloc`` or ``data=journal``), xfs,
tmpfs, and overlay whose upper layer is one of these. Everywhere else, and on every system but Linux, records are
appended by plain writes.

References
----------
.. [1] ``docs/adr/0001-journal-format.md``
.. [2] proc_pid_mountinfo(5)
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SAFE = {"ext4", "xfs", "tmpfs"}
_UNSAFE_EXT4 = {"nodelalloc", "data=journal"}
_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "glusterfs", "beegfs", "gpfs", "9p", "afs", "fuse.sshfs",
    "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse", "virtiofs", "orangefs", "pvfs2",
}  # fmt: skip


_SLACK_BLOCKS = 1024
"""By how much the free space of one file system may differ between two looks at it."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo.

    Attributes
    ----------
    kind : str
        File system type.
    options : frozenset of str
        Mount and super block options.
    """

    kind: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a directory is to be written, and why."""

    is_mapped: bool
    is_network: bool
    kind: str
    reason: str


def inspect(directory: Path, choice: str = "auto") -> Verdict:
    """Decide how journals in `directory` are written.

    Parameters
    ----------
    directory : Path
        Must exist.
    choice : {"auto", "mmap", "append"}
        What the user asked for (`MLOPS_JOURNAL`); "mmap" is taken at its word.
    """
    mount = find_mount(directory)
    kind = mount.kind if mount else sys.platform
    is_network = kind in _NETWORK
    if choice != "auto":
        return Verdict(choice == "mmap", is_network, kind, f"MLOPS_JOURNAL={choice}")
    if not hasattr(os, "posix_fallocate"):
        return Verdict(False, is_network, kind, "no posix_fallocate on this system")
    reason = _unsafe_reason(mount, directory)
    return Verdict(reason is None, is_network, kind, reason or f"{kind} reserves space")


def _unsafe_reason(mount: Mount | None, directory: Path) -> str | None:
    if mount is None:
        return "the file system could not be told"
    if mount.kind == "overlay":
        return _unsafe_upper(directory)
    if mount.kind not in _SAFE:
        return f"{mount.kind} is not known to reserve space for mapped files"
    if mount.kind == "ext4" and mount.options & _UNSAFE_EXT4:
        return f"ext4 mounted with {', '.join(sorted(mount.options & _UNSAFE_EXT4))}"
    return None


def find_mount(directory: Path, mountinfo: str = "/proc/self/mountinfo") -> Mount | None:
    """The mount `directory` lies on, None where the system does not say."""
    try:
        device = os.stat(directory).st_dev
    except OSError:
        return None
    text = _mountinfo(mountinfo)
    return _match(text, f"{os.major(device)}:{os.minor(device)}", os.path.realpath(directory)) if text else None


def _mountinfo(path: str = "/proc/self/mountinfo") -> str:
    """Its text, "" where the system has none."""
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    return ""


def _mounts(text: str) -> Iterator[tuple[str, str, Mount]]:
    """Yield (device, mount point, mount) of each line that can be read."""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, source = left.split(" "), right.split(" ")
        if len(fields) >= 6 and len(source) >= 3:
            options = frozenset(fields[5].split(",") + source[2].split(","))
            yield fields[2], _unescape(fields[4]), Mount(source[0], options)


def _unescape(point: str) -> str:
    r"""A mount point as it is: the kernel writes spaces as ``\040``, and what is beyond ASCII as plain bytes."""
    plain = point.encode("utf-8", "surrogateescape").decode("unicode_escape", "replace")
    return plain.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _match(text: str, device: str, path: str) -> Mount | None:
    """Of the mounts of that device the one with the longest mount point above `path`; the last stands on top."""
    best: tuple[int, Mount] | None = None
    for its_device, point, mount in _mounts(text):
        is_above = path == point or path.startswith(point.rstrip("/") + "/")
        if its_device == device and is_above and (best is None or len(point) >= best[0]):
            best = len(point), mount
    return best[1] if best else None


def _unsafe_upper(directory: Path) -> str | None:
    """Why an overlay's upper layer is not safe; None when it is.

    Before Linux 6.8 the kernel listed a mapped file of an overlay under the device of the layer that holds it, and sysfs
    has a directory per mounted ext4 and xfs device, in a container too. Since then the layer is told by its size.
    """
    layer = _layer_by_size(directory)
    if layer is not None:
        reason = _unsafe_reason(layer, directory)
        return f"overlay on {reason}" if reason else None
    device = _backing_device(directory)
    if device is None:
        return "overlay whose upper layer could not be told"
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{device}"))
    except OSError:
        return "overlay whose upper layer is not a block device"
    if os.path.isdir(f"/sys/fs/xfs/{name}"):
        return None
    if not os.path.isdir(f"/sys/fs/ext4/{name}"):
        return "overlay whose upper layer is neither ext4 nor xfs"
    try:
        options = set(Path(f"/proc/fs/ext4/{name}/options").read_text(encoding="ascii").split())
    except OSError:
        return "overlay on ext4 whose mount options could not be read"
    unsafe = options & _UNSAFE_EXT4
    return f"overlay on ext4 mounted with {', '.join(sorted(unsafe))}" if unsafe else None


def _layer_by_size(directory: Path) -> Mount | None:
    """The mounted ext4 or xfs that has the size, the free space and the inodes that the overlay claims to have.

    An overlay answers statfs(2) with the numbers of its upper layer. A container sees that file system where the engine
    has mounted single files from it: ``/etc/hosts``, ``/etc/resolv.conf``.
    """
    for _, point, mount in _mounts(_mountinfo()):
        if mount.kind in ("ext4", "xfs"):
            with contextlib.suppress(OSError, AttributeError):
                before, layer, after = os.statvfs(directory), os.statvfs(point), os.statvfs(directory)
                if _is_same(before, layer, after, has_fixed_inodes=mount.kind == "ext4"):
                    return mount
    return None


def _is_same(
    before: os.statvfs_result, layer: os.statvfs_result, after: os.statvfs_result, *, has_fixed_inodes: bool
) -> bool:
    free = sorted((before.f_bfree, after.f_bfree))
    return (
        (layer.f_frsize, layer.f_blocks) == (after.f_frsize, after.f_blocks)
        and (layer.f_files == after.f_files or not has_fixed_inodes)
        and free[0] - _SLACK_BLOCKS <= layer.f_bfree <= free[1] + _SLACK_BLOCKS
    )


def _backing_device(directory: Path) -> str | None:
    """Device, as "major:minor", of the layer that would hold a new file of `directory`."""
    import tempfile

    with contextlib.suppress(OSError, ValueError), tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"\0" * mmap.PAGESIZE)
        file.flush()
        inode = os.fstat(file.fileno()).st_ino
        with mmap.mmap(file.fileno(), mmap.PAGESIZE):
            for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
                fields = line.split()
                if len(fields) > 4 and fields[4] == str(inode):
                    major, minor = (int(part, 16) for part in fields[3].split(":"))
                    return f"{major}:{minor}"
    return None
