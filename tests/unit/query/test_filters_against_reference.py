"""Random stores and random filters: the same runs in the same order as a slow reading in plain Python finds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_sdk.entities import RunQuery
from mlops_sdk.journal.records import Kind
from mlops_sdk.query.filtering.grammar import parse
from mlops_sdk.query.filtering.order import parse_order
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.protocol import Store
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript
from tests.unit.query.reference import Logged, key_text, order, render, truth

START_MS = 1_750_000_000_000
NUMBERS = st.sampled_from(
    [0, 1, 2, -1, 0.0, -0.0, 0.5, 1.0, 1e300, 2**53, 2**53 + 1, 2**63 - 1, float("inf"), float("-inf"), float("nan")]
)
TEXTS = st.sampled_from(
    ["", "a", "A", "ab", "a_b", "a%b", "10", "9", "NaN", "it's", "é", "É", "ß", "ss", "x*y", "[a]", "a\nb", "`"]
)
PARAMS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none(), st.just([1, "é"]), st.just([]))
PARAM_KEYS = st.sampled_from(["lr", "layers[0].units", "odd key", "a.max"])
TAG_KEYS = st.sampled_from(["team", "it's `quoted`"])
METRIC_KEYS = st.sampled_from(["acc", "loss", "val/f1-x", "odd.max"])
PARTS = st.sampled_from(
    [(), ("last",), ("min",), ("max",), ("mean",), ("first",), ("count",), ("last_step",), ("best",)]
)
POINTS = st.lists(st.sampled_from([0.5, -0.0, 0.0, 1.0, 3.0, float("nan"), float("inf"), -2.5]), min_size=1, max_size=4)
IDS = ["r0", "r1", "r2", "r3", "r4", "r5"]

RUNS = st.lists(
    st.builds(
        Logged,
        run_id=st.just(""),
        name=TEXTS.filter(bool),
        start_ms=st.integers(START_MS, START_MS + 2),
        parent=st.none() | st.sampled_from([*IDS, "gone"]),
        params=st.dictionaries(PARAM_KEYS, PARAMS),
        tags=st.dictionaries(TAG_KEYS, TEXTS),
        metrics=st.dictionaries(METRIC_KEYS, POINTS),
        modes=st.dictionaries(METRIC_KEYS, st.sampled_from(["max", "min"])),
    ),
    max_size=6,
)
METRIC = st.builds(lambda key, part: ("metrics", key, *part), METRIC_KEYS, PARTS)
PARAM = st.builds(lambda key: ("params", key), PARAM_KEYS)
TEXT_KEYS = st.builds(lambda key: ("tags", key), TAG_KEYS) | st.sampled_from(
    [("attribute", name) for name in ("name", "run_id", "parent", "root")]
)
TIME = st.just(("attribute", "start_time"))
MS = st.integers(START_MS - 1, START_MS + 3)
KEYS = st.one_of(METRIC, PARAM, TEXT_KEYS, TIME)
EQUALS = st.sampled_from(["=", "==", "!=", "<>"])
ORDERS = st.sampled_from(["<", "<=", ">", ">="])
PATTERNS = st.sampled_from(["%", "_", "a%", "%b", "a_b", "", "É", "ss", "%'%", "[a]", "x*y", "A%B"])
SOME_NUMBERS = NUMBERS.filter(lambda value: value == value)
NOT_TRUTH = st.one_of(SOME_NUMBERS, TEXTS)


def plain(keys: Any, values: Any, ordered: Any) -> Any:
    """Comparisons of every kind over some keys."""
    return st.one_of(
        st.tuples(EQUALS, keys, values),
        st.tuples(ORDERS, keys, ordered),
        st.tuples(st.just("in"), keys, st.lists(values, min_size=1, max_size=3), st.booleans()),
        st.tuples(st.just("between"), keys, ordered, ordered),
        st.tuples(st.just("null"), keys, st.booleans()),
    )


LEAVES = st.one_of(
    plain(METRIC, NUMBERS, SOME_NUMBERS),
    plain(PARAM, st.one_of(NUMBERS, TEXTS, st.booleans()), NOT_TRUTH),
    plain(TEXT_KEYS, TEXTS | st.sampled_from(IDS), TEXTS | st.sampled_from(IDS)),
    plain(TIME, MS, MS),
    st.tuples(st.sampled_from(["LIKE", "ILIKE"]), st.one_of(PARAM, TEXT_KEYS), PATTERNS),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=6,
)
TERMS = st.lists(st.tuples(KEYS, st.booleans()), max_size=2)


def fill(store: Store, runs: list[Logged]) -> None:
    for number, run in enumerate(runs):
        run.run_id = IDS[number]
        script = WriterScript(run.run_id).event(
            Kind.RUN, {"name": run.name, "parent": run.parent}, time_ns=run.start_ms * 10**6 + 999
        )
        script.params(run.params).event(Kind.TAGS, {"set": run.tags})
        for key, mode in run.modes.items():
            script.event(Kind.DEFINE, {"key": key, "mode": mode})
        for key, values in run.metrics.items():
            script.points(key, values)
        script.send(store)


def check(store: Store, runs: list[Logged], filters: list[Any], terms: list[Any], limit: int | None) -> None:
    fill(store, runs)
    by_id = {run.run_id: run for run in runs}
    text = ", ".join(f"{key_text(key)} {'DESC' if descending else ''}" for key, descending in terms)
    for node in filters:
        asked = parse(render(node))
        assert asked is not None
        query = RunQuery(where=asked.condition, order_by=parse_order(text), limit=limit)
        expected = order([run for run in runs if truth(node, run, by_id) is True], terms, by_id)[:limit]
        assert [head.run_id for head in store.find(query)] == [run.run_id for run in expected], render(node)


ARGUMENTS = {
    "runs": RUNS,
    "filters": st.lists(FILTERS, min_size=1, max_size=8),
    "terms": TERMS,
    "limit": st.none() | st.just(50) | st.integers(0, 3),
}


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(**ARGUMENTS)
def test_memory_store(runs: list[Logged], filters: list[Any], terms: list[Any], limit: int | None) -> None:
    check(MemoryStore(), runs, filters, terms, limit)


def check_sqlite(tmp_path: Path, runs: list[Logged], filters: list[Any], terms: list[Any], limit: int | None) -> None:
    store = SQLiteStore(tmp_path / "store")
    try:
        check(store, runs, filters, terms, limit)
    finally:
        store.close()
        shutil.rmtree(store.directory)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(**ARGUMENTS)
def test_sqlite_store(
    tmp_path: Path, runs: list[Logged], filters: list[Any], terms: list[Any], limit: int | None
) -> None:
    check_sqlite(tmp_path, runs, filters, terms, limit)


@pytest.mark.slow
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(**ARGUMENTS)
def test_sqlite_store_at_length(
    tmp_path: Path, runs: list[Logged], filters: list[Any], terms: list[Any], limit: int | None
) -> None:
    check_sqlite(tmp_path, runs, filters, terms, limit)
