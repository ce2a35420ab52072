"""What every test gets: an environment of its own, and the same examples each time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Deterministic by default: a red build is the fault of the change that it judges. `--hypothesis-profile=explore` searches
# afresh. No deadline: the machines that run this are shared.
settings.register_profile("deterministic", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("deterministic")

# Our own settings; and what turns a run into the rank of a distributed one, or points git at another repository
# (`git commit` sets GIT_DIR for its hooks).
LEAKING_PREFIXES = ("MLOPS_", "SLURM_", "OMPI_", "PMI_", "GIT_")
LEAKING_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


@pytest.fixture(scope="session")
def matplotlib_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for the session: matplotlib builds a font cache in it, which takes seconds."""
    return tmp_path_factory.mktemp("matplotlib")


@pytest.fixture(autouse=True)
def isolated_environment(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    matplotlib_config: Path,
) -> None:
    """No setting leaks in, nothing is written outside temporary directories; children inherit this."""
    for name in os.environ:
        if name.startswith(LEAKING_PREFIXES) or name in LEAKING_NAMES:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")  # not below tmp_path: a test may list its own directory
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # children start in half the time
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("MPLCONFIGDIR", str(matplotlib_config))
    monkeypatch.chdir(tmp_path)


_FIGURE = re.compile(r"(?m)^(?:[GA]\d+\b|\S+ +G\d+ +(?:trials|skipped)).*")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the figures that tests of guarantees print, whichever worker process they come from."""
    lines = sorted(set(_figures(terminalreporter)))
    if lines:
        terminalreporter.section("guarantees")
        for line in lines:
            terminalreporter.write_line(line)


def _figures(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            yield from _FIGURE.findall(getattr(report, "capstdout", ""))
