from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk.run import active
from tests.guarantees.processes import NOBODY


@pytest.fixture(autouse=True)
def _end_what_is_open() -> Iterator[None]:
    yield
    for run in reversed(active.all_open()):
        run.finish()
    mlops_sdk.set_tracking_uri(None)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that an unprivileged user reaches and owns: pytest's own are closed to everybody else."""
    if not hasattr(os, "geteuid"):
        pytest.skip("users have no numbers here")
    path = Path(tempfile.mkdtemp(prefix="mlops-guarantees-"))
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    yield path
    for directory, _, _ in os.walk(path):
        os.chmod(directory, 0o700)
    shutil.rmtree(path, ignore_errors=True)
