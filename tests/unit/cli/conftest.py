"""A store with runs, made through the API, and the command line in this process."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import mlops_sdk

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}
HOSTILE = "\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\u202egnp.exe\r\n=cmd|' /C calc'!A1"

Mlops = Callable[..., Result]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a store that no test changes: see `store` for one of your own."""
    directory = tmp_path_factory.mktemp("made") / "kept" / ".mlops"
    options = {"tracking_uri": directory, "experiment": "digits", **QUIET}
    for name, rate in (("slow", 0.01), ("fast", 0.5)):
        params = {"rate": rate, "layers": [8, 8], "kind": "mlp"}
        with mlops_sdk.start_run(name=name, run_id=f"run-{name}", params=params, tags={"team": "a"}, **options) as run:
            for step in range(50):
                run.log_metric("loss", math.exp(-step * rate), step=step)
            run.log_metrics({"acc": rate / 2, "system/cpu": 1.0}, step=49)
            run.log_text("report", "notes/report.txt")
            run.log_text("other", "notes/other.txt")
            for fold in range(2):
                with mlops_sdk.start_run(name=f"fold-{fold}", nested=True, **options) as child:
                    child.log_metric("loss", 1.0 + fold)
    odd = {"nan": float("nan"), "up": math.inf, "down": -math.inf, "zero": -0.0, "tiny": 5e-324}
    options["experiment"] = "odd"
    with mlops_sdk.start_run(
        name="odd-numbers", params={"big": 2**63 - 1, "flag": True, "none": None}, **options
    ) as run:
        run.log_metrics(odd)
    with pytest.raises(ZeroDivisionError), mlops_sdk.start_run(name="broken", **options):
        raise ZeroDivisionError(f"at the end{HOSTILE}")
    mlops_sdk.open_store(directory).close()
    return directory


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "copy" / ".mlops"))


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """Run a command in this process; a width that holds every column."""
    from mlops_sdk.cli.program import mlops

    monkeypatch.setenv("COLUMNS", "250")
    return lambda *arguments: CliRunner().invoke(mlops, [str(each) for each in arguments])


def from_json(result: Result) -> Any:
    """What a command printed for programs: strictly JSON, nothing else on standard output."""

    def refuse(token: str) -> Any:
        raise AssertionError(f"{token} is no JSON")

    return json.loads(result.stdout, parse_constant=refuse)
