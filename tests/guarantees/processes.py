"""Children that run a program, as another user too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NOBODY = 65534
ROOT = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    """This process's, with the repository's packages to be imported."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more}


def start(program: str, *arguments: object, is_nobody: bool = False, **options: Any) -> subprocess.Popen[str]:
    """Start a program text; as nobody, when this process is root's."""
    if is_nobody and os.geteuid() == 0:
        options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **options}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], text=True, **options)


def run(program: str, *arguments: object, timeout_s: float = 60.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program text to its end."""
    with start(program, *arguments, **options) as child:
        try:
            out, err = child.communicate(timeout=timeout_s)
        except BaseException:
            child.kill()
            raise
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)
