"""The guarantees, a few trials each with a fixed seed: the short form of ``python -m crash_lab``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from crash_lab.harnesses import HARNESSES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the laboratory forks, mounts and reads /proc"),
]
LINE = re.compile(r"^(?P<name>\S+) +G\d+ +trials (?P<trials>\d+) +violations (?P<violations>\d+) +bound \S+ +seed 1 ")


def run(name: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crash_lab", "--short", "--seed", "1", "--directory", str(directory), name]
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=root)


@pytest.mark.parametrize("name", HARNESSES)
def test_no_violation(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path)
    print(done.stdout.strip())  # shown at the end of the session, see tests/conftest.py
    if " skipped: " in done.stdout:
        pytest.skip(done.stdout.strip().partition(" skipped: ")[2])
    assert done.returncode == 0, done.stdout + done.stderr
    result = LINE.match(done.stdout)
    assert result is not None, done.stdout + done.stderr
    assert (result["name"], int(result["violations"])) == (name, 0)
    assert int(result["trials"]) >= HARNESSES[name].short
    assert list(tmp_path.iterdir()) == [], "the laboratory was not tidied up"


def test_an_unknown_harness_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    done = run("no-such", tmp_path)
    assert done.returncode == 2
    assert "kill-mapped" in done.stderr
