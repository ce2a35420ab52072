"""Runs in a notebook: everything is there, and nothing stored is more than text (A19)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.entities import ArtifactRef, MetricSummary, RunParts
from mlops_sdk.markup.visible import visible
from mlops_sdk.query.runs import Runs
from mlops_sdk.query.view import RunView
from tests.unit.markup.safety import HOSTILE, Checked

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    uri = tmp_path_factory.mktemp("shown") / ".mlops"
    for rate in (0.5, 0.1):
        params = {"rate": rate, "kind": "mlp", "same": 1}
        with mlops_sdk.start_run(name=f"rate-{rate}", params=params, tracking_uri=uri, **QUIET) as run:
            for step in range(30):
                run.log_metrics({"loss": math.exp(-step * rate), "system/cpu_percent": 50.0}, step=step)
            run.log_text("x", "notes/report.txt")
            run.set_description("first line\nsecond line")
    return mlops_sdk.search_runs(tracking_uri=uri)


def test_a_card_has_everything(runs: Runs) -> None:
    html = runs[0]._repr_html_()
    text = Checked(html).text
    for expected in (
        "rate-0.1",
        "FINISHED",
        runs[0].run_id,
        "mlp",
        "loss",
        "0.0550232",
        "notes/report.txt",
        "second line",
    ):
        assert expected in text
    assert html.count("<svg") == 1
    assert "1 system metrics" in text


def test_printed_it_is_a_table_of_what_differs(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    title, head, *rows = str(runs).splitlines()
    assert title == "2 runs in default"
    assert head.split() == ["run", "name", "status", "loss", "rate", "duration"]
    assert [row.split()[:5] for row in rows] == [
        [runs[0].short_id, "rate-0.1", "FINISHED", "0.0550232", "0.1"],
        [runs[1].short_id, "rate-0.5", "FINISHED", f"{math.exp(-14.5):.6g}", "0.5"],
    ]
    assert str(runs[:0]) == "no runs"


@pytest.mark.parametrize("hostile", [each for each in HOSTILE if len(each.encode()) < 1000])
def test_printed_text_has_nothing_hidden(tmp_path: Path, hostile: str) -> None:
    for value in (hostile, 1):
        with mlops_sdk.start_run(name=hostile, tracking_uri=tmp_path, **QUIET) as run:
            run.log_param("text", value)
    lines = str(mlops_sdk.search_runs(tracking_uri=tmp_path)).split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_a_list_has_what_differs(runs: Runs) -> None:
    html = runs._repr_html_()
    text = Checked(html).text
    assert html.count("<svg") == 2
    for expected in ("2 runs", "rate-0.5", "rate-0.1", "0.0550232", "rate"):
        assert expected in text
    assert "same" not in text
    assert "cpu_percent" not in text


def test_a_long_list_says_how_long(runs: Runs) -> None:
    many = Runs(runs._store, [runs._heads[0]] * 50)
    text = Checked(many._repr_html_()).text
    assert "50 runs" in text
    assert "… and 30 more runs" in text
    assert Checked(Runs(runs._store, [])._repr_html_()).text == "no runs"


def test_no_script_no_style_sheet_and_no_colour_of_text(runs: Runs) -> None:
    html = runs._repr_html_() + runs[0]._repr_html_()
    assert "<script" not in html
    assert "<style" not in html
    assert "background:#fff" not in html.replace(" ", "")
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")  # nothing is fetched


def _hostile_view(real: RunView, hostile: str) -> RunView:
    """The run as a store made by somebody else would have it: the text in every field there is."""
    named: dict[str, Any] = dict.fromkeys(
        ("run_id", "name", "experiment", "description", "parent", "user", "host", "entry_point", "end_reason", "git_commit",
         "git_branch"), hostile)  # fmt: skip
    view = RunView(real._store, replace(real._head(), **named))
    summary = MetricSummary(hostile, 1, 1, 1.0, 0, 0, 1.0, 0, 0, 1.0, 0, 0, 1.0, 0, 0, 1.0)
    parts = RunParts(
        params={hostile: hostile, f"{hostile}2": [hostile], f"{hostile}3": {hostile: hostile}},
        tags={hostile: hostile},
        metrics={hostile: summary},
        artifacts=[ArtifactRef(hostile, hostile, 1, hostile)],
        datasets=[{"name": hostile, "context": hostile, "digest": hostile}],
        environment={
            "argv": [hostile], "cwd": hostile, "python": {"python": hostile, "implementation": hostile},
            "traceback": f"{hostile}\n{hostile}", "system": {hostile: hostile}, "git": {"commit": hostile},
        },
        children=[hostile],
        warnings=[{"cause": hostile, "count": hostile, "message": hostile}],
    )  # fmt: skip
    view._parts = dict.fromkeys(
        ("params", "tags", "metrics", "artifacts", "datasets", "environment", "children", "warnings"), parts
    )  # type: ignore[arg-type]
    return view


@pytest.mark.parametrize("hostile", HOSTILE)
def test_every_text_field_is_only_text(runs: Runs, hostile: str) -> None:
    checked = Checked(_hostile_view(runs[0], hostile)._repr_html_())
    if len(hostile) < 40 and hostile.isprintable():
        assert checked.text.count(visible(hostile)) >= 20


@pytest.mark.parametrize("hostile", [each for each in HOSTILE if len(each.encode()) < 1000])
def test_the_same_through_the_api_and_the_list(tmp_path: Path, hostile: str) -> None:
    options: dict[str, Any] = {"name": hostile, "experiment": hostile, "tracking_uri": tmp_path, **QUIET}
    for value in (hostile, "other"):
        with mlops_sdk.start_run(
            params={hostile: value}, tags={hostile: hostile}, description=hostile, **options
        ) as run:
            run.log_metrics({hostile: 1.0}, step=0)
            run.log_metrics({hostile: 2.0}, step=1)
            Checked(run._repr_html_())
    found = mlops_sdk.search_runs(tracking_uri=tmp_path)
    Checked(found[0]._repr_html_())
    assert visible(hostile)[:30] in Checked(found._repr_html_()).text


def test_a_damaged_part_is_told_and_the_others_are_shown(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    view = RunView(runs._store, runs[0]._head())
    _ = view.params
    real = view._part

    def broken(part: Any) -> RunParts:
        if part == "artifacts":
            raise mlops_sdk.StoreCorruptError("page <7> is damaged")
        return real(part)

    monkeypatch.setattr(view, "_part", broken)
    text = Checked(view._repr_html_()).text
    assert "cannot be read: page <7> is damaged" in text
    assert "rate" in text
