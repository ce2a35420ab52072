"""``mlops show`` and ``artifacts``: one run on one screen, and its files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk.cli.sparkline import sparkline
from tests.unit.cli.conftest import HOSTILE, QUIET, Mlops, from_json


def test_everything_a_person_wants_is_on_the_screen(mlops: Mlops, made: Path) -> None:
    result = mlops("show", "slow", "--store", made)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["slow", "FINISHED"] in rows
    for row in (["id", "run-slow"], ["experiment", "digits"], ["rate", "0.01"], ["layers", "[8,", "8]"], ["team", "a"]):
        assert row in rows
    (loss,) = (row for row in rows if row[:1] == ["loss"])
    assert loss[1:6] == ["0.612626", "0.612626", "1", "50", "0..49"]
    assert (loss[6][0], loss[6][-1]) == ("█", "▁")
    (report,) = (row for row in rows if row[:1] == ["notes/report.txt"])
    assert report[1:4] == ["6", "B", "1"]
    assert "1 system metric" in result.stdout


def test_a_failure_is_told_with_the_end_of_its_traceback(mlops: Mlops, made: Path) -> None:
    output = mlops("show", "broken", "--store", made).stdout
    assert output.splitlines()[0].startswith("broken  FAILED (exception: ")
    assert "ZeroDivisionError: at the end" in output
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(output)


@pytest.mark.parametrize("run", ["@1", "broken"])
def test_the_latest_run_has_a_short_name(mlops: Mlops, made: Path, run: str) -> None:
    assert mlops("show", run, "--store", made).stdout.startswith("broken")


def test_ids_fit_by_their_beginning_and_end(mlops: Mlops, made: Path) -> None:
    assert mlops("show", "run-s", "--store", made).stdout.startswith("slow")
    assert mlops("show", "-fast", "--store", made).exit_code == 2  # an option, as everywhere
    assert mlops("show", "--store", made, "--", "-fast").stdout.startswith("fast")


@pytest.mark.parametrize("run, said", [("nope", "no run 'nope'"), ("@99", "no run '@99'"), ("fold-0", "fits 2 runs")])
def test_not_found_and_ambiguous_are_one_line(mlops: Mlops, made: Path, run: str, said: str) -> None:
    result = mlops("show", run, "--store", made)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


def test_candidates_are_listed_with_their_names_escaped(mlops: Mlops, tmp_path: Path) -> None:
    for run_id in ("same-start-1", "same-start-2"):
        mlops_sdk.start_run(name=HOSTILE, run_id=run_id, tracking_uri=tmp_path, **QUIET).finish()
    result = mlops("show", "same-start", "--store", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "same-start-2" in result.stderr
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(result.stderr)


def test_json_holds_every_part(mlops: Mlops, made: Path) -> None:
    record = from_json(mlops("show", "run-slow", "--json", "--store", made))
    assert record["metrics"]["loss"]["count"] == 50
    assert record["metrics"]["system/cpu"]["last"] == 1.0
    assert record["config"] == {"rate": 0.01, "layers": [8, 8], "kind": "mlp"}
    assert [artifact["path"] for artifact in record["artifacts"]] == ["notes/other.txt", "notes/report.txt"]
    assert len(record["children"]) == 2
    assert [writer["end_status"] for writer in record["writers"]] == ["FINISHED"]
    odd = from_json(mlops("show", "odd-numbers", "--json", "--store", made))
    assert odd["metrics"]["nan"]["last"] == "NaN"
    assert odd["metrics"]["nan"]["nan_count"] == 1
    assert odd["metrics"]["down"]["min"] == "-Infinity"
    assert "Traceback" in from_json(mlops("show", "broken", "--json", "--store", made))["environment"]["traceback"]


def test_warnings_dropped_records_and_other_writers_are_shown(mlops: Mlops, tmp_path: Path) -> None:
    with mlops_sdk.start_run(name="troubled", tracking_uri=tmp_path, **QUIET) as run:
        run.log_metric("loss", "no number")
        run.flush()
        other = mlops_sdk.attach_run(run.run_id, tracking_uri=tmp_path)
        other.finish("FAILED")
    result = mlops("show", "troubled", "--store", tmp_path)
    assert "1 x InvalidValueError" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[1] for row in rows if "attached" in row or "owner" in row] == ["owner", "attached"]
    assert "FAILED" in next(row for row in rows if "attached" in row)


def test_damage_to_one_metric_leaves_the_rest_readable(mlops: Mlops, store: Path) -> None:
    with closing(sqlite3.connect(store / "store.db")) as connection, connection:
        run = "(SELECT id FROM runs WHERE run_id = 'run-slow')"
        for table in ("tails", "chunks"):
            connection.execute(f"UPDATE {table} SET points = x'00112233' WHERE run = {run}")
    connection.close()
    result = mlops("show", "run-slow", "--store", store)
    assert result.exit_code == 1
    assert "damaged" in result.stderr
    assert "0.612626" in result.stdout
    assert "notes/report.txt" in result.stdout
    assert mlops("show", "run-fast", "--store", store).exit_code == 0


def test_curves_have_gaps_where_there_is_nothing_and_never_overflow() -> None:
    import numpy as np

    assert sparkline(np.array([0.0, 1.0, 2.0, 7.0])) == "▁▂▃█"
    assert sparkline(np.array([1.0, np.nan, np.inf, 2.0])) == "▁  █"
    assert sparkline(np.array([-1.7e308, 1.7e308])) == "▁█"
    assert sparkline(np.full(1000, 3.0), width=5) == "▁▁▁▁▁"
    assert sparkline(np.array([np.nan, np.nan])) == sparkline(np.array([1.0])) == ""


# -- artifacts -----------------------------------------------------------------------------------------------------------


def test_files_are_listed(mlops: Mlops, made: Path) -> None:
    rows = [line.split() for line in mlops("artifacts", "ls", "run-slow", "--store", made).stdout.splitlines()]
    assert [row[0] for row in rows[1:]] == ["notes/other.txt", "notes/report.txt"]
    listed = from_json(mlops("artifacts", "ls", "run-slow", "--json", "--store", made))
    assert [(each["path"], each["size_bytes"], each["version"]) for each in listed] == [
        ("notes/other.txt", 5, 1),
        ("notes/report.txt", 6, 1),
    ]
    assert "no artifacts" in mlops("artifacts", "ls", "broken", "--store", made).stdout


def test_a_file_or_a_directory_of_them_is_fetched(mlops: Mlops, made: Path, tmp_path: Path) -> None:
    result = mlops("artifacts", "get", "run-slow", "notes/report.txt", "-o", tmp_path / "out", "--store", made)
    assert Path(result.stdout.strip()).read_text() == "report"
    assert mlops("artifacts", "get", "run-slow", "notes", "-o", tmp_path / "all", "--store", made).exit_code == 0
    assert {path.name for path in (tmp_path / "all" / "notes").iterdir()} == {"other.txt", "report.txt"}


def test_files_that_are_there_are_replaced_only_when_told_so(mlops: Mlops, made: Path, tmp_path: Path) -> None:
    mine = tmp_path / "notes" / "report.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    command = ("artifacts", "get", "run-slow", "notes", "-o", tmp_path, "--store", made)
    refused = mlops(*command)
    assert (refused.exit_code, mine.read_text()) == (2, "mine")
    assert not (tmp_path / "notes" / "other.txt").exists()
    assert mlops(*command, "--overwrite").exit_code == 0
    assert mine.read_text() == "report"


def test_names_never_lead_out_of_the_directory(mlops: Mlops, tmp_path: Path) -> None:
    with mlops_sdk.start_run(name="evil", tracking_uri=tmp_path / "s", **QUIET) as run:
        (tmp_path / "file").write_text("evil")
        run.log_artifact(tmp_path / "file", "../../escaped")
    names = [ref.path for ref in mlops_sdk.get_run("evil", tracking_uri=tmp_path / "s").artifacts]
    output = tmp_path / "a" / "b"
    for name in names:
        mlops("artifacts", "get", "evil", name, "-o", output, "--store", tmp_path / "s")
    outside = {path for path in tmp_path.rglob("*") if path.is_file() and (tmp_path / "s") not in path.parents}
    assert {path for path in outside if output not in path.parents} == {tmp_path / "file"}


def test_a_file_that_is_not_there_and_damaged_bytes_are_told(mlops: Mlops, store: Path, tmp_path: Path) -> None:
    missing = mlops("artifacts", "get", "run-slow", "nope.txt", "--store", store)
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    record = from_json(mlops("artifacts", "ls", "run-slow", "--json", "--store", store))[1]
    blob = store / "blobs" / "sha256" / record["sha256"][:2] / record["sha256"]
    blob.chmod(0o600)
    blob.write_bytes(b"other!")
    damaged = mlops("artifacts", "get", "run-slow", "notes/report.txt", "-o", tmp_path / "out", "--store", store)
    assert damaged.exit_code == 1
    assert "damaged" in damaged.stderr
    assert not (tmp_path / "out" / "notes" / "report.txt").exists()


def test_json_of_one_run_is_one_object(mlops: Mlops, made: Path) -> None:
    assert isinstance(json.loads(mlops("show", "@2", "--json", "--store", made).stdout), dict)
