"""`find`: which runs, in which order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from mlops_sdk.entities import OrderBy
from mlops_sdk.journal.records import Kind
from mlops_sdk.testing.batches import Clock
from mlops_sdk.testing.contract.base import StoreCase, edit, ids, started

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

NAN, INF = math.nan, math.inf
SUMMARIES = ["first", "last", "min", "max", "mean", "count", "last_step"]


def ordered(store: Store, kind: Any, key: str, *, descending: bool = False, summary: str = "last") -> list[str]:
    """Ids in the order of one term."""
    return ids(store, order_by=(OrderBy(kind, key, summary, descending),))


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

    @pytest.mark.parametrize("key", ["run_id", "name", "experiment", "user", "host", "entry_point", "description"])
    def test_order_by_what_a_run_said_of_itself(self, store: Store, clock: Clock, key: str) -> None:
        for run_id, text in (("b", "beta"), ("c", "Gamma"), ("a", "alpha"), ("d", "\u03b4")):
            said: dict[str, Any] = {"name": text, "experiment": text, "user": text, "entry_point": text}
            started(store, run_id, clock=clock).event(Kind.INFO, {"description": text})
            started(store, run_id, f"2 {run_id}", clock=clock)
            edit(store, run_id, Kind.INFO, {"name": text, "experiment": text, "description": text}, clock=clock)
            said["host"] = text
            if key in ("user", "host", "entry_point"):
                run_id = f"{run_id} itself"
                started(store, run_id, clock=clock, **said)
        expected = ["a", "b", "c", "d"] if key == "run_id" else ["c", "a", "b", "d"]
        found = [run_id for run_id in ordered(store, "attribute", key)]
        assert found == expected
    # placeholder, rewritten below
