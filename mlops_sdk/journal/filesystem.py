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
from dataclasses import dataclass
from pathlib import Path

_SAFE = {"ext4", "xfs", "tmpfs"}
_UNSAFE_EXT4 = {"nodelalloc", "data=journal"}
_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "glusterfs", "beegfs", "gpfs", "9p", "afs", "fuse.sshfs",
    "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse", "virtiofs", "orangefs", "pvfs2",
}  # fmt: skip


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
        text = Path(mountinfo).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return _match(text, f"{os.major(device)}:{os.minor(device)}", os.path.realpath(directory))


def _match(text: str, device: str, path: str) -> Mount | None:
    """Of the mounts of that device the one with the longest mount point above `path`; the last stands on top."""
    best: tuple[int, Mount] | None = None
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, source = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(source) < 3 or fields[2] != device:
            continue
        point = fields[4].encode().decode("unicode_escape", "replace")  # spaces stand as \040
        if path != point and not path.startswith(point.rstrip("/") + "/"):
            continue
        if best is None or len(point) >= best[0]:
            best = len(point), Mount(source[0], frozenset(fields[5].split(",") + source[2].split(",")))
    return best[1] if best else None


def _unsafe_upper(directory: Path) -> str | None:
    """Why an overlay's upper layer is not safe; None when it is.

    The kernel lists a mapped file of an overlay under the device of the layer that holds it, and sysfs has a directory
    per mounted ext4 and xfs device, in a container too.
    """
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
