"""Comparing runs of a store: the previous run, groups, ids, predictions that were logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk import InvalidValueError, RunNotFoundError

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


@pytest.fixture(params=["memory", "sqlite"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory:{tmp_path.name}" if request.param == "memory" else str(tmp_path / "store")


@pytest.fixture
def sweep(uri: str) -> str:
    """Two models, six seeds; the deeper one is better by 0.1, give or take."""
    for depth in (3, 8):
        for seed in range(6):
            params = {"model": {"depth": depth, "random_state": seed}, "lr": 0.1}
            name = f"d{depth}-s{seed}"
            with mlops_sdk.start_run(
                name=name, params=params, tags={"team": "x"}, experiment="s", tracking_uri=uri, **QUIET
            ) as run:
                run.log_metric("acc", 0.7 + (depth == 8) * 0.1 + seed * 0.01 + seed % 2 * depth * 0.001)
    return uri


def start(uri: str, **options: Any) -> mlops_sdk.Run:
    return mlops_sdk.start_run(tracking_uri=uri, **({"experiment": "s"} | QUIET | options))


# -- runs ------------------------------------------------------------------------------------------------------------------


def test_runs_ids_and_sequences_can_be_compared(sweep: str) -> None:
    one, other = mlops_sdk.get_run("d3-s0", tracking_uri=sweep), mlops_sdk.get_run("d8-s0", tracking_uri=sweep)
    for items in ((one, other), ("d3-s0", "d8-s0"), ([one, other],), (one.run_id, other)):
        found = mlops_sdk.compare(*items, tracking_uri=sweep)
        assert found.params["model.depth"].values == (3, 8)
        assert found.metrics["acc"].trend == "better"
        assert found.labels == ["d3-s0", "d8-s0"]
    runs = mlops_sdk.search_runs(experiment="s", limit=3, tracking_uri=sweep)
    assert mlops_sdk.compare(runs).labels == runs.compare().labels == ["d8-s5", "d8-s4", "d8-s3"]


def test_a_run_is_compared_with_the_previous_one_of_the_same_entry_point(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_sdk.run import start as starting

    def made(name: str, entry_point: str, **options: Any) -> mlops_sdk.Run:
        monkeypatch.setattr(starting, "_entry_point", lambda: entry_point)
        run = start(uri, name=name, params={"lr": len(name)}, **options)
        run.finish()
        return run

    first = made("first", "train.py")
    made("other", "eval.py")
    made("nested", "train.py", parent=first.run_id)
    last = made("last", "train.py")
    for run in (last, mlops_sdk.get_run("last", tracking_uri=uri)):
        found = run.compare()
        assert found.labels == ["first", "last"]
        assert found.params["lr"].values == (5, 4)
    with pytest.raises(RunNotFoundError, match=r"no earlier run of .train\.py."):
        mlops_sdk.get_run("first", tracking_uri=uri).compare()
    assert last.compare("other").labels == ["other", "last"]


def test_a_run_being_recorded_can_be_compared(uri: str) -> None:
    start(uri, name="before", params={"lr": 1}).finish()
    with start(uri, name="now", params={"lr": 2}) as run:
        run.log_metric("loss", 0.5)
        found = run.compare()
        assert (found.labels, found.params["lr"].values) == (["before", "now"], (1, 2))
        assert "loss" in found.metrics


def test_runs_of_one_name_are_told_apart(uri: str) -> None:
    for number in range(2):
        start(uri, name="same", run_id=f"the-run-{number}", params={"n": number}).finish()
    found = mlops_sdk.compare("the-run-0", "the-run-1", tracking_uri=uri)
    assert found.labels == ["same (he-run-0)", "same (he-run-1)"]


def test_runs_of_two_stores_can_be_compared(tmp_path: Path) -> None:
    views = []
    for number in range(2):
        start(str(tmp_path / f"{number}"), name="r", run_id="same-id", params={"n": number}).finish()
        views.append(mlops_sdk.get_run("same-id", tracking_uri=tmp_path / f"{number}"))
    assert mlops_sdk.compare(*views).params["n"].values == (0, 1)


@pytest.mark.parametrize(
    "items, said",
    [((), "two or more"), (("@1",), "two or more"), ((5,), "a int cannot be compared"), (("@1", [5]), "a int cannot"),
     (("@1", []), "a group without runs"), (([["@1"], ["@2"]],), "metric=")],
)  # fmt: skip
def test_what_cannot_be_compared_says_why(sweep: str, items: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        mlops_sdk.compare(*items, tracking_uri=sweep)


# -- groups ----------------------------------------------------------------------------------------------------------------


def test_group_seeds_takes_together_what_differs_in_the_seed_only(sweep: str) -> None:
    groups = mlops_sdk.search_runs(experiment="s", tracking_uri=sweep).group_seeds()
    assert groups.labels == ["model.depth=3", "model.depth=8"]
    assert [len(group) for group in groups] == [6, 6]
    assert {run.params["model.depth"] for run in groups["model.depth=8"]} == {8}
    found = groups.compare("acc")
    assert found.verdicts[0].outcome == "better"
    assert found.verdicts[0].finding is not None
    assert found.verdicts[0].finding.test == "Wilcoxon signed-rank test"
    assert list(found.params) == ["model.depth"]
    assert mlops_sdk.compare(groups, metric="acc").labels == found.labels
    assert mlops_sdk.compare(groups[0], groups[1], metric="acc").labels == found.labels
    assert mlops_sdk.compare(list(groups[0]), list(groups[1]), metric="acc").labels == found.labels


def test_the_table_of_groups(sweep: str) -> None:
    groups = mlops_sdk.search_runs(experiment="s", tracking_uri=sweep).group_by("params.model.depth")
    table = groups.table("acc")
    frame = table.to_pandas()
    assert frame.index.tolist() == ["model.depth=3", "model.depth=8"]
    assert frame["n"].tolist() == [6, 6]
    assert frame["mean"].tolist() == pytest.approx([0.7265, 0.829])
    assert (frame["low"] < frame["mean"]).all()
    assert "model.depth=8" in str(table)
    assert table[0].values == tuple(sorted(table[0].values, reverse=True))  # newest first
    assert len(table[:1]) == 1
    with pytest.raises(InvalidValueError, match="none of these runs"):
        groups.table("nope")
    axes = groups.plot("acc")
    assert [label.get_text() for label in axes.get_yticklabels()] == groups.labels


KEYS = [
    "params.model.depth",
    "model.depth",
    "tags.team",
    "experiment",
    "status",
    "name",
    "attributes.user",
    "params.`lr`",
]


@pytest.mark.parametrize("key, n_groups", [*zip(KEYS, [2, 2, 1, 1, 1, 12, 1, 1], strict=True)])
def test_keys_to_group_by(sweep: str, key: str, n_groups: int) -> None:
    groups = mlops_sdk.search_runs(tracking_uri=sweep).group_by(key)
    assert len(groups) == n_groups
    assert sum(map(len, groups)) == 12


@pytest.mark.parametrize("key", ["params.nope", "tags.nope", "nonsense", "", "datasets.train", "params.", "_store"])
def test_unknown_keys_are_refused(sweep: str, key: str) -> None:
    runs = mlops_sdk.search_runs(tracking_uri=sweep)
    with pytest.raises(InvalidValueError, match=r"group by|none of these"):
        runs.group_by(key)
    with pytest.raises(InvalidValueError, match="name what"):
        runs.group_by()


def test_groups_are_in_the_order_of_their_values_and_what_is_missing_comes_last(uri: str) -> None:
    for value in (10, "text", 9.5, True, None, float("nan"), [1, 2], 10.0):
        start(uri, params={"p": value}).finish()
    start(uri).finish()
    groups = mlops_sdk.search_runs(tracking_uri=uri).group_by("p")
    assert groups.labels == ["p=9.5", "p=10", "p=nan", "p=None", "p=True", "p=[1, 2]", "p=text", "p=-"]
    assert len(groups["p=10"]) == 2
    with pytest.raises(KeyError, match="none of"):
        groups["p=11"]


def test_empty_runs_have_no_groups(uri: str) -> None:
    runs = mlops_sdk.search_runs(tracking_uri=uri)
    assert len(runs.group_seeds()) == 0
    with pytest.raises(InvalidValueError, match="two or more"):
        runs.group_seeds().compare("acc")


def test_groups_by_dataset(uri: str) -> None:
    from mlops_sdk.journal.records import Kind

    for digest in ("a" * 64, "b" * 64, "b" * 64):
        with start(uri) as run:
            run._emit(Kind.DATASET, {"name": "digits", "context": "train", "digest": digest})
    groups = mlops_sdk.search_runs(tracking_uri=uri).group_by("datasets.train")
    assert [len(group) for group in groups] == [1, 2]


# -- predictions -----------------------------------------------------------------------------------------------------------


def log_predictions(run: mlops_sdk.Run, wrong: Callable[[int], bool], file: str) -> None:
    rows = [{"id": f"x{n}", "y_true": n % 3, "y_pred": (n + wrong(n)) % 3} for n in range(90)]
    run.log_table(rows, file)
    run.log_metric("accuracy", sum(row["y_true"] == row["y_pred"] for row in rows) / 90)


@pytest.mark.parametrize("file", ["predictions.csv", "predictions.json", "predictions.parquet"])
def test_logged_predictions_are_judged_by_mcnemar(uri: str, file: str) -> None:
    for name, wrong in (("weak", lambda n: n < 40), ("strong", lambda n: n % 10 == 0)):
        with start(uri, name=name) as run:
            log_predictions(run, wrong, file)
    found = mlops_sdk.compare("weak", "strong", metric="accuracy", tracking_uri=uri)
    (verdict,) = found.verdicts
    assert (verdict.outcome, verdict.n_reference) == ("better", 90)
    assert verdict.finding is not None
    assert verdict.finding.difference == pytest.approx(31 / 90)
    assert found.metrics["accuracy"].trend == "better"
    assert mlops_sdk.compare("weak", "strong", test="mcnemar", tracking_uri=uri).verdicts[0].outcome == "better"


def test_predictions_that_cannot_be_read_are_a_reason(uri: str) -> None:
    for name in ("a", "b"):
        with start(uri, name=name) as run:
            run.log_text("no table", "predictions.csv")
            run.log_metric("acc", 0.5)
    (verdict,) = mlops_sdk.compare("a", "b", metric="acc", tracking_uri=uri).verdicts
    assert "needs the columns y_true and y_pred" in verdict.reason
