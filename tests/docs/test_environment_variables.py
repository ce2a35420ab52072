"""The page of environment variables is complete, and true of what the code reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mlops_sdk import config

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(config.__file__).parent
PAGE = (ROOT / "docs" / "environment-variables.md").read_text(encoding="utf-8")
ROWS = {
    cells[1].strip().strip("`"): cells[2:6]
    for cells in (line.split("|") for line in PAGE.splitlines() if line.startswith("| `MLOPS_"))
}


class RecordingEnvironment(Mapping[str, str]):
    """An empty environment that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("settings are read by name, never by going through the whole environment")

    def __len__(self) -> int:
        return 0


def test_every_variable_read_is_documented_and_no_other() -> None:
    environment = RecordingEnvironment()
    config.resolve(environment)
    assert set(ROWS) == environment.asked


def test_no_module_names_an_undocumented_variable() -> None:
    named = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"\bMLOPS_[A-Z]+(?:_[A-Z]+)*\b", path.read_text(encoding="utf-8"))
    }
    assert named - set(ROWS) == set()


def test_defaults_on_the_page_are_those_in_force() -> None:
    settings = config.resolve({})
    for variable, field in (("EXPERIMENT", "experiment"), ("MODE", "mode"), ("JOURNAL", "journal")):
        assert ROWS[f"MLOPS_{variable}"][2].strip() == f"`{getattr(settings, field)}`"
    assert settings.strict is False


@pytest.mark.parametrize("variable", ["MODE", "JOURNAL", "RESUME", "STRICT"])
def test_each_value_on_the_page_is_accepted(variable: str) -> None:
    values = re.findall(r"`([a-z0-9]+)`", ROWS[f"MLOPS_{variable}"][1])
    assert len(values) >= 2
    for value in values:
        settings = config.resolve({f"MLOPS_{variable}": value})
        expected = value in {"1", "true", "yes", "on"} if variable == "STRICT" else value
        assert getattr(settings, variable.lower()) == expected
