"""`find` with conditions: what a condition means is the same in every store."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from mlops_sdk.conditions import (
    Compare,
    Condition,
    Every,
    Field,
    IsNull,
    Like,
    Not,
    OneOf,
    Some,
)
from mlops_sdk.entities import OrderBy, RunQuery
from mlops_sdk.errors import InvalidValueError, QueryTimeoutError
from mlops_sdk.journal.records import Kind
from mlops_sdk.testing.batches import START_NS, Clock
from mlops_sdk.testing.contract.base import NAMES, StoreCase, edit, head, ids, started

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

NAN, INF = math.nan, math.inf


def found(store: Store, where: Condition, **query: Any) -> str:
    """Ids of the runs of which a condition is true, in alphabetical order, as one word."""
    return "".join(sorted(ids(store, where=where, **query)))


def param(key: str = "p") -> Field:
    """A param."""
    return Field("params", key)


def metric(part: str = "last", key: str = "loss") -> Field:
    """A summary of a metric."""
    return Field("metrics", key, part)


class Searching(StoreCase):
    """What `Store.find` owes to `RunQuery.where`."""

    @pytest.fixture
    def params(self, store: Store, clock: Clock) -> Store:
        """Runs with one param of every type, and one without."""
        values = {
            "a": 1, "b": 1.5, "c": True, "d": "1", "e": "abc", "f": NAN, "g": None, "h": [1, 2], "i": -INF, "j": 2**63,
        }  # fmt: skip
        for run_id, value in values.items():
            started(store, run_id, clock=clock).params({"p": value, "other": 1}).send(store)
        started(store, "z", clock=clock).params({"other": 1}).send(store)
        return store

    def test_numbers_compare_with_numbers(self, params: Store) -> None:
        assert found(params, Compare(param(), "=", 1)) == "ac"
        assert found(params, Compare(param(), "=", 1.0)) == "ac"
        assert found(params, Compare(param(), "<", 1.5)) == "aci"
        assert found(params, Compare(param(), ">=", 1.5)) == "bj"
        assert found(params, Compare(param(), "=", 2**63 + 1)) == "j"
        assert found(params, Compare(param(), "=", -INF)) == "i"
        assert found(params, OneOf(param(), (1.5, 7, "abc"))) == "be"

    def test_text_compares_with_text(self, params: Store) -> None:
        assert found(params, Compare(param(), "=", "1")) == "d"
        assert found(params, Compare(param(), ">", "1")) == "eh"
        assert found(params, Compare(param(), "=", "[1, 2]")) == "h"
        assert found(params, Like(param(), "a_c")) == "e"
        assert found(params, Like(param(), "%")) == "deh"

    def test_truth_values_compare_with_truth_values(self, params: Store) -> None:
        assert found(params, Compare(param(), "=", True)) == "c"
        assert found(params, Not(Compare(param(), "=", False))) == "abcdefhij"

    def test_nan_is_equal_to_nan_only(self, params: Store) -> None:
        assert found(params, Compare(param(), "=", NAN)) == "f"
        assert found(params, Not(Compare(param(), "=", NAN))) == "abcdehij"
        assert found(params, Not(Compare(param(), "<", 5))) == "defhj"
        assert found(params, OneOf(param(), (NAN, 1.5))) == "bf"

    def test_missing_is_unknown_and_none_is_missing(self, params: Store) -> None:
        assert found(params, IsNull(param())) == "gz"
        assert found(params, Not(IsNull(param()))) == "abcdefhij"
        is_one = Compare(param(), "=", 1)
        assert found(params, Not(is_one)) == "bdefhij"
        assert found(params, Some((is_one, Not(is_one)))) == "abcdefhij"
        assert found(params, Every((is_one, Not(is_one)))) == ""
        assert found(params, Not(Every((is_one, Compare(param("other"), "=", 2))))) == "abcdefghijz"
        assert found(params, Some((is_one, Compare(param("other"), "=", 1)))) == "abcdefghijz"
        assert found(params, OneOf(param(), ())) == ""
        assert found(params, Not(OneOf(param(), ()))) == "abcdefhij"

    def test_integers_compare_exactly_up_to_64_bits(self, store: Store, clock: Clock) -> None:
        for run_id, value in {"a": 2**53, "b": 2**53 + 1, "c": float(2**53), "d": 2**63 - 1}.items():
            started(store, run_id, clock=clock).params({"p": value}).send(store)
        assert found(store, Compare(param(), "=", 2**53)) == "ac"
        assert found(store, Compare(param(), ">", float(2**53))) == "bd"
        assert found(store, Compare(param(), "<", 2**63 - 1)) == "abc"

    def test_every_summary_of_a_metric(self, store: Store, clock: Clock) -> None:
        started(store, "a", clock=clock).points("loss", [5.0, 1.0, 3.0]).send(store)
        started(store, "b", clock=clock).points("loss", [2.0, NAN]).send(store)
        started(store, "c", clock=clock).points("loss", [NAN]).send(store)
        started(store, "d", clock=clock).points("other", [1.0]).send(store)
        expected = {"last": 3.0, "min": 1.0, "max": 5.0, "mean": 3.0, "first": 5.0, "count": 3, "last_step": 2}
        for part, value in expected.items():
            assert found(store, Compare(metric(part), "=", value)) == "a", part
        assert found(store, Compare(metric(), "=", NAN)) == "bc"
        assert found(store, Compare(metric("min"), "=", NAN)) == "c"
        assert found(store, Compare(metric("max"), "<=", 2)) == "b"
        assert found(store, Not(Compare(metric(), "<=", 3))) == "bc"
        assert found(store, Not(Compare(metric(), "=", 3.0))) == "bc"
        assert found(store, OneOf(metric(), (3, NAN))) == "abc"
        assert found(store, IsNull(metric())) == "d"
        assert found(store, Not(IsNull(metric("mean")))) == "abc"
        assert found(store, Compare(metric("count"), "<", 3)) == "bc"
        assert found(store, Compare(metric(key="nothing"), "<", 3)) == ""

    def test_the_best_value_is_what_the_run_calls_so(self, store: Store, clock: Clock) -> None:
        for run_id, mode in {"a": "max", "b": "min", "c": None}.items():
            script = started(store, run_id, clock=clock).points("score", [1.0, 9.0])
            if mode is not None:
                script.event(Kind.DEFINE, {"key": "score", "mode": mode})
            script.send(store)
        best = {mode: Field("metrics", "score", "best", mode) for mode in ("max", "min", None)}
        assert found(store, Compare(best["max"], "=", 9)) == "ac"
        assert found(store, Compare(best["min"], "=", 9)) == "a"
        assert found(store, Compare(best[None], "<=", 9)) == "ab"
        assert found(store, IsNull(best[None])) == "c"
        assert found(store, IsNull(best["max"])) == ""
        order = (OrderBy("metrics", "score", "best", True, "max"),)
        assert ids(store, order_by=order) == ids(store, order_by=order, limit=9) == ["c", "a", "b"]
        assert ids(store, order_by=(OrderBy("metrics", "score", "best"),), limit=9) == ["b", "a", "c"]

    def test_tags_and_patterns(self, store: Store, clock: Clock) -> None:
        texts = {"a": "Straße", "b": "STRASSE", "c": "str*ße", "d": "a[1]b", "e": "a?b", "f": "", "g": "x\ny"}
        for run_id, text in texts.items():
            started(store, run_id, clock=clock).tags(t=text).send(store)
        tag = Field("tags", "t")
        assert found(store, Like(tag, "Stra%")) == "a"
        assert found(store, Like(tag, "strasse".casefold(), ignores_case=True)) == "ab"
        assert found(store, Like(tag, "str*%")) == "c"
        assert found(store, Like(tag, "a[1]_")) == "d"
        assert found(store, Like(tag, "a?b")) == "e"
        assert found(store, Like(tag, "a_b")) == "e"
        assert found(store, Like(tag, "")) == "f"
        assert found(store, Like(tag, "x%y")) == "g"
        assert found(store, Not(Like(tag, "%a%"))) == "bcfg"
        assert found(store, Compare(tag, ">=", "a")) == "cdeg"
        assert found(store, Compare(tag, "=", 1)) == ""
        assert found(store, Not(Compare(tag, "<", 1))) == "abcdefg"

    def test_attributes(self, store: Store, clock: Clock) -> None:
        scripts = {run_id: started(store, run_id, clock=clock, user=run_id.upper()) for run_id in "abc"}
        scripts["a"].status("FAILED").send(store)
        scripts["b"].event(Kind.ENVIRONMENT, {"git": {"commit": "c0", "branch": "main", "dirty": True}}).send(store)
        scripts["c"].event(Kind.ENVIRONMENT, {"git": {"dirty": False}}).send(store)
        edit(store, "c", Kind.INFO, {"name": "it's", "experiment": "other"}, clock=clock)

        def attribute(name: str) -> Field:
            return Field("attribute", name)

        assert found(store, Compare(attribute("status"), "=", "FAILED")) == "a"
        assert found(store, Compare(attribute("user"), ">", "A")) == "bc"
        assert found(store, Compare(attribute("name"), "=", "it's")) == "c"
        assert found(store, Compare(attribute("experiment"), "=", "other")) == "c"
        assert found(store, IsNull(attribute("end_ns"))) == "bc"
        assert found(store, Compare(attribute("git_dirty"), "=", True)) == "b"
        assert found(store, Not(Compare(attribute("git_dirty"), "=", True))) == "c"
        assert found(store, IsNull(attribute("git_dirty"))) == "a"
        assert found(store, OneOf(attribute("run_id"), ("a", "c", "nobody"))) == "ac"
        start_ns = head(store, "b").start_ns
        assert found(store, Compare(attribute("start_ns"), ">=", start_ns)) == "bc"
        assert found(store, Compare(attribute("start_ns"), "=", start_ns)) == "b"
        scripts["b"].event(Kind.HEARTBEAT, {}).send(store)
        assert found(store, Compare(attribute("duration_s"), ">", head(store, "a").duration_s)) == "b"
        assert found(store, Compare(attribute("name"), ">", 1)) == found(store, Like(attribute("start_ns"), "%")) == ""
        with pytest.raises(InvalidValueError):
            found(store, Compare(attribute("nonsense"), "=", 1))
        with pytest.raises(InvalidValueError):
            found(store, Compare(metric("median"), "=", 1))

    def test_the_root_is_the_top_of_the_nest(self, store: Store, clock: Clock) -> None:
        parents = {"a": None, "b": "a", "c": "b", "d": "gone", "e": "f", "f": "e", "g": "g"}
        for run_id, parent in parents.items():
            started(store, run_id, clock=clock, parent=parent)
        root = Field("attribute", "root")
        assert found(store, Compare(root, "=", "a")) == "abc"
        assert found(store, Compare(root, "=", "gone")) == "d"
        assert found(store, IsNull(root)) == "efg"
        assert ids(store, order_by=(OrderBy("attribute", "root"),)) == ["c", "b", "a", "d", "g", "f", "e"]

    def test_one_dataset_that_fits_is_enough(self, store: Store, clock: Clock) -> None:
        train = {"context": "train", "name": "iris", "digest": "aa11", "content_digest": "cc11"}
        scripts = {run_id: started(store, run_id, clock=clock) for run_id in "abc"}
        started(store, "d", clock=clock)
        scripts["a"].event(Kind.DATASET, train)
        scripts["b"].event(Kind.DATASET, {**train, "name": "wine"}).event(Kind.DATASET, {**train, "digest": "bb22"})
        scripts["c"].event(Kind.DATASET, {**train, "context": "test"}).event(Kind.DATASET, {"context": "train"})
        for script in scripts.values():
            script.send(store)
        parts = {part: Field("datasets", "train", part) for part in ("digest", "name", "content")}
        assert found(store, Compare(parts["digest"], "=", "aa11")) == "ab"
        assert found(store, Compare(parts["digest"], "=", "bb22")) == "b"
        assert found(store, Not(Compare(parts["digest"], "=", "bb22"))) == "a"
        assert found(store, Like(parts["digest"], "bb%")) == "b"
        assert found(store, OneOf(parts["name"], ("wine", "x"))) == "b"
        assert found(store, Compare(parts["content"], "=", "cc11")) == "ab"
        assert found(store, IsNull(parts["digest"])) == "cd"
        assert found(store, Compare(Field("datasets", "test", "name"), "=", "iris")) == "c"

    def test_conditions_join_the_rest_of_a_query(self, store: Store, clock: Clock) -> None:
        for number in range(8):
            script = started(store, f"{number}", clock=clock, experiment="ab"[number % 2])
            script.points("loss", [number / 2]).params({"p": number}).send(store)
        edit(store, "6", Kind.TRASH, {"deleted": True}, clock=clock)
        where = Every((Compare(metric(), ">", 0.5), Compare(param(), "<", 7)))
        by_loss = (OrderBy("metrics", "loss"),)
        assert ids(store, where=where) == ["5", "4", "3", "2"]
        assert ids(store, where=where, order_by=by_loss, limit=2, offset=1) == ["3", "4"]
        assert ids(store, where=where, experiment="a", deleted=None) == ["6", "4", "2"]
        assert ids(store, where=where, order_by=(OrderBy("params", "p", descending=True),)) == ["5", "4", "3", "2"]
        assert ids(store, where=where, run_ids=("1", "2", "7")) == ["2"]

    def test_what_lacks_the_ordering_metric_is_found_too(self, store: Store, clock: Clock) -> None:
        for run_id, value in {"a": 1.0, "b": None, "c": NAN}.items():
            script = started(store, run_id, clock=clock).params({"p": 1})
            (script if value is None else script.points("loss", [value])).send(store)
        started(store, "d", clock=clock).params({"p": 2}).send(store)
        where = Compare(param(), "=", 1)
        for limit in (None, 9):
            assert ids(store, where=where, order_by=(OrderBy("metrics", "loss"),), limit=limit) == ["a", "c", "b"]

    def test_keys_are_values_whatever_they_hold(self, store: Store, clock: Clock) -> None:
        for number, name in enumerate(NAMES):
            script = started(store, f"{number}", clock=clock).params({name: number}).tags(**{name: name})
            script.points(name, [float(number)]).event(Kind.DATASET, {"context": name, "name": name}).send(store)
        for number, name in enumerate(NAMES):
            assert ids(store, where=Compare(Field("params", name), ">=", 0)) == [f"{number}"]
            assert ids(store, where=Compare(Field("tags", name), "=", name)) == [f"{number}"]
            assert ids(store, where=Compare(metric(key=name), "=", number)) == [f"{number}"]
            assert ids(store, where=Compare(Field("datasets", name, "name"), "=", name)) == [f"{number}"]
        for kind in ("params", "tags", "metrics", "datasets"):
            assert store.keys(kind) == sorted(NAMES)
        assert store.keys("attribute") == []

    def test_many_terms_and_deep_nests(self, store: Store, clock: Clock) -> None:
        for number in range(3):
            started(store, f"{number}", clock=clock).params({"p": number}).send(store)
        terms = tuple(Compare(param(f"key {number}"), "=", number) for number in range(499))
        assert ids(store, where=Some((*terms, Compare(param(), "=", 1)))) == ["1"]
        nest: Condition = Compare(param(), ">", 0)
        for number in range(32):
            join = (Every, Some)[number % 2]
            nest = Not(join((Compare(param("other"), "=", number), nest, IsNull(param("other")))))
        assert isinstance(ids(store, where=nest), list)

    def test_a_search_that_takes_too_long_is_given_up(self, store: Store, clock: Clock) -> None:
        for number in range(40):
            started(store, f"{number}", clock=clock).tags(t="a" * 2000).send(store)
        slow = Some(
            tuple(Like(Field("tags", f"t{number % 2 or ''}"), f"%{'a%' * 30}b{number}") for number in range(400))
        )
        with pytest.raises(QueryTimeoutError):
            store.find(RunQuery(where=slow, timeout_s=0.0))
        assert len(ids(store, where=Like(Field("tags", "t"), "a%"), timeout_s=60.0)) == 40
        assert head(store, "0").start_ns > START_NS
