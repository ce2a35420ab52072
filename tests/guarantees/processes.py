"""Children that run a program, as another user too."""

from __future__ import annotations

import os
import shutil
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


def start(program: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a program text."""
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


def become_nobody(scratch: Path) -> None:
    """In a child of root's: use everything once, so that it is imported, then give up root's rights for good.

    A Python of root's own cannot be started by another user, nor import anything for one.
    """
    if os.geteuid() != 0:
        return
    import mlops_sdk
    from tests.guarantees.every_call import QUIET, call_all

    for store in (scratch / "warm", "memory:warm"):
        with mlops_sdk.start_run(tracking_uri=store, **QUIET) as run:
            call_all(run, scratch / "warm-files")
            run.flush()
        mlops_sdk.get_run(run.run_id, tracking_uri=store).metric("loss")
    mlops_sdk.open_store(scratch / "warm").close()
    shutil.rmtree(scratch / "warm")
    shutil.rmtree(scratch / "warm-files")
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
