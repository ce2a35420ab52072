"""``mlops compare``: runs, the previous run, groups."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlops_sdk
from tests.unit.cli.conftest import HOSTILE, QUIET, Mlops, from_json


def test_what_changed_is_on_one_screen(mlops: Mlops, made: Path) -> None:
    result = mlops("compare", "slow", "fast", "--store", made)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["results"]
    assert ["param", "rate", "0.01", "0.5"] in lines
    (loss,) = (line for line in lines if line[:1] == ["loss"])
    assert "better:" in loss
    assert len(lines) < 30


def test_one_run_is_compared_with_the_previous_of_its_entry_point(mlops: Mlops, made: Path) -> None:
    result = mlops("compare", "fast", "--store", made)
    assert result.exit_code == 0
    assert "slow" in result.stdout
    first = mlops("compare", "slow", "--store", made)
    assert (first.exit_code, first.stderr.count("\n")) == (1, 1)
    assert "no earlier run of" in first.stderr


def test_json_is_exact(mlops: Mlops, made: Path) -> None:
    record = from_json(mlops("compare", "slow", "fast", "--json", "--store", made))
    assert record["labels"] == ["slow", "fast"]
    (rate,) = (each for each in record["differences"] if each["key"] == "rate")
    assert (rate["slow"], rate["fast"], rate["kind"]) == (0.01, 0.5, "changed")
    (loss,) = (each for each in record["metrics"] if each["key"] == "loss")
    assert (loss["direction"], loss["trend"], loss["count"]) == ("min", "better", [50, 50])


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        ([], 2, "name a run"), (["nope"], 1, "no run 'nope'"), (["slow", "-e", "digits"], 2, "not both"),
        (["-e", "digits", "--group-by", "rate"], 2, "metric="), (["-e", "digits", "--group-by", "x", "-m", "acc"], 2, "group by"),
        (["slow", "fast", "-m", "nope"], 2, "none of these runs"), (["slow", "fast", "-m", "acc", "--test", "x"], 2, "use one of"),
        (["-e", "digits", "--group-by", "rate", "--group-seeds", "-m", "acc"], 2, "not both"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_line(
    mlops: Mlops, made: Path, arguments: list[str], code: int, said: str
) -> None:
    result = mlops("compare", *arguments, "--store", made)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert said in result.stderr


def test_too_few_runs_get_no_verdict(mlops: Mlops, made: Path) -> None:
    result = mlops("compare", "slow", "fast", "-m", "acc", "--store", made)
    assert (result.exit_code, "no verdict, n = 1" in result.stdout) == (0, True)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for model, shift in (("small", 0.0), ("large", 0.1)):
        for seed in range(4):
            options = {"tracking_uri": tmp_path, "experiment": "sweep", **QUIET}
            with mlops_sdk.start_run(params={"model": model, "seed": seed}, **options) as run:
                run.log_metric("val/acc", 0.5 + shift + seed * 0.01 + seed % 2 * shift * 0.01)
    return tmp_path


@pytest.mark.parametrize("grouping", [["--group-by", "params.model"], ["--group-seeds"]])
def test_groups_get_a_verdict(mlops: Mlops, sweep: Path, grouping: list[str]) -> None:
    result = mlops("compare", "-e", "sweep", *grouping, "-m", "val/acc", "--store", sweep)
    assert result.exit_code == 0, result.stderr
    assert "val/acc: model=small is worse than model=large" in result.stdout
    assert "paired t-test" in result.stdout
    record = from_json(mlops("compare", "-e", "sweep", *grouping, "-m", "val/acc", "--json", "--store", sweep))
    assert record["verdicts"][0]["outcome"] == "worse"
    assert [each["n"] for each in record["groups"]] == [4, 4]


def test_named_runs_can_be_grouped(mlops: Mlops, sweep: Path) -> None:
    names = [f"@{number}" for number in range(1, 9)]
    result = mlops("compare", *names, "--group-by", "model", "-m", "val/acc", "--test", "welch", "--store", sweep)
    assert "Welch's t-test" in result.stdout


def test_stored_text_is_harmless(mlops: Mlops, tmp_path: Path) -> None:
    for number in range(2):
        options = {"tracking_uri": tmp_path, "params": {"p": f"{HOSTILE}{number}", HOSTILE.strip(): number}, **QUIET}
        with mlops_sdk.start_run(name=f"{HOSTILE}{number}", **options) as run:
            run.log_metric("loss", number)
    for arguments in (
        ["@2", "@1"],
        ["@2", "@1", "--json"],
        ["@2", "@1", "--all", "-m", "loss"],
        ["@2", "@1", "--diff"],
    ):
        result = mlops("compare", *arguments, "--store", tmp_path)
        assert result.exit_code == 0, result.stderr
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(result.stdout + result.stderr)


def test_the_diff_of_the_code_and_every_difference(mlops: Mlops, tmp_path: Path) -> None:
    from mlops_sdk.journal.records import Kind

    for number in range(2):
        params = {f"p{each}": number for each in range(50)}
        with mlops_sdk.start_run(name=f"r{number}", params=params, tracking_uri=tmp_path, **QUIET) as run:
            diff = f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new{number}\x1b[2J\n"
            run._emit(Kind.ENVIRONMENT, {"git": {"commit": "a" * 40, "diff_sha256": f"{number}", "diff": diff}})
    shown = mlops("compare", "r0", "r1", "--diff", "--store", tmp_path).stdout
    assert "-+new0\\x1b[2J\n++new1\\x1b[2J\n" in shown
    few = mlops("compare", "r0", "r1", "--store", tmp_path)
    assert "of params" in few.stdout
    assert "--all" in few.stderr
    everything = mlops("compare", "r0", "r1", "--all", "--store", tmp_path)
    assert everything.stdout.count("  param  ") == 50
    assert everything.stderr == ""
