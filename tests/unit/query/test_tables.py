"""Runs as frames, reports and long tables; directions of metrics; reduction of long series."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlops_sdk
from mlops_sdk.entities import MetricSeries
from mlops_sdk.errors import FilterSyntaxError, InvalidValueError, MissingDependencyError
from mlops_sdk.query import reduce
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript
from mlops_sdk.values.directions import agreed_direction, known_direction

HOSTILE = "=1+1 & <img src=x onerror=alert(1)> | `x` _y_ \x1b[31m \\cmd{} % # $ ^ ~ \u202e"


@pytest.fixture(params=["memory", "sqlite"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    from mlops_sdk.entities import RunQuery
    from mlops_sdk.query.runs import Runs

    store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path)
    values: list[dict[str, Any]] = [
        {"C": 1, "kind": "a", "flag": True, "mixed": 1, "big": 2**70, "layers": [1, 2]},
        {"C": 0.5, "kind": "b", "flag": None, "mixed": "one", "big": 1, "layers": [3]},
        {"kind": HOSTILE},
    ]
    for number, params in enumerate(values):
        script = WriterScript(f"run-{number}").run(name=f"name {number}").params(params).tags(team="x")
        script.points("acc", [0.5 + number, math.nan if number == 1 else 0.25]).points("system/cpu", [1.0])
        if number == 0:
            script.points("loss", [3.0, 1.0, 2.0])
        script.status().send(store)
    yield Runs(store, store.find(RunQuery()))
    store.close()


def test_every_frame_has_the_same_values(runs: Any) -> None:
    dicts, pandas, polars, arrow = runs.to_dicts(), runs.to_pandas(), runs.to_polars(), runs.to_arrow()
    titles = ["run_id", *pandas.columns]
    assert polars.columns == arrow.column_names == titles
    assert "metrics.system/cpu" not in titles
    assert [row["run_id"] for row in dicts] == list(pandas.index) == polars["run_id"].to_list()
    assert str(pandas["metrics.acc"].dtype) == "float64"
    acc = [0.25, math.nan, 0.25]
    assert np.array_equal(pandas["metrics.acc"], acc, equal_nan=True)
    assert str(polars["metrics.acc"].to_list()) == str(arrow["metrics.acc"].to_pylist()) == str(acc)
    assert polars["metrics.loss"].to_list() == arrow["metrics.loss"].to_pylist() == [None, None, 2.0]
    assert polars["params.C"].to_list() == [None, 0.5, 1.0]
    assert polars["params.mixed"].to_list() == [None, "one", "1"]
    assert arrow["params.big"].to_pylist() == [None, "1", str(2**70)]
    assert polars["params.layers"].to_list() == [None, "[3]", "[1, 2]"]
    assert polars["params.flag"].to_list() == [None, None, True]
    assert polars["start_time"].to_list() == [row["start_time"] for row in dicts]
    assert "params.C" not in dicts[0]
    assert dicts[1]["params.flag"] is None
    assert dicts[2]["params.big"] == 2**70
    assert dicts[2]["params.layers"] == [1, 2]


def test_columns_are_chosen_and_ordered(runs: Any) -> None:
    chosen = runs.with_columns(["metrics.loss.min", "name", "metrics.acc.best", "metrics.system/cpu", "params.C"])
    assert chosen.to_dicts()[2] == {
        "run_id": "run-0", "metrics.loss.min": 1.0, "name": "name 0", "metrics.acc.best": 0.5, "metrics.system/cpu": 1.0,
        "params.C": 1,
    }  # fmt: skip
    assert chosen.to_dicts()[0]["params.C"] is None
    assert list(chosen.to_pandas().columns) == list(chosen.to_dicts()[0])[1:]
    assert chosen.to_polars().columns == list(chosen.to_dicts()[0])
    with pytest.raises(FilterSyntaxError, match="did you mean duration_s"):
        runs.with_columns(["duration"]).to_dicts()


def test_no_runs_are_tables_too(runs: Any) -> None:
    none = runs[:0]
    assert none.to_dicts() == []
    assert len(none.to_pandas()) == len(none.to_polars()) == none.to_arrow().num_rows == 0
    assert len(none.history("acc")) == 0
    assert "name" in none.to_markdown()


def test_reports_show_what_differs_and_obey_nothing(runs: Any) -> None:
    latex, markdown, html = runs.to_latex(), runs.to_markdown(), runs.to_html(digits=2)
    assert r"\toprule" in latex
    assert r"\textbackslash{}cmd\{\}" in latex
    assert all(len(line) - len(line.replace(" & ", "")) == 3 * 8 for line in latex.splitlines() if line.endswith(r"\\"))
    assert "team" not in markdown  # all runs have the same
    assert r"\<img" in markdown
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    for text in (latex, markdown, html):
        assert "\x1b" not in text
        assert "\u202e" not in text
    lines = markdown.splitlines()
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert len(lines) == 5


def test_history_is_every_point_in_order(runs: Any) -> None:
    frame = runs.history("acc", "loss", "nothing")
    assert list(frame.columns) == ["run_id", "key", "step", "value", "time"]
    assert list(frame["run_id"]) == ["run-2"] * 2 + ["run-1"] * 2 + ["run-0"] * 5
    assert frame["value"].tolist()[-3:] == [3.0, 1.0, 2.0]
    assert frame["step"].dtype == np.int64
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"
    polars, arrow = runs.history("acc", "loss", frame="polars"), runs.history("acc", "loss", frame="arrow")
    assert polars["key"].to_list() == arrow["key"].to_pylist() == list(frame["key"])
    assert polars["run_id"].to_list() == list(frame["run_id"])
    assert [str(value) for value in polars["value"]] == [str(value) for value in frame["value"]]
    assert polars["time"].dt.epoch("ns").to_list() == frame["time"].astype("int64").tolist()
    with pytest.raises(InvalidValueError, match="which metrics"):
        runs.history()
    with pytest.raises(InvalidValueError, match="frame is"):
        runs.history("acc", frame="dask")


def test_best_takes_the_direction_from_the_name_and_refuses_to_guess(runs: Any) -> None:
    assert runs.best("acc", by="best").run_id == "run-2"
    assert runs.best("acc", mode="min", by="first").run_id == "run-0"
    assert runs.best("loss").run_id == "run-0"
    with pytest.raises(InvalidValueError, match="not known"):
        runs.best("system/cpu")
    with pytest.raises(InvalidValueError, match="by is"):
        runs.best("acc", by="median")


def test_a_package_that_is_missing_is_named() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['pandas', 'polars', 'pyarrow']))\n"
        "from mlops_sdk.stores.memory import MemoryStore\nfrom mlops_sdk.query.runs import Runs\n"
        "runs = Runs(MemoryStore(), [])\nruns.to_dicts(); runs.to_markdown()\n"
        "for name in ('to_pandas', 'to_polars', 'to_arrow'):\n"
        "    try: getattr(runs, name)()\n"
        "    except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [
        "'mlops_sdk[pandas]'", "'mlops_sdk[polars]'", "'mlops_sdk[arrow]'",
    ]  # fmt: skip
    assert issubclass(MissingDependencyError, ImportError)


@pytest.mark.parametrize("n", [1, 4, 5, 10, 1000, 12_345])
@pytest.mark.parametrize("with_library", [True, False])
def test_a_reduced_series_keeps_its_extremes_and_says_so(n: int, with_library: bool, monkeypatch: Any) -> None:
    if not with_library:
        monkeypatch.setitem(sys.modules, "tsdownsample", None)
    rng = np.random.default_rng(n)
    value = rng.standard_normal(n)
    value[rng.random(n) < 0.2] = np.nan
    series = MetricSeries("loss", np.arange(n), value, np.arange(n), None, n)
    for max_points in (4, 10, 101):
        few = reduce.min_max(series, max_points)
        assert len(few) <= max(4, max_points)
        assert few.is_reduced == (n > max_points)
        assert (few.step[0], few.step[-1]) == (0, n - 1)
        assert np.all(np.diff(few.step) > 0)
        assert np.array_equal(few.value, value[few.step], equal_nan=True)
        if not np.all(np.isnan(value)):
            assert np.nanmin(few.value) == np.nanmin(value)
            assert np.nanmax(few.value) == np.nanmax(value)


def test_nothing_but_nan_is_reduced_to_its_ends() -> None:
    series = MetricSeries("loss", np.arange(99), np.full(99, np.nan), np.arange(99), None, 99)
    assert reduce.min_max(series, 10).step.tolist() == [0, 98]


DIRECTIONS = {
    "max": ["acc", "val_acc", "val/acc", "accuracy", "test_f1_macro", "train/AUC", "neg_log_loss", "roc_auc_ovr", "valAccuracy",
            "cls/f1", "mean_test_score", "bleu", "r2", "digit_accuracy", "epoch.accuracy", "mAP"],
    "min": ["loss", "Loss", "val_loss", "train/box_loss", "rmse", "Test_RMSE", "mae", "perplexity", "wer", "log_loss",
            "validation/mean_squared_error", "eval.error_rate", "trainLoss", "mean_fit_time"],
    None: ["lr", "x", "epoch", "grad_norm", "system/cpu", "system/loss", "temperature", "gap", "", "///", "loss_scale"],
}  # fmt: skip


@pytest.mark.parametrize("direction, key", [(said, key) for said, keys in DIRECTIONS.items() for key in keys])
def test_known_directions(direction: str | None, key: str) -> None:
    assert known_direction(key) == direction


def test_what_runs_said_goes_before_the_name() -> None:
    assert agreed_direction(["min", None], "acc") == "min"
    assert agreed_direction(["min", "max"], "acc") is None
    assert agreed_direction([], "acc") == "max"


def test_every_scorer_of_sklearn_has_a_direction() -> None:
    from sklearn.metrics import get_scorer_names

    assert [name for name in get_scorer_names() if known_direction(name) != "max"] in (
        [],
        ["positive_likelihood_ratio"],
    )


def test_no_key_makes_directions_slow() -> None:
    assert mlops_sdk.__version__
    for unit in ("a", "_", "A", "aB", "/", "val_", "é"):
        assert known_direction(unit * 50_000) is None
