"""Params, tags, artifacts, datasets, definitions, environments, warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_sdk.journal.records import Kind
from mlops_sdk.testing.batches import Clock
from mlops_sdk.testing.contract.base import NAMES, StoreCase, edit, head, known, part, started
from mlops_sdk.testing.observing import plain

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

DIGEST = "0123456789abcdef" * 4

PARAMS: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "beyond float": 2**53 + 1,
    "64 bits": -(2**63),
    "beyond 64 bits": 2**63,
    "huge": 10**4000,
    "float": 0.1,
    "float of an int": 1.0,
    "minus zero": -0.0,
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "subnormal": 5e-324,
    "greatest": 1.7976931348623157e308,
    "empty": "",
    "text of an int": "1",
    "text of a bool": "True",
    "text of none": "None",
    "text of nan": "nan",
    "text": "\u635f\u5931 \U0001f525 caf\u00e9 cafe\u0301 \t\r\n '\"`;--",
    "list": [1, 2.5, None, "a", [True]],
    "mapping": {"b": 1, "a": {"c": [0.1]}},
    "empty list": [],
}
"""One value of every type and edge."""

DIFFERENT: dict[str, tuple[Any, Any]] = {
    "ints": (1, 2),
    "floats": (0.1, 0.2),
    "texts": ("a", "A"),
    "lists": ([1], [2]),
    "an int and its text": (1, "1"),
    "none and its text": (None, "None"),
    "a number and a list": (0.5, [0.5]),
    "beyond float": (2**53, 2**53 + 1),
    "beyond 64 bits": (2**70, 2**70 + 1),
}
"""Pairs of values that are not the same."""


class Details(StoreCase):
    """What PARAMS, TAGS, ARTIFACT, DATASET, DEFINE, ENVIRONMENT, DROPPED and WARNING mean."""

    def test_params_come_back_with_their_type(self, store: Store) -> None:
        started(store).params(PARAMS, config={}).send(store)
        found = part(store, "params")
        assert {key: plain(value) for key, value in found.items()} == {
            key: plain(value) for key, value in PARAMS.items()
        }

    def test_a_different_value_for_a_set_param_is_rejected(self, store: Store) -> None:
        script = started(store).params({key: old for key, (old, _) in DIFFERENT.items()}, config={})
        script.send(store)
        for key, (_, new) in DIFFERENT.items():
            script.params({key: new}, config={})
        script.params({"after": 5}, config={})
        assert script.send(store) == script.last
        expected = {key: plain(old) for key, (old, _) in DIFFERENT.items()}
        assert plain(part(store, "params")) == {**expected, "after": plain(5)}

    def test_of_two_writers_params_the_one_that_arrives_first_stands(self, store: Store, clock: Clock) -> None:
        one = started(store, writer_id="one", clock=clock)
        two = started(store, writer_id="two", clock=clock, role="attached")
        one.params({"lr": 1, "of one": 1}, config={}).send(store)
        two.params({"lr": 2}, config={}).params({"of two": 2}, config={}).send(store)
        assert part(store, "params") == {"lr": 1, "of one": 1, "of two": 2}

    def test_overwriting_replaces_value_and_type(self, store: Store) -> None:
        script = started(store).params({key: old for key, (old, _) in DIFFERENT.items()}, config={})
        script.params({key: new for key, (_, new) in DIFFERENT.items()}, config={}, overwrite=True).send(store)
        assert plain(part(store, "params")) == {key: plain(new) for key, (_, new) in DIFFERENT.items()}

    def test_equal_values_are_no_conflict(self, store: Store) -> None:
        first = {"int": 1, "float": 2.0, "nan": float("nan"), "list": [1, 2], "none": None, "text": "a", "huge": 2**53}
        again = {**first, "int": 1.0, "float": 2, "huge": 2.0**53}
        script = started(store).params(first, config={}).params(again, config={}).params(first, config={})
        script.send(store)
        assert part(store, "params").keys() == first.keys()
        assert {key: plain(value) for key, value in part(store, "params").items()} == {
            key: plain(value) for key, value in first.items()
        }

    def test_config_is_merged_at_its_top_level(self, store: Store) -> None:
        script = started(store).params({}, config={"model": {"depth": 3, "width": 8}, "lr": 0.1})
        script.params({}, config={"model": {"depth": 4}, "seed": [1, None]}).send(store)
        assert part(store, "config") == {"model": {"depth": 4}, "lr": 0.1, "seed": [1, None]}

    def test_of_two_tags_the_later_wins(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock).tags(a="1", b="1", c="1").tags("b", a="2").tags("c").tags("never set")
        script.send(store)
        assert part(store, "tags") == {"a": "2"}
        edit(store, "run-1", Kind.TAGS, {"set": {"a": "3", "b": "3"}}, clock=clock)
        assert part(store, "tags") == {"a": "3", "b": "3"}
        script.tags("a", b="").send(store)
        assert part(store, "tags") == {"b": ""}

    def test_an_artifact_logged_again_is_a_new_version(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock)
        for size_bytes, path in enumerate(["a", "b", "a", "a"]):
            script.event(Kind.ARTIFACT, {"path": path, "sha256": DIGEST, "size_bytes": size_bytes})
        script.send(store)
        said = {"media_type": "text/html", "step": 7, "metadata": {"kind": "report", "of": [1, None]}}
        other = started(store, writer_id="two", clock=clock, role="attached")
        other.event(Kind.ARTIFACT, {"path": "b", "sha256": DIGEST[::-1], "size_bytes": 2**40, **said}).send(store)
        assert [ref.path for ref in part(store, "artifacts")] == ["a", "b", "a", "a", "b"]
        found = {(ref.path, ref.version): ref for ref in part(store, "artifacts")}
        assert [(path, version, found[path, version].size_bytes) for path, version in sorted(found)] == [
            ("a", 1, 0), ("a", 2, 2), ("a", 3, 3), ("b", 1, 1), ("b", 2, 2**40)
        ]  # fmt: skip
        newest = found["b", 2]
        assert (newest.sha256, newest.media_type, newest.step) == (DIGEST[::-1], "text/html", 7)
        assert (newest.metadata, newest.error) == ({"kind": "report", "of": [1, None]}, None)
        assert (found["a", 1].step, found["a", 1].metadata) == (None, {})

    def test_datasets_are_kept_as_they_are_in_order(self, store: Store) -> None:
        said = [
            {"name": "train", "context": "train", "digest": DIGEST, "profile": {"n_rows": 3, "mean": 0.1, "x": None}},
            {"name": "test", "context": "test", "digest": DIGEST},
            {"name": "train", "context": "train", "digest": DIGEST},
        ]
        script = started(store)
        for dataset in said:
            script.event(Kind.DATASET, dataset)
        script.send(store)
        assert list(part(store, "datasets")) == said

    def test_a_definition_replaces_what_was_said_of_the_metric(self, store: Store) -> None:
        script = started(store).event(Kind.DEFINE, {"key": "loss", "mode": "min", "unit": "nats", "x": "epoch"})
        script.event(Kind.DEFINE, {"key": "accuracy", "mode": "max", "unit": None, "x": None}).send(store)
        definition = part(store, "definitions")["loss"]
        assert (definition.key, definition.mode, definition.unit, definition.x) == ("loss", "min", "nats", "epoch")
        script.event(Kind.DEFINE, {"key": "loss", "mode": "max", "unit": None, "x": None}).send(store)
        replaced = part(store, "definitions")["loss"]
        assert (replaced.mode, replaced.unit, replaced.x) == ("max", None, None)
        assert part(store, "definitions")["accuracy"].mode == "max"
        assert part(store, "metrics") == {}

    def test_the_environment_is_merged_by_top_level_key(self, store: Store) -> None:
        script = started(store).event(Kind.ENVIRONMENT, {"argv": ["a"], "seeds": {"numpy": 1, "random": 2}})
        script.event(Kind.ENVIRONMENT, {"seeds": {"numpy": 3}, "system": {"cpus": 2, "load": 0.5}}).send(store)
        expected = {"argv": ["a"], "seeds": {"numpy": 3}, "system": {"cpus": 2, "load": 0.5}}
        assert part(store, "environment") == expected

    def test_the_commit_is_shown_with_the_run(self, store: Store) -> None:
        script = started(store)
        assert (head(store).git_commit, head(store).git_branch, head(store).git_dirty) == (None, None, None)
        script.event(Kind.ENVIRONMENT, {"git": {"commit": "c0ffee", "branch": "main", "dirty": False}}).send(store)
        assert (head(store).git_commit, head(store).git_branch, head(store).git_dirty) == ("c0ffee", "main", False)
        assert part(store, "environment")["git"] == {"commit": "c0ffee", "branch": "main", "dirty": False}

    def test_runs_share_sets_of_packages(self, store: Store, clock: Clock) -> None:
        packages = [{"digest": f"d{n}", "versions": {"numpy": f"2.{n}", "b\u00fcb": "1"}} for n in range(2)]
        for number in range(4):
            script = started(store, f"run-{number}", clock=clock)
            script.event(Kind.ENVIRONMENT, {"packages": packages[number % 2], "argv": [str(number)]}).send(store)
        for number in range(4):
            expected = {"packages": packages[number % 2], "argv": [str(number)]}
            assert part(store, "environment", f"run-{number}") == expected
        edit(store, "run-0", Kind.ENVIRONMENT, {"packages": packages[1]}, clock=clock)
        assert part(store, "environment", "run-0")["packages"] == packages[1]
        assert part(store, "environment", "run-2")["packages"] == packages[0]

    def test_the_greatest_count_of_a_warning_stands(self, store: Store) -> None:
        script = started(store)
        for count, cause in [(1, "a"), (7, "a"), (2, "b"), (3, "a")]:
            script.event(Kind.WARNING, {"cause": cause, "count": count, "message": f"{cause} {count} times"})
        script.send(store)
        found = {warning["cause"]: (warning["count"], warning["message"]) for warning in part(store, "warnings")}
        assert found == {"a": (7, "a 7 times"), "b": (2, "b 2 times")}

    def test_the_writer_counts_what_it_dropped(self, store: Store) -> None:
        script = started(store).event(Kind.DROPPED, {"total": 3})
        script.send(store)
        assert known(store, script).dropped == 3
        script.event(Kind.DROPPED, {"total": 10}).send(store)
        assert known(store, script).dropped == 10

    def test_names_are_kept_unchanged(self, store: Store) -> None:
        script = started(store)
        for name in NAMES:
            script.params({name: name}, config={name: name}).tags(**{name: name})
            script.event(Kind.ARTIFACT, {"path": name, "sha256": DIGEST, "size_bytes": 1})
            script.event(Kind.DEFINE, {"key": name, "unit": name})
        script.send(store)
        twice = {name: name for name in NAMES}
        assert part(store, "params") == part(store, "config") == part(store, "tags") == twice
        assert sorted(ref.path for ref in part(store, "artifacts")) == sorted(NAMES)
        assert {ref.version for ref in part(store, "artifacts")} == {1}
        assert {name: found.unit for name, found in part(store, "definitions").items()} == twice

    def test_what_was_read_belongs_to_the_reader(self, store: Store) -> None:
        script = started(store).params({"list": [1]}, config={"a": {"b": 1}}).event(Kind.DATASET, {"name": "d"})
        script.event(Kind.ENVIRONMENT, {"argv": ["x"]}).send(store)
        for _ in range(2):
            assert part(store, "params") == {"list": [1]}
            assert part(store, "config") == {"a": {"b": 1}}
            assert list(part(store, "datasets")) == [{"name": "d"}]
            assert part(store, "environment") == {"argv": ["x"]}
            part(store, "params")["list"].append(2)
            part(store, "config")["a"]["b"] = 2
            part(store, "datasets")[0]["name"] = "e"
            part(store, "environment")["argv"].append("y")
