"""`find`: which runs, in which order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from mlops_sdk.entities import MetricSummary, OrderBy, RunHead, RunQuery
from mlops_sdk.journal.records import Kind
from mlops_sdk.testing.batches import Clock
from mlops_sdk.testing.contract.base import StoreCase, edit, ids, part, started

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

NAN, INF = math.nan, math.inf


def ordered(store: Store, kind: Any, key: str, *, descending: bool = False, summary: str = "last") -> list[str]:
    """Ids in the order of one term."""
    return ids(store, order_by=(OrderBy(kind, key, summary, descending),))


def newest_first_by(values: dict[str, Any]) -> list[str]:
    """Ids of runs, given newest first, by their values; what is missing comes last."""
    present = sorted((run_id for run_id in values if values[run_id] is not None), key=lambda run_id: values[run_id])
    return present + [run_id for run_id in values if values[run_id] is None]


class Finding(StoreCase):
    """What `Store.find` owes."""

    def test_an_empty_store_finds_nothing(self, store: Store) -> None:
        assert ids(store) == ids(store, deleted=None, limit=5) == []
        assert ordered(store, "metrics", "loss") == []
        assert store.experiments(deleted=None) == []
        assert store.load(["nobody"], ["tags"]) == {}

    def test_runs_come_newest_first(self, store: Store, clock: Clock) -> None:
        for run_id in "dacb":
            started(store, run_id, clock=clock)
        edit(store, "a", Kind.TAGS, {"set": {"a": "b"}}, clock=clock)
        assert ids(store) == ["b", "c", "a", "d"]

    def test_conditions_are_joined(self, store: Store, clock: Clock) -> None:
        for number in range(6):
            started(store, f"run-{number}", clock=clock, experiment="ab"[number % 2], parent="ppp---"[number])
        edit(store, "run-2", Kind.TRASH, {"deleted": True}, clock=clock)
        assert ids(store, experiment="a") == ["run-4", "run-0"]
        assert ids(store, experiment="a", deleted=None) == ["run-4", "run-2", "run-0"]
        assert ids(store, experiment="a", parent="p") == ["run-0"]
        assert ids(store, experiment="a", parent="p", deleted=True) == ["run-2"]
        assert ids(store, run_ids=("run-1", "run-2", "run-5", "nobody")) == ["run-5", "run-1"]
        assert ids(store, run_ids=("run-1", "run-5"), experiment="b", limit=1) == ["run-5"]
        assert ids(store, run_ids=()) == ids(store, experiment="") == ids(store, experiment="A") == []

    def test_limit_and_offset(self, store: Store, clock: Clock) -> None:
        for number in range(5):
            started(store, f"{number}", clock=clock).points("loss", [number / 2]).send(store)
        assert ids(store, limit=2) == ["4", "3"]
        assert ids(store, limit=2, offset=3) == ["1", "0"]
        assert ids(store, offset=4) == ["0"]
        assert ids(store, limit=0) == ids(store, offset=5) == ids(store, limit=3, offset=9) == []
        by_loss = (OrderBy("metrics", "loss"),)
        assert ids(store, order_by=by_loss, limit=2, offset=1) == ["1", "2"]

    def test_a_run_is_found_by_id_prefix_suffix_or_name(self, store: Store, clock: Clock) -> None:
        named = {"abcd-1234": "first", "abcd-5678": "1234", "ABCD-0000": "abcd", "xy_z%w": "a%c", "xyzzz%w": "first"}
        for run_id, name in named.items():
            started(store, run_id, clock=clock, name=name)
        assert ids(store, id_like="abcd-1234") == ["abcd-1234"]
        assert ids(store, id_like="abcd-") == ["abcd-5678", "abcd-1234"]
        assert ids(store, id_like="5678") == ["abcd-5678"]
        assert ids(store, id_like="1234") == ["abcd-5678", "abcd-1234"]
        assert ids(store, id_like="abcd") == ["ABCD-0000", "abcd-5678", "abcd-1234"]
        assert ids(store, id_like="first") == ["xyzzz%w", "abcd-1234"]
        assert ids(store, id_like="xy_z") == ["xy_z%w"]
        assert ids(store, id_like="cd-1") == ids(store, id_like="irst") == ids(store, id_like="a%34") == []
        edit(store, "abcd-1234", Kind.TRASH, {"deleted": True}, clock=clock)
        assert ids(store, id_like="first") == ["xyzzz%w"]
        assert ids(store, id_like="first", deleted=True) == ["abcd-1234"]

    def test_every_run_that_fits_is_found(self, store: Store, clock: Clock) -> None:
        for run_id, name in {"abcd": "1", "abcd-2": "2", "3-abcd": "3", "other": "abcd"}.items():
            started(store, run_id, clock=clock, name=name)
        assert ids(store, id_like="abcd") == ["other", "3-abcd", "abcd-2", "abcd"]
        edit(store, "abcd", Kind.TRASH, {"deleted": True}, clock=clock)
        assert ids(store, id_like="abcd") == ["other", "3-abcd", "abcd-2"]

    def test_every_attribute_and_every_summary_orders(self, store: Store, clock: Clock) -> None:
        for run_id in ("a", "b", "c"):
            script = started(store, run_id, clock=clock, parent="a" if run_id == "b" else None)
            script.points("loss", [3.0, 1.0, 2.0][: 1 + ord(run_id) % 3]).send(store)
        edit(store, "b", Kind.INFO, {"name": "a name", "experiment": "an experiment"}, clock=clock)
        started(store, "d", clock=clock).status().send(store)
        script.status().send(store)
        heads = store.find(RunQuery())
        summaries = {head.run_id: part(store, "metrics", head.run_id).get("loss") for head in heads}
        for key in (*RunHead.__slots__, "duration_s"):
            of = {head.run_id: getattr(head, key) for head in heads}
            assert ordered(store, "attribute", key) == newest_first_by(of), key
        for key in [name for name in MetricSummary.__slots__ if name != "key"]:
            of = {run_id: getattr(found, key, None) for run_id, found in summaries.items()}
            assert ordered(store, "metrics", "loss", summary=key) == newest_first_by(of), key

    def test_order_by_what_a_run_said_of_itself(self, store: Store, clock: Clock) -> None:
        for run_id, text in (("b", "beta"), ("c", "Gamma"), ("a", "alpha"), ("d", "\u03b4")):
            names = ("name", "experiment", "user", "host", "entry_point", "description", "parent")
            started(store, run_id, clock=clock).status("FINISHED").send(store)
            started(store, f"{run_id} said", clock=clock, **dict.fromkeys(names, text))
        assert ordered(store, "attribute", "run_id", descending=True)[:2] == ["d said", "d"]
        for key in ("name", "experiment", "user", "host", "entry_point", "description", "parent"):
            found = [run_id for run_id in ordered(store, "attribute", key) if run_id.endswith("said")]
            assert found == ["c said", "a said", "b said", "d said"], key
            backwards = [run_id for run_id in ordered(store, "attribute", key, descending=True) if "said" in run_id]
            assert backwards == found[::-1], key

    def test_order_by_times_and_status(self, store: Store, clock: Clock) -> None:
        scripts = [started(store, run_id, clock=clock) for run_id in "abcd"]
        for script, status in zip((scripts[2], scripts[0], scripts[1]), ("KILLED", "FAILED", "FINISHED"), strict=True):
            script.status(status).send(store)
        scripts[3].event(Kind.ENVIRONMENT, {"git": {"commit": "c0", "branch": "main", "dirty": True}}).send(store)
        assert ordered(store, "attribute", "start_ns") == ["a", "b", "c", "d"]
        assert ordered(store, "attribute", "start_ns", descending=True) == ["d", "c", "b", "a"]
        assert ordered(store, "attribute", "end_ns") == ["c", "a", "b", "d"]
        assert ordered(store, "attribute", "end_ns", descending=True) == ["b", "a", "c", "d"]
        assert ordered(store, "attribute", "heard_ns") == ["c", "a", "b", "d"]
        assert ordered(store, "attribute", "status") == ["a", "b", "c", "d"]
        assert ordered(store, "attribute", "git_commit")[0] == "d"
        assert ordered(store, "attribute", "git_commit", descending=True) == ["d", "c", "b", "a"]

    @pytest.mark.parametrize("descending", [False, True])
    def test_order_by_params_numbers_as_numbers_missing_and_nan_last(
        self, store: Store, clock: Clock, descending: bool
    ) -> None:
        values = {"nine": 9, "ten": 10.0, "half": 0.5, "minus": -3, "down": -INF, "up": INF, "huge": 10**30}
        for run_id, value in {"nan": NAN, **values}.items():
            started(store, run_id, clock=clock).params({"key": value, "other": 1}).send(store)
        started(store, "missing", clock=clock).params({"other": 1}).send(store)
        expected = ["down", "minus", "half", "nine", "ten", "huge", "up"]
        found = ordered(store, "params", "key", descending=descending)
        assert found[:7] == (expected[::-1] if descending else expected)
        assert found[7:] == ["missing", "nan"]

    @pytest.mark.parametrize("kind", ["params", "tags"])
    @pytest.mark.parametrize("descending", [False, True])
    def test_order_by_text_missing_last(self, store: Store, clock: Clock, kind: str, descending: bool) -> None:
        values = {"b": "beta", "G": "Gamma", "empty": "", "a": "alpha", "ten": "10", "nine": "9"}
        for run_id, text in values.items():
            started(store, run_id, clock=clock).params({"key": text}).tags(key=text).send(store)
        started(store, "missing", clock=clock)
        expected = ["empty", "ten", "nine", "G", "a", "b"]
        found = ordered(store, kind, "key", descending=descending)
        assert found == [*(expected[::-1] if descending else expected), "missing"]

    @pytest.mark.parametrize("descending", [False, True])
    def test_order_by_every_summary_missing_and_nan_last(self, store: Store, clock: Clock, descending: bool) -> None:
        logged = {"b": [5.0, 1.0, 3.0], "a": [2.0, 0.5], "c": [1.0, -INF, 7.0, INF], "one": [4.0]}
        for run_id, values in logged.items():
            started(store, run_id, clock=clock).points("loss", values).points("other", [1.0]).send(store)
        started(store, "missing", clock=clock).points("other", [1.0]).send(store)
        started(store, "nan", clock=clock).points("loss", [NAN]).send(store)
        expected = {
            "first": ["c", "a", "one", "b"],
            "last": ["a", "b", "one", "c"],
            "min": ["c", "a", "b", "one"],
            "max": ["a", "one", "b", "c"],
            "mean": ["a", "b", "one"],
            "count": ["one", "a", "b", "c"],
            "last_step": ["one", "a", "b", "c"],
        }
        for summary, order in expected.items():
            found = ordered(store, "metrics", "loss", descending=descending, summary=summary)
            if summary in ("count", "last_step"):  # those are known of "nan", too: as of "one"
                assert found[-1] == "missing"
                found.remove("nan")
                found.remove("missing")
            else:
                assert sorted(found[len(order) :]) == sorted({*logged, "missing", "nan"} - {*order}), summary
                found = found[: len(order)]
            assert found == (order[::-1] if descending else order), summary

    def test_ties_are_newest_first_in_either_direction(self, store: Store, clock: Clock) -> None:
        for run_id, loss in (("old", 1.0), ("low", 0.5), ("middle", 1.0), ("new", 1.0)):
            started(store, run_id, clock=clock).points("loss", [loss]).tags(a=str(loss)).send(store)
        assert ordered(store, "metrics", "loss") == ["low", "new", "middle", "old"]
        assert ordered(store, "metrics", "loss", descending=True) == ["new", "middle", "old", "low"]
        assert ordered(store, "tags", "a", descending=True) == ["new", "middle", "old", "low"]
        assert ordered(store, "tags", "nowhere") == ["new", "middle", "low", "old"]
        assert ordered(store, "attribute", "status", descending=True) == ["new", "middle", "low", "old"]

    def test_the_first_term_decides_and_the_next_breaks_its_ties(self, store: Store, clock: Clock) -> None:
        rows = {"a": (1.0, 3), "b": (2.0, 1), "c": (1.0, 1), "d": (2.0, 3), "e": (1.0, 2)}
        for run_id, (loss, depth) in rows.items():
            started(store, run_id, clock=clock).points("loss", [loss]).params({"depth": depth}).send(store)
        terms = (OrderBy("metrics", "loss", descending=True), OrderBy("params", "depth"))
        assert ids(store, order_by=terms) == ["b", "d", "c", "e", "a"]
        assert ids(store, order_by=terms[::-1]) == ["b", "c", "e", "d", "a"]

    def test_one_key_may_stand_in_several_terms(self, store: Store, clock: Clock) -> None:
        for run_id, values in {"a": [1.0, 3.0], "b": [1.0, 2.0], "c": [0.0, 5.0]}.items():
            script = started(store, run_id, clock=clock).points("key", values).tags(key=str(values[0]))
            script.params({"key": values[1]}).send(store)
        by_min_then_last = (OrderBy("metrics", "key", "min"), OrderBy("metrics", "key", "last"))
        by_tag_then_param = (OrderBy("tags", "key"), OrderBy("params", "key", descending=True))
        assert (
            ids(store, order_by=by_min_then_last) == ids(store, order_by=by_min_then_last, limit=9) == ["c", "b", "a"]
        )
        assert ids(store, order_by=by_tag_then_param) == ["c", "a", "b"]
        assert ids(store, order_by=by_tag_then_param * 2, limit=2) == ["c", "a"]

    def test_a_key_is_a_value_and_never_part_of_a_statement(self, store: Store, clock: Clock) -> None:
        key = "k') OR 1=1; DROP TABLE runs; -- \"`%"
        for run_id, loss in (("a", 2.0), ("b", 1.0), ("c", 3.0)):
            script = started(store, run_id, clock=clock, experiment=key).tags(**{key: str(loss)})
            script.params({key: loss}).points(key, [loss]).send(store)
        for kind in ("tags", "params", "metrics"):
            assert ordered(store, kind, key) == ["b", "a", "c"]
        assert len(ids(store, experiment=key)) == 3
        assert ids(store, experiment="k') OR 1=1; --") == ids(store, id_like="' OR 1=1 --") == []
