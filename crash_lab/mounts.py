"""File systems mounted for one harness, and unmounted whatever happens."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from crash_lab.report import SkipError


@contextlib.contextmanager
def tmpfs(point: Path, *, size: str) -> Iterator[Path]:
    """Mount an empty tmpfs at `point`.

    Raises
    ------
    SkipError
        If mounting is refused.
    """
    if shutil.which("mount") is None:
        raise SkipError("there is no mount command")
    point.mkdir()
    options = f"size={size},mode=0700"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", point], capture_output=True, text=True)
    if done.returncode:
        raise SkipError(f"mounting a tmpfs is refused: {done.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=True)
