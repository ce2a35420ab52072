"""``mlops runs`` and ``experiments``: which runs, which columns, in which form."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

import mlops_sdk
from tests.unit.cli.conftest import HOSTILE, QUIET, Mlops, from_json


def names(lines: str) -> list[str]:
    """Names in the rows of a table."""
    return [line.split()[1] for line in lines.splitlines()[1:]]


def test_newest_first_with_nested_runs_collapsed_and_counted(mlops: Mlops, made: Path) -> None:
    result = mlops("runs", "--store", made)
    assert result.exit_code == 0
    assert names(result.stdout) == ["broken", "odd-numbers", "fast", "slow"]
    header, *rows = result.stdout.splitlines()
    at = header.index("children")
    assert [row[at : at + 8].strip() for row in rows] == ["", "", "2", "2"]


def test_children_are_listed_with_their_parent_when_asked_for(mlops: Mlops, made: Path) -> None:
    result = mlops("runs", "-e", "digits", "--children", "--store", made)
    assert sorted(names(result.stdout)) == ["fast", "fold-0", "fold-0", "fold-1", "fold-1", "slow"]
    assert "parent" in result.stdout
    assert "run-fast" in next(line for line in result.stdout.splitlines() if "fold-1" in line)


def test_a_nested_run_whose_parent_is_in_the_trash_is_still_listed(mlops: Mlops, store: Path) -> None:
    mlops_sdk.delete_run("run-fast", tracking_uri=store)
    assert sorted(names(mlops("runs", "-e", "digits", "--store", store).stdout)) == ["fold-0", "fold-1", "slow"]


def test_only_what_differs_is_shown_metrics_first(mlops: Mlops, made: Path) -> None:
    header = mlops("runs", "-e", "digits", "--store", made).stdout.splitlines()[0].split()
    assert header[-3:] == ["acc", "loss", "rate"]
    assert not {"kind", "layers", "team", "system/cpu"} & set(header)


def test_columns_that_do_not_fit_are_named_never_cut_in_half(
    mlops: Mlops, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "75")
    result = mlops("runs", "-e", "digits", "--store", made)
    assert all(len(line) <= 75 for line in result.stdout.splitlines())
    assert "more columns would not fit: " in result.stderr
    assert "rate" in result.stderr


def test_chosen_columns_are_shown_summaries_and_attributes_too(mlops: Mlops, made: Path) -> None:
    chosen = ("-c", "metrics.loss.max", "-c", "tags.team,host")
    result = mlops("runs", "-e", "digits", *chosen, "--store", made)
    assert result.stdout.splitlines()[0].split()[-3:] == ["metrics.loss.max", "tags.team", "host"]
    rows = from_json(mlops("runs", "-e", "digits", *chosen, "--json", "--store", made))
    assert [(row["run_id"], row["metrics.loss.max"], row["tags.team"]) for row in rows] == [
        ("run-fast", 1.0, "a"),
        ("run-slow", 1.0, "a"),
    ]


def test_order_and_limit(mlops: Mlops, made: Path) -> None:
    result = mlops("runs", "-e", "digits", "--sort", "metrics.loss", "-n", "1", "--store", made)
    assert names(result.stdout) == ["fast"]
    assert "-n 0 all" in result.stderr
    everything = mlops("runs", "-e", "digits", "--sort", "metrics.loss DESC", "-n", "0", "--store", made)
    assert names(everything.stdout) == ["slow", "fast"]
    assert everything.stderr == ""


def test_json_is_exact_and_complete(mlops: Mlops, made: Path) -> None:
    rows = {row["name"]: row for row in from_json(mlops("runs", "--json", "--store", made))}
    odd = rows["odd-numbers"]
    assert odd["metrics"] == {"nan": "NaN", "up": "Infinity", "down": "-Infinity", "zero": -0.0, "tiny": 5e-324}
    assert math.copysign(1, odd["metrics"]["zero"]) == -1
    assert odd["params"] == {"big": 2**63 - 1, "flag": True, "none": None}
    assert rows["slow"]["metrics"]["loss"] == math.exp(-49 * 0.01)
    assert rows["slow"]["n_children"] == 2
    assert (rows["broken"]["status"], rows["broken"]["end_reason"]) == ("FAILED", "exception")


def test_csv_brings_numbers_back_bit_for_bit(mlops: Mlops, made: Path) -> None:
    result = mlops("runs", "--csv", "--children", "--store", made)
    rows = {row["name"]: row for row in csv.DictReader(result.stdout.splitlines(keepends=True))}
    assert float(rows["slow"]["metrics.loss"]) == math.exp(-49 * 0.01)
    assert float(rows["odd-numbers"]["metrics.down"]) == -math.inf
    assert rows["odd-numbers"]["metrics.zero"] == "-0.0"
    assert rows["odd-numbers"]["params.big"] == str(2**63 - 1)


def test_markdown_is_a_table(mlops: Mlops, made: Path) -> None:
    lines = mlops("runs", "-e", "digits", "--md", "--store", made).stdout.splitlines()
    assert lines[0].startswith("| id | name |")
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 4


def test_hostile_text_is_shown_not_obeyed_in_every_form(mlops: Mlops, tmp_path: Path) -> None:
    options = {"tracking_uri": tmp_path / ".mlops", **QUIET}
    for number in range(2):
        params = {f"p{HOSTILE}": HOSTILE + str(number), "formula": f"=1+{number}", "long": "x" * 10_000 + str(number)}
        with mlops_sdk.start_run(
            name="=" + HOSTILE,
            experiment="@" + HOSTILE,
            params=params,
            tags={"שלום": "你好" * 500 + str(number)},
            **options,
        ) as run:
            run.log_metric(f"m{HOSTILE}", float(number))
    place = ("--store", tmp_path / ".mlops")
    for arguments in ((), ("--csv",), ("--md",), ("--json",)):
        output = mlops("runs", *arguments, *place).output
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(output), arguments
        assert "red" in output
    assert max(map(len, mlops("runs", *place).stdout.splitlines())) <= 250
    (row, _) = csv.DictReader(mlops("runs", "--csv", *place).stdout.splitlines(keepends=True))
    assert (row["params.formula"], row["name"][:2], row["experiment"][:2]) == ("'=1+1", "'=", "'@")
    record = from_json(mlops("runs", "--json", *place))[0]
    assert (record["name"], record["params"][f"p{HOSTILE}"]) == ("=" + HOSTILE, HOSTILE + "1")
    assert HOSTILE not in mlops("experiments", *place).output


def test_the_trash_is_listed_by_itself(mlops: Mlops, store: Path) -> None:
    mlops_sdk.delete_run("run-slow", tracking_uri=store)
    assert names(mlops("runs", "--deleted", "--store", store).stdout) == ["slow"]
    assert "slow" not in names(mlops("runs", "--store", store).stdout)


def test_no_store_and_an_empty_store_say_how_to_start(mlops: Mlops, tmp_path: Path) -> None:
    nothing = mlops("runs")
    assert nothing.exit_code == 0
    assert "mlops init" in nothing.output
    assert list(tmp_path.iterdir()) == []  # looking makes nothing
    assert from_json(mlops("runs", "--json")) == []
    mlops("init")
    empty = mlops("runs")
    assert empty.exit_code == 0
    assert "no runs yet" in empty.output
    assert "start_run" in empty.output


@pytest.mark.parametrize("command", [["runs"], ["experiments"], ["show", "x"], ["fsck"], ["gc"], ["delete", "x"]])
def test_a_named_store_that_is_not_there_is_not_found_and_not_made(
    mlops: Mlops, tmp_path: Path, command: list[str]
) -> None:
    result = mlops(*command, "--store", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "there is no store at" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_experiment_is_not_found(mlops: Mlops, made: Path) -> None:
    result = mlops("runs", "-e", "digitz", "--store", made)
    assert result.exit_code == 1
    assert "'digitz'" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["metrics.acc >"], ["--sort", "accuracy"], ["-c", "accuracy"], ["-n", "-1"], ["--bogus"]]
)
def test_wrong_use_is_told_apart_from_not_found(mlops: Mlops, made: Path, arguments: list[str]) -> None:
    result = mlops("runs", *arguments, "--store", made)
    assert result.exit_code == 2
    assert result.stderr
    assert result.stdout == ""


def test_experiments_are_listed_with_their_runs(mlops: Mlops, made: Path) -> None:
    assert [line.split()[:2] for line in mlops("experiments", "--store", made).stdout.splitlines()[1:]] == [
        ["digits", "6"],
        ["odd", "2"],
    ]
    rows = from_json(mlops("experiments", "--json", "--store", made))
    assert [(row["name"], row["n_runs"]) for row in rows] == [("digits", 6), ("odd", 2)]


def test_a_filter_chooses_as_it_does_in_python(mlops: Mlops, made: Path) -> None:
    assert names(mlops("runs", "name LIKE 'fold%'", "--store", made).stdout) != []
    fast = mlops("runs", "name = 'fast' or name = 'slow' and params.nothing = 1", "--store", made)
    assert names(fast.stdout) == ["fast"]
    refused = mlops("runs", "statsu = 'FINISHED'", "--store", made)
    assert refused.exit_code == 2
    assert "did you mean status?\n  statsu = 'FINISHED'\n  ^" in refused.stderr
    assert mlops("runs", "name = 'nobody'", "--store", made).stdout == "no run fits\n"


def test_nested_runs_are_listed_where_their_parent_does_not_fit(mlops: Mlops, made: Path) -> None:
    found = names(mlops("runs", "name = 'fold-0'", "--store", made).stdout)
    assert set(found) == {"fold-0"}


def test_times_and_the_root_are_columns_too(mlops: Mlops, made: Path) -> None:
    rows = from_json(mlops("runs", "name = 'fast'", "-c", "start_time, root", "--json", "--store", made))
    assert [list(row) for row in rows] == [["run_id", "start_time", "root"]]
    assert rows[0]["root"] == rows[0]["run_id"]
    assert rows[0]["start_time"][:2] == "20"
