"""Finding runs again: ids, names, orders, tables, the trash."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk import AmbiguousRunError, FilterSyntaxError, InvalidValueError, RunNotFoundError
from mlops_sdk.stores.sqlite.store import SQLiteStore

QUIET = {"capture": False, "system_metrics": False}
ORDERS = ["start_time", "end_time", "duration_s", "git.commit", "git.branch", "git.dirty", "name", "status", "run_id",
          "user", "host", "entry_point", "parent", "experiment", "description", "params.lr", "tags.team", "metrics.acc",
          "metrics.acc.max", "metrics.acc.last_step", "metrics.`odd.max`", "attributes.name"]  # fmt: skip


@pytest.fixture(params=["memory", "sqlite"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    uri = f"memory:{tmp_path.name}" if request.param == "memory" else str(tmp_path / "store")
    for number, (name, acc) in enumerate([("one", 0.5), ("two", 0.9), ("three", 0.7)]):
        params = {"lr": 10.0**-number, "model": {"depth": number}}
        with mlops_sdk.start_run(tracking_uri=uri, name=name, params=params, tags={"team": "x"}, **QUIET) as run:
            run.log_metric("acc", acc, step=0)
            run.log_metric("acc", acc - 0.1, step=1)
            run.define_metric("acc", mode="max")
            run.log_metric("odd.max", acc, step=0)
    return uri


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("direction", ["", " ASC", " desc"])
def test_every_order_of_the_contract_is_taken(uri: str, order: str, direction: str) -> None:
    assert len(mlops_sdk.search_runs(order_by=order + direction, tracking_uri=uri)) == 3


def test_orders_limits_and_offsets(uri: str) -> None:
    def names(**options: object) -> list[str]:
        return [run.name for run in mlops_sdk.search_runs(tracking_uri=uri, **options)]  # type: ignore[arg-type]

    assert names() == ["three", "two", "one"]
    assert names(order_by="metrics.acc.max DESC") == ["two", "three", "one"]
    assert names(order_by=["metrics.acc", "name"], limit=1) == ["one"]
    assert names(order_by="params.model.depth DESC", limit=1, offset=1) == ["two"]
    assert names(experiment="nothing") == []


@pytest.mark.parametrize("order", ["nonsense", "metric.acc", "metrics.`acc`.median"])
def test_an_order_that_cannot_be_read_says_why(uri: str, order: str) -> None:
    with pytest.raises(FilterSyntaxError, match=r"use|did you mean metrics\.acc"):
        mlops_sdk.search_runs(order_by=order, tracking_uri=uri)


def test_a_run_is_found_by_id_prefix_suffix_name_and_place(uri: str) -> None:
    newest = mlops_sdk.search_runs(tracking_uri=uri)[0]
    for text in (newest.run_id, newest.short_id, newest.name, "@1"):
        assert mlops_sdk.get_run(text, tracking_uri=uri).run_id == newest.run_id
    assert mlops_sdk.get_run("@3", tracking_uri=uri).name == "one"
    with pytest.raises(RunNotFoundError, match="mlops runs"):
        mlops_sdk.get_run("nothing-like-it", tracking_uri=uri)
    with pytest.raises(AmbiguousRunError) as caught:
        mlops_sdk.get_run(newest.run_id[:4], tracking_uri=uri)
    assert len(caught.value.candidates) == 3


def test_tables(uri: str) -> None:
    runs = mlops_sdk.search_runs(tracking_uri=uri, order_by="metrics.acc.max DESC")
    frame = runs.to_pandas()
    assert frame.index.tolist() == [run.run_id for run in runs]
    assert frame["params.lr"].tolist() == [0.1, 0.01, 1.0]
    assert frame["params.model.depth"].tolist() == [1, 2, 0]
    assert frame["metrics.acc"].tolist() == pytest.approx([0.8, 0.6, 0.4])
    assert set(frame["tags.team"]) == {"x"}
    chosen = mlops_sdk.search_runs(tracking_uri=uri, columns=["metrics.acc", "name"])
    assert chosen.to_pandas().columns.tolist() == ["metrics.acc", "name"]
    assert runs[0].config == {"lr": 0.1, "model": {"depth": 1}}


def test_the_best_run_knows_its_direction(uri: str) -> None:
    runs = mlops_sdk.search_runs(tracking_uri=uri)
    assert runs.best("acc").name == "two"
    assert runs.best("acc", mode="min", by="min").name == "one"
    with pytest.raises(InvalidValueError, match="define_metric"):
        runs.best("odd.max")
    with pytest.raises(InvalidValueError, match="none of these 3 runs"):
        runs.best("missing", mode="max")


def test_the_trash_gives_back(uri: str) -> None:
    mlops_sdk.delete_run("two", tracking_uri=uri)
    assert [run.name for run in mlops_sdk.search_runs(tracking_uri=uri)] == ["three", "one"]
    with pytest.raises(RunNotFoundError):
        mlops_sdk.get_run("two", tracking_uri=uri)
    mlops_sdk.restore_run("two", tracking_uri=uri)
    assert mlops_sdk.get_run("two", tracking_uri=uri).summary("acc").max == 0.9


def test_experiments_come_and_go(uri: str) -> None:
    (experiment,) = mlops_sdk.list_experiments(tracking_uri=uri)
    assert (experiment.name, experiment.n_runs) == ("default", 3)
    mlops_sdk.delete_experiment("default", tracking_uri=uri)
    assert mlops_sdk.list_experiments(tracking_uri=uri) == []
    assert len(mlops_sdk.search_runs(tracking_uri=uri)) == 0
    mlops_sdk.restore_experiment("default", tracking_uri=uri)
    assert len(mlops_sdk.search_runs(tracking_uri=uri)) == 3


def test_a_finished_run_is_changed_from_outside(uri: str) -> None:
    run = mlops_sdk.get_run("one", tracking_uri=uri)
    before = (run.status, run.start_time, run.end_time)
    run.set_tag("note", "x")
    run.delete_tag("team")
    run.rename("uno")
    run.set_description("the first")
    run.move("elsewhere")
    again = mlops_sdk.get_run("uno", tracking_uri=uri)
    assert (again.status, again.start_time, again.end_time) == before
    assert (again.tags, again.description, again.experiment) == ({"note": "x"}, "the first", "elsewhere")


def test_long_series_are_whole_unless_fewer_are_asked_for(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        for step in range(10_000):
            run.log_metric("x", float(step == 7_777), step=step)
    view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path)
    assert len(view.metric("x")) == 10_000
    few = view.metric("x", max_points=100)
    assert few.is_reduced
    assert few.n_total == 10_000
    assert len(few) <= 100
    assert few.value.max() == 1.0
    assert few.step[[0, -1]].tolist() == [0, 9_999]


def test_a_whole_id_is_not_looked_for_among_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, capture=False, system_metrics=False) as run:
        pass
    asked = []
    find = SQLiteStore.find
    monkeypatch.setattr(SQLiteStore, "find", lambda store, query: asked.append(query) or find(store, query))
    assert mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path).run_id == run.run_id
    assert [query.id_like for query in asked] == [None]
    with pytest.raises(RunNotFoundError):
        mlops_sdk.get_run("0" * 36, tracking_uri=tmp_path)
    assert mlops_sdk.get_run(run.run_id[:-1], tracking_uri=tmp_path).run_id == run.run_id
