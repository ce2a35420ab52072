"""Reading a SQLite store: how many statements, which indexes, orders against a slow reference, and plain SQL."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sdk.entities import PARTS, OrderBy, Part, RunQuery
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.sqlite.find import find_runs
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import Clock, WriterScript


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "store")
    yield store
    store.close()


def fill(store: SQLiteStore, n: int) -> list[str]:
    """Runs with a param, a tag, two metrics and a child's parent each, in few batches of few slots."""
    clock = Clock()
    for number in range(n):
        script = WriterScript(f"run {number}", clock=clock).run(parent="run 0").params({"lr": number / 10}).tags(a="b")
        script.points("loss", [float(n - number)]).points("acc", [float(number % 3)])
        script.event(Kind.ENVIRONMENT, {"packages": {"digest": "d"}}).status().send(store)
    return [f"run {number}" for number in range(n)]


class Traced:
    """The statements that a store's reading connections run."""

    def __init__(self, store: SQLiteStore) -> None:
        self.statements: list[str] = []
        with store.database.reading() as connection:
            self._connection = connection
            connection.set_trace_callback(self.statements.append)

    def __enter__(self) -> list[str]:
        self.statements.clear()
        return self.statements

    def __exit__(self, *_: object) -> None:
        self._connection.set_trace_callback(None)


# -- statements and indexes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_load_takes_the_same_statements_for_one_run_and_for_many(store: SQLiteStore, part: Part) -> None:
    run_ids = fill(store, 12)
    counts = []
    for asked in (run_ids[:1], run_ids):
        with Traced(store) as statements:
            assert len(store.load(asked, [part])) == len(asked)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 6


def test_load_of_every_part_takes_a_dozen_statements(store: SQLiteStore) -> None:
    run_ids = fill(store, 5)
    with Traced(store) as statements:
        store.load(run_ids, PARTS)
    assert len(statements) <= 17


def plans(store: SQLiteStore, query: RunQuery) -> list[str]:
    """The query plans of the statements that answer a query."""
    with Traced(store) as statements:
        store.find(query)
    with store.database.reading() as connection:
        return [
            "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
            for statement in statements
            if statement.lstrip().startswith("SELECT r.run_id")
        ]


@pytest.mark.parametrize("summary", ["last", "min", "max", "mean"])
@pytest.mark.parametrize("descending", [False, True])
def test_the_best_runs_by_a_metric_come_from_its_index(store: SQLiteStore, summary: str, descending: bool) -> None:
    fill(store, 20)
    (plan,) = plans(store, RunQuery(order_by=(OrderBy("metrics", "loss", summary, descending),), limit=5))
    first, *rest = plan.split("\n")
    assert re.fullmatch(
        rf"SEARCH m0 USING (COVERING )?INDEX metrics_by_{summary} \(metric=\? AND {summary}>\?\)", first
    )
    assert not [line for line in rest if line.startswith("SCAN")]
    assert "USE TEMP B-TREE FOR ORDER BY" not in rest  # only to order equal values


def test_no_order_and_no_filter_reads_points(store: SQLiteStore) -> None:
    fill(store, 5)
    terms = [OrderBy("metrics", "loss", "count"), OrderBy("params", "lr"), OrderBy("tags", "a", descending=True)]
    for plan in plans(store, RunQuery(order_by=tuple(terms), experiment="tests")):
        assert "tails" not in plan
        assert "chunks" not in plan


@pytest.mark.parametrize("query", [RunQuery(limit=3), RunQuery(experiment="tests", limit=3)])
def test_newest_first_needs_no_sorting(store: SQLiteStore, query: RunQuery) -> None:
    fill(store, 5)
    (plan,) = plans(store, query)
    assert "TEMP B-TREE" not in plan


# -- orders ------------------------------------------------------------------------------------------------------------

LOGGED = st.lists(
    st.tuples(
        st.none() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0]),
        st.none() | st.sampled_from([True, 1, 1.0, 2, "1", "x", math.nan, [1], 10**30, None]),
        st.none() | st.sampled_from(["", "a", "B"]),
        st.sampled_from(["e1", "e2"]),
        st.booleans(),
    ),
    max_size=8,
)
TERMS = st.lists(
    st.builds(OrderBy, st.just("metrics"), st.just("m"), st.sampled_from(["last", "mean", "count"]), st.booleans())
    | st.builds(OrderBy, st.sampled_from(["params", "tags"]), st.just("k"), st.just("last"), st.booleans())
    | st.builds(
        OrderBy, st.just("attribute"), st.sampled_from(["name", "end_ns", "experiment"]), st.just(""), st.booleans()
    ),
    max_size=3,
).map(tuple)


@settings(max_examples=20)
@given(LOGGED, st.lists(st.tuples(TERMS, st.none() | st.integers(0, 4), st.integers(0, 3), st.none() | st.just("e1"))))
def test_orders_are_those_of_the_model(
    tmp_path_factory: pytest.TempPathFactory, logged: list[Any], queries: list[Any]
) -> None:
    store, model, clock = SQLiteStore(tmp_path_factory.mktemp("store")), MemoryStore(), Clock()
    for number, (value, param, tag, experiment, ended) in enumerate(logged):
        script = WriterScript(f"run {number}", clock=clock).run(experiment=experiment, name=f"n{number % 2}")
        script.points("m", [] if value is None else [value])
        script.params({} if param is None else {"k": param}).tags(**({} if tag is None else {"k": tag}))
        if ended:
            script.status()
        batch = script.batch()
        store.append(batch)
        model.append(batch)
    for terms, limit, offset, experiment in queries:
        query = RunQuery(order_by=terms, limit=limit, offset=offset, experiment=experiment)
        found, expected = ([head.run_id for head in each.find(query)] for each in (store, model))
        assert found == expected, query
    store.close()
    model.close()


@pytest.mark.parametrize(
    "term", [OrderBy("attribute", "colour"), OrderBy("metrics", "loss", "median"), OrderBy("attribute", "run_id; DROP")]
)
def test_what_cannot_be_ordered_by_is_named(store: SQLiteStore, term: OrderBy) -> None:
    fill(store, 1)
    with pytest.raises(InvalidValueError, match="there are"):
        store.find(RunQuery(order_by=(term,)))


def test_statements_hold_nothing_but_placeholders(store: SQLiteStore) -> None:
    """Keys, names and ids are values, whatever is in them."""
    evil = "x'; DROP TABLE runs; --"
    terms = (OrderBy("metrics", evil), OrderBy("params", evil), OrderBy("tags", evil))
    queries = [
        RunQuery(experiment=evil, run_ids=(evil,), id_like=evil, parent=evil, order_by=terms),
        RunQuery(order_by=terms, limit=3),
    ]

    class Recorded:
        def __init__(self) -> None:
            self.sql: list[str] = []

        def execute(self, sql: str, values: dict[str, Any]) -> list[Any]:
            assert set(values) == set(re.findall(r":(\w+)", sql))
            self.sql.append(sql)
            return []

    recorded = Recorded()
    for query in queries:
        find_runs(recorded, query)  # type: ignore[arg-type]
    assert len(recorded.sql) == 3
    assert not any("DROP" in sql or "'" in sql.replace("'float'", "").replace("'none'", "") for sql in recorded.sql)


def test_a_short_text_is_no_prefix(store: SQLiteStore) -> None:
    for run_id in ("abcdef", "abcxyz"):
        WriterScript(run_id).run(name="abc" if run_id == "abcxyz" else "").send(store)
    assert [head.run_id for head in store.find(RunQuery(id_like="abc"))] == ["abcxyz"]
    assert [head.run_id for head in store.find(RunQuery(id_like="abcd"))] == ["abcdef"]
    WriterScript("abc").run().send(store)
    assert sorted(head.run_id for head in store.find(RunQuery(id_like="abc"))) == ["abc", "abcxyz"]


# -- plain SQL ---------------------------------------------------------------------------------------------------------


def test_views_read_well(store: SQLiteStore) -> None:
    script = WriterScript("run-1", clock=Clock(1_767_225_600_123_456_789, tick_ns=1_000_000_000))
    script.run(name="baseline", experiment="digits").params({"C": 1.0, "solver": "lbfgs", "classes": [1, 2]}).tags(
        a="b"
    )
    script.points("loss", [0.5, 0.25])
    script.event(Kind.ARTIFACT, {"path": "a.txt", "sha256": "ab" * 32, "size_bytes": 3}).status().send(store)
    connection = sqlite3.connect(store.directory / "store.db")
    connection.row_factory = sqlite3.Row
    (run,) = connection.execute("SELECT * FROM v_runs")
    assert (run["run_id"], run["name"], run["experiment"], run["status"]) == ("run-1", "baseline", "digits", "FINISHED")
    assert run["start_time"] == "2026-01-01T00:00:01.123Z"
    assert run["duration_s"] == pytest.approx(7.0)
    params = {row["param"]: (row["value"], row["number"]) for row in connection.execute("SELECT * FROM v_params")}
    assert params == {"C": ("1.0", 1.0), "solver": ("lbfgs", None), "classes": ("[1, 2]", None)}
    (metric,) = connection.execute("SELECT * FROM v_metrics WHERE metric = 'loss' AND last < 0.3")
    assert (metric["last"], metric["last_step"], metric["max"], metric["count"]) == (0.25, 1, 0.5, 2)
    assert metric["last_time"].startswith("2026-01-01T00:00:0")
    (tag,) = connection.execute("SELECT * FROM v_tags")
    assert (tag["tag"], tag["value"]) == ("a", "b")
    (artifact,) = connection.execute("SELECT * FROM v_artifacts")
    assert artifact["file"] == f"blobs/sha256/ab/{'ab' * 32}"
    connection.close()
