"""The filter language: what is read, what is refused and where, and that nothing hostile gets through (A23 to A25)."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.conditions import Compare, Every, Field, IsNull, Like, Not, OneOf, Some, is_like
from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import FilterSyntaxError, QueryTimeoutError
from mlops_sdk.journal.records import Kind
from mlops_sdk.query.filtering.grammar import parse
from mlops_sdk.query.filtering.order import parse_order
from mlops_sdk.stores.sqlite.conditions import as_sql
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript
from tests.unit.query.reference import value_text

QUIET = {"capture": False, "system_metrics": False}
ACC = Field("metrics", "acc", "last")


def condition(text: str) -> Any:
    found = parse(text, now_ns=1_800_000_000 * 10**9)
    assert found is not None
    return found.condition


@pytest.mark.parametrize(
    "text, expected",
    [
        ("metrics.acc > 0.9", Compare(ACC, ">", 0.9)),
        ("metrics.acc>-.5e-3", Compare(ACC, ">", -0.0005)),
        ("metrics.val/acc.max >= 1", Compare(Field("metrics", "val/acc", "max"), ">=", 1)),
        ("metrics.`acc.max` == 1", Compare(Field("metrics", "acc.max", "last"), "=", 1)),
        ("metrics.`acc.max`.min < 1", Compare(Field("metrics", "acc.max", "min"), "<", 1)),
        ("metrics.`a``b` < 1", Compare(Field("metrics", "a`b", "last"), "<", 1)),
        ("metrics.max = 1", Compare(Field("metrics", "max", "last"), "=", 1)),
        ("metrics.acc.best > 1", Compare(Field("metrics", "acc", "best", "max"), ">", 1)),
        ("metrics.f1-score < 1", Compare(Field("metrics", "f1-score", "last"), "<", 1)),
        ("params.layers.0.units = 3", Compare(Field("params", "layers.0.units"), "=", 3)),
        ("params.a[0]:b@c+d = 3", Compare(Field("params", "a[0]:b@c+d"), "=", 3)),
        ("params.acc.max = true", Compare(Field("params", "acc.max"), "=", True)),
        ("params.данные = 'я'", Compare(Field("params", "данные"), "=", "я")),
        ("tags.team = \"it's\"", Compare(Field("tags", "team"), "=", "it's")),
        ("tags.team != 'it''s'", Not(Compare(Field("tags", "team"), "=", "it's"))),
        ("tags.team <> ''", Not(Compare(Field("tags", "team"), "=", ""))),
        ("attributes.name LIKE 'a%'", Like(Field("attribute", "name"), "a%")),
        ("name not ilike 'A%'", Not(Like(Field("attribute", "name"), "a%", True))),
        ("user In ('a', 'b')", OneOf(Field("attribute", "user"), ("a", "b"))),
        ("metrics.acc in (1, NaN)", OneOf),
        ("parent IS NOT NULL", Not(IsNull(Field("attribute", "parent")))),
        ("end_time is null", IsNull(Field("attribute", "end_ns"))),
        ("git.dirty = false", Compare(Field("attribute", "git_dirty"), "=", False)),
        ("metrics.acc between 0 and 1", Every((Compare(ACC, ">=", 0), Compare(ACC, "<=", 1)))),
        ("not metrics.acc not between 0 and 1", Every((Compare(ACC, ">=", 0), Compare(ACC, "<=", 1)))),
        ("start_time >= 1000", Compare(Field("attribute", "start_ns"), ">=", 10**9)),
        ("start_time > '1970-01-01T00:00:01Z'", Compare(Field("attribute", "start_ns"), ">=", 10**9 + 1000)),
        ("start_time < '1970-01-02'", Compare(Field("attribute", "start_ns"), "<", 86_400 * 10**9)),
        ("datasets.train = 'aabbccdd'", Like(Field("datasets", "train", "digest"), "aabbccdd%")),
        ("datasets.train.content = 'aabbccdd'", Like(Field("datasets", "train", "content"), "aabbccdd%")),
        ("datasets.train.name != 'iris'", Not(Compare(Field("datasets", "train", "name"), "=", "iris"))),
        ("metrics.loss = Infinity", Compare(Field("metrics", "loss", "last"), "=", float("inf"))),
        ("metrics.loss > -inf", Compare(Field("metrics", "loss", "last"), ">", float("-inf"))),
    ],
)  # fmt: skip
def test_what_is_read(text: str, expected: Any) -> None:
    found = condition(text)
    assert isinstance(found, expected) if isinstance(expected, type) else found == expected


def test_and_binds_closer_than_or() -> None:
    found = condition("name = 'a' or name = 'b' and not user = 'c' or name = 'd'")
    assert isinstance(found, Some)
    assert [type(each) for each in found.conditions] == [Compare, Every, Compare]
    assert parse("  \n ") is None


@pytest.mark.parametrize(
    "text, column, said",
    [
        ("metrics.acc >", 13, "missing"),
        ("metrics.acc", 0, "KEY OPERATOR VALUE"),
        ("metric.acc > 1", 0, "did you mean metrics.acc?"),
        ("name = 'a' AND staus = 'x'", 15, "did you mean status?"),
        ("git.comit = 'x'", 0, "did you mean git.commit?"),
        ("name = finished", 7, "single quotes: 'finished'"),
        ("metrics.acc > 'x'", 14, "metrics.acc is a number"),
        ("tags.a = 5", 9, "write '5'"),
        ("0.9 < metrics.a", 0, "stands on the left"),
        ("metrics.a > metrics.b", 12, "not another key"),
        ("metrics.a + 1 > 2", 10, "no arithmetic"),
        ("(name = 'a'", 11, "closing parenthesis"),
        ("name = 'a')", 10, "not expected"),
        ("name = 'a", 7, "not closed"),
        ("status = 'FINISH'", 9, "did you mean 'FINISHED'?"),
        ("metrics.`a`.median > 1", 12, "use last, min, max"),
        ("metrics.a > NaN", 12, "NaN"),
        ("name = NULL", 7, "IS NULL"),
        ("name not null", 9, "IS NULL"),
        ("name in ()", 4, "IN ('a', 'b')"),
        ("name in ('a',)", 13, "value is missing"),
        ("metrics.a 5", 10, "operator is missing"),
        ("name between 'a' 'b'", 17, "not expected"),
        ("metrics.a > 1; drop table runs", 13, "';'"),
        ("metrics.a > 1 -- x", 14, "arithmetic"),
        ("metrics.a ≥ 5", 10, "use >="),
        ("start_time > 'yesterday'", 13, "2026-01-31"),
        ("git.dirty = 1", 12, "true or false"),
        ("params.x < true", 11, "compare by ="),
        ("datasets.train = 'abc'", 17, "8 characters"),
        ("metrics.a > 1e400", 12, "Infinity"),
        ("metrics.a like 'x'", 0, "no text"),
        ("metrics. > 1", 8, "key is missing"),
        ("name = 'a' AND", 14, "missing"),
        ("name = ((select 1))", 9, "select"),
        ("lower(name) = 'a'", 0, "lower"),
        ("name = 'a\0'", 9, "NUL"),
        ("name = 'a\ud800'", 9, "surrogate"),
    ],
)
def test_an_error_points_at_its_column(text: str, column: int, said: str) -> None:
    with pytest.raises(FilterSyntaxError, match=re.escape(said)) as caught:
        parse(text)
    assert caught.value.column == column
    assert str(caught.value).splitlines()[-1] == " " * (column + 2) + "^"


@pytest.mark.parametrize(
    "order, column",
    [("nonsense", 0), ("metrics.acc DESC metrics.b", 17), ("metrics.acc DESC ASC", 17), ("'x'", 0), ("datasets.a", 0)],
)
def test_an_order_that_cannot_be_read(order: str, column: int) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_order(order)
    assert caught.value.column == column


def test_limits() -> None:
    assert parse("(" * 32 + "name = 'a'" + ")" * 32) is not None
    assert parse("NOT (" * 16 + "name = 'a'" + ")" * 16) is not None
    ones = ", ".join("1" for _ in range(500))
    assert parse(f"metrics.a IN ({ones})") is not None
    for text in ("(" * 33 + "name = 'a'" + ")" * 33, "NOT " * 33 + "name = 'a'", "(" * 4000, "NOT " * 1000):
        with pytest.raises(FilterSyntaxError, match="deep"):
            parse(text)
    with pytest.raises(FilterSyntaxError, match="500 terms"):
        parse(f"metrics.a IN ({ones}, 1)")
    with pytest.raises(FilterSyntaxError, match="4,096 bytes"):
        parse("name = '" + "é" * 2048 + "'")
    began = time.perf_counter()
    with pytest.raises(FilterSyntaxError):
        parse("(" * 10**6)
    with pytest.raises(FilterSyntaxError):
        parse("name = 'a' OR " * 10**5)
    assert time.perf_counter() - began < 1


def test_deep_nests_are_read_and_run_where_the_stack_is_used_already(tmp_path: Path) -> None:
    text = "metrics.a > 1 AND NOT (params.b = 'x' OR (" * 10 + "name = 'a'" + "))" * 10

    def deeper(n: int) -> Any:
        return condition(text) if n == 0 else deeper(n - 1)

    store = SQLiteStore(tmp_path)
    for found in (deeper(0), deeper(200)):
        assert store.find(RunQuery(where=found)) == []
    store.close()


HOSTILE = ["'", '"', "`", ";", "--", "/*", "\0", "') OR 1=1 --", "%", "_", "$.a", "?1", ":x", "\\", "\n", "][", "{}", "é", "'';"]  # fmt: skip


def test_values_and_keys_are_bound_and_never_part_of_the_statement() -> None:
    for key in HOSTILE:
        quoted, value = key.replace("`", "``"), value_text(key)
        text = (
            f"metrics.`{quoted}`.max > 12345 AND (params.`{quoted}` = {value} OR tags.`{quoted}` LIKE {value} OR "
            f"datasets.`{quoted}`.name IN ({value}) OR name = {value} OR metrics.`{quoted}`.best = 12345)"
        )
        if "\0" in key:
            with pytest.raises(FilterSyntaxError):
                parse(text)
            continue
        bound: list[Any] = []
        sql = as_sql(condition(text), lambda value: (bound.append(value), f"?{len(bound)}")[1])  # noqa: B023
        assert "12345" not in sql
        assert key in bound
        literals = set(re.findall(r"'[^']*'", sql))
        assert literals <= {"'none'", "'str'", "'json'", "'max'", "'min'", "'float'", "'bool'"}, literals


def test_random_text_is_read_or_refused_and_changes_nothing(tmp_path: Path) -> None:
    """A fuzz of the grammar: nothing but a FilterSyntaxError comes out, and the store stays as it was."""
    store = SQLiteStore(tmp_path)
    WriterScript("run-1").run().params({"a": 1}).points("acc", [1.0]).send(store)
    pieces = [*["metrics.acc > 1", "params.a = 1", "name LIKE 'a%'", "AND", "OR", "NOT", "(", ")"] * 6, *HOSTILE, "metrics.acc", "params.a", "tags.x.y", "name", "status", "start_time", "datasets.d.name", "AND",
              "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "(", ")", ",", "=", "<", "1", "-2.5e3", "'a'", "NaN",
              "true", "select", "union", "exists", "cast", "case when", "collate nocase", "interval", "::int", "current_date",
              "[1]", "lambda", "*", "->", "||"]  # fmt: skip
    random_ = random.Random(5)
    n_read, columns = 0, []
    for _ in range(3000):
        text = " ".join(random_.choices(pieces, k=random_.randint(1, 9)))
        try:
            found = parse(text)
        except FilterSyntaxError as error:
            columns.append((error.column, len(text)))
            continue
        if found is not None:
            n_read += 1
            store.find(RunQuery(where=found.condition))
    assert n_read > 50
    assert all(0 <= column <= length for column, length in columns)
    assert [head.run_id for head in store.find(RunQuery())] == ["run-1"]
    store.close()


def test_patterns_take_time_in_proportion(tmp_path: Path) -> None:
    """A25: a pattern that makes a backtracking matcher take for ever."""
    text, pattern = "a" * 50_000, "%a" * 30 + "b"
    began = time.perf_counter()
    assert not is_like(text, pattern)
    store = SQLiteStore(tmp_path)
    WriterScript("run-1").run().tags(t=text).send(store)
    for word in ("LIKE", "ILIKE"):
        assert store.find(RunQuery(where=condition(f"tags.t {word} '{pattern}'"))) == []
    store.close()
    assert time.perf_counter() - began < 1.5


@pytest.mark.parametrize("size", [5_000, 50_000])
def test_no_text_makes_the_lexer_slow(size: int) -> None:
    for unit in ("1", "a", "(", "'", "`", "1e", "+", ".", "metrics.", " ", "é", "a.max", "-inf"):
        began = time.perf_counter()
        for text in (unit * (4000 // len(unit.encode())), "metrics.`" + unit * 3000, unit * size):
            with contextlib.suppress(FilterSyntaxError):
                parse(text)
        assert time.perf_counter() - began < 0.5, unit


def test_the_time_of_a_search_is_bounded(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path)
    with store.database.writing() as connection:
        connection.execute("INSERT INTO experiments (id, name, created_ns) VALUES (1, 'x', 0)")
        connection.executemany(
            """INSERT INTO runs (run_id, experiment, name, status, start_ns, heard_ns, description, user, host, entry_point)
            VALUES (?, 1, ?, 'FINISHED', 0, 0, '', '', '', '')""",
            ((f"{number}", "a" * 1000) for number in range(2000)),
        )
    slow = condition(" OR ".join(f"name ILIKE '%a%a%a%b{number}'" for number in range(120)))
    began = time.perf_counter()
    with pytest.raises(QueryTimeoutError, match=r"0\.05 s"):
        store.find(RunQuery(where=slow, timeout_s=0.05))
    assert time.perf_counter() - began < 1
    assert len(store.find(RunQuery(where=condition("name LIKE 'a%'"), timeout_s=30))) == 2000
    store.close()


# -- through search_runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    uri = f"memory:{tmp_path.name}" if request.param == "memory" else str(tmp_path / "store")
    for number, acc in enumerate([0.5, 0.9, 0.7]):
        with mlops_sdk.start_run(tracking_uri=uri, name=f"n{number}", params={"lr": 10.0**-number}, **QUIET) as run:  # type: ignore[arg-type]
            run.log_metrics({"accuracy": acc, "layer1": acc, "odd score": acc}, step=0)
            run.set_tag("team", "x")
    return uri


def names(uri: str, text: str | None, **options: Any) -> list[str]:
    return [run.name for run in mlops_sdk.search_runs(text, tracking_uri=uri, **options)]


def test_search_runs_takes_a_filter(uri: str) -> None:
    assert names(uri, "metrics.accuracy > 0.6 and params.lr < 0.1") == ["n2"]
    assert names(uri, "status = 'FINISHED'", order_by="metrics.accuracy.best DESC, start_time", limit=2) == ["n1", "n2"]
    assert names(uri, "status in ('RUNNING', 'LOST') or tags.team = 'y'") == []
    assert names(uri, "") == names(uri, None) == ["n2", "n1", "n0"]
    newest = mlops_sdk.search_runs(tracking_uri=uri)[0]
    assert names(uri, f"start_time = '{newest.start_time.isoformat()}'") == ["n2"]
    assert names(uri, f"start_time <= {int(newest.start_time.timestamp() * 1000)} and name = 'n2'") == ["n2"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("metrics.acuracy > 0.9", "did you mean metrics.accuracy?"),
        ("name = 'n0' OR metrics.Accuracy > 0.9", "did you mean metrics.accuracy?"),
        ("metrics.accuracy.maximum > 0.9", "did you mean metrics.accuracy.max?"),
        ("metrics.odd_score > 0.9", "did you mean metrics.`odd score`?"),
        ("tags.teem = 'x'", "did you mean tags.team?"),
        ("metrics.layer1.best > 0", "is not known: use .max or .min"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_the_nearest_key(uri: str, text: str, said: str) -> None:
    with pytest.raises(FilterSyntaxError, match=re.escape(said)) as caught:
        names(uri, text)
    assert caught.value.column == text.index("metrics." if "metrics." in text else "tags.")


def test_a_key_that_is_merely_not_there_is_no_error(uri: str) -> None:
    assert names(uri, "metrics.perplexity > 1") == []
    assert names(uri, "metrics.layer2 > 0") == []  # another layer, on purpose
    assert len(names(uri, "metrics.acuracy IS NULL")) == 3


def test_silent_runs_are_lost(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path)
    now_ns = 1_800_000_000 * 10**9
    for run_id, age_s in {"silent": 601, "alive": 599, "ended": 9999}.items():
        script = WriterScript(run_id).event(Kind.RUN, {"name": run_id}, time_ns=now_ns - age_s * 10**9)
        if run_id == "ended":
            script.event(Kind.STATUS, {"status": "FAILED"}, time_ns=now_ns - 9000 * 10**9)
        script.send(store)

    def found(text: str) -> set[str]:
        asked = parse(text, now_ns)
        assert asked is not None
        return {head.run_id for head in store.find(RunQuery(where=asked.condition))}

    kinds = {head.run_id: head.status for head in store.find(RunQuery())}
    assert kinds["silent"] == kinds["alive"] == "RUNNING"
    assert found("status = 'LOST'") == {"silent"}
    assert found("status = 'RUNNING'") == {"alive"}
    assert found("status != 'RUNNING'") == {"silent", "ended"}
    assert found("status IN ('RUNNING', 'LOST')") == {"silent", "alive"}
    assert found("status ILIKE 'l%'") == {"silent"}
    store.close()


def test_a_filter_reads_only(tmp_path: Path) -> None:
    """What a filter compiles to is one SELECT, whatever it says."""
    bound: list[Any] = []
    sql = as_sql(condition("root = 'a' and datasets.d = 'aabbccdd'"), lambda value: (bound.append(value), "?")[1])
    assert sqlite3.complete_statement(f"SELECT {sql};")
    assert ";" not in sql
    assert not re.search(r"\b(INSERT|UPDATE|DELETE|ATTACH|PRAGMA|DROP)\b", sql)
