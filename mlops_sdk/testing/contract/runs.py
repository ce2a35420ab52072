"""Runs and experiments: made, resumed, renamed, moved, thrown away and brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_sdk.entities import PARTS, RunParts, RunQuery
from mlops_sdk.journal.records import Kind
from mlops_sdk.testing.batches import Clock, WriterScript
from mlops_sdk.testing.contract.base import NAMES, StoreCase, edit, head, ids, known, part, started

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store


class Runs(StoreCase):
    """What RUN, INFO, TRASH and EXPERIMENT mean."""

    def test_run_makes_the_run_and_its_experiment(self, store: Store) -> None:
        said = {"experiment": "digits", "name": "baseline", "description": "a first try", "parent": "run-0"}
        script = started(store, **said, user="ada", host="h1", entry_point="train.py")
        found = head(store)
        assert (found.run_id, found.name, found.experiment) == ("run-1", "baseline", "digits")
        assert (found.description, found.parent) == ("a first try", "run-0")
        assert (found.user, found.host, found.entry_point) == ("ada", "h1", "train.py")
        assert (found.status, found.end_ns, found.end_reason) == ("RUNNING", None, None)
        assert (found.is_provisional, found.is_deleted) == (False, False)
        assert found.start_ns == found.heard_ns == script.clock.now_ns
        (experiment,) = store.experiments()
        assert (experiment.name, experiment.n_runs, experiment.is_deleted) == ("digits", 1, False)
        assert experiment.created_ns == script.clock.now_ns

    def test_an_owner_resumes_a_run_and_its_name_stays(self, store: Store, clock: Clock) -> None:
        first = started(store, writer_id="one", clock=clock, name="first", description="of the first")
        first.status("FAILED", end_reason="exception").send(store)
        before = head(store)
        started(store, writer_id="two", clock=clock, name="second", description="of the second")
        after = head(store)
        assert (after.status, after.end_ns, after.end_reason) == ("RUNNING", None, None)
        assert (after.name, after.description) == ("first", "of the first")
        assert after.start_ns == before.start_ns
        assert after.heard_ns == clock.now_ns

    def test_an_attached_writer_changes_nothing_of_a_run_that_is_there(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock).status("FINISHED").send(store)
        before = head(store)
        started(store, writer_id="two", clock=clock, role="attached", name="second", experiment="another", from_step=0)
        after = head(store)
        assert (after.status, after.end_ns, after.name) == ("FINISHED", before.end_ns, before.name)
        assert (after.experiment, after.start_ns) == (before.experiment, before.start_ns)
        assert [each.name for each in store.experiments()] == ["tests"]

    def test_an_attached_writer_may_be_the_first_to_arrive(self, store: Store, clock: Clock) -> None:
        attached = started(store, writer_id="two", clock=clock, role="attached", name="n").points("loss", [1.0])
        attached.send(store)
        assert (head(store).status, head(store).name) == ("RUNNING", "n")
        started(store, writer_id="one", clock=clock).status("FINISHED").send(store)
        assert head(store).status == "FINISHED"
        assert part(store, "metrics")["loss"].last == 1.0

    def test_the_first_owner_names_what_an_attached_writer_created(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="worker", role="attached", clock=clock, name="made-up", experiment="default")
        started(store, writer_id="owner", clock=clock, name="mine", experiment="digits", entry_point="train.py")
        found = head(store)
        assert (found.name, found.experiment, found.entry_point) == ("mine", "digits", "train.py")
        started(store, writer_id="second", clock=clock, name="other", experiment="letters")
        assert (head(store).name, head(store).experiment) == ("mine", "digits")
        assert "letters" not in {experiment.name for experiment in store.experiments()}

    def test_info_replaces_what_it_gives(self, store: Store, clock: Clock) -> None:
        started(store, clock=clock, description="before")
        edit(store, "run-1", Kind.INFO, {"name": "renamed"}, clock=clock)
        assert (head(store).name, head(store).description) == ("renamed", "before")
        edit(store, "run-1", Kind.INFO, {"description": ""}, clock=clock)
        assert (head(store).name, head(store).description) == ("renamed", "")

    def test_info_moves_the_run_to_an_experiment(self, store: Store, clock: Clock) -> None:
        started(store, clock=clock, experiment="from")
        edit(store, "run-1", Kind.INFO, {"experiment": "to"}, clock=clock)
        assert head(store).experiment == "to"
        assert ids(store, experiment="to") == ["run-1"]
        assert ids(store, experiment="from") == []
        assert [(each.name, each.n_runs) for each in store.experiments()] == [("from", 0), ("to", 1)]

    def test_a_change_from_outside_touches_neither_status_nor_times(self, store: Store, clock: Clock) -> None:
        started(store, clock=clock).status("FINISHED").send(store)
        before = head(store)
        edit(store, "run-1", Kind.TAGS, {"set": {"a": "b"}}, clock=clock)
        edit(store, "run-1", Kind.INFO, {"description": "good"}, clock=clock)
        after = head(store)
        assert part(store, "tags") == {"a": "b"}
        assert (after.status, after.end_ns, after.heard_ns) == (before.status, before.end_ns, before.heard_ns)
        assert [state.role for state in part(store, "writers") if state.role != "editor"] == ["owner"]

    def test_the_trash_hides_a_run_and_gives_it_back(self, store: Store, clock: Clock) -> None:
        started(store, "kept", clock=clock)
        started(store, "gone", clock=clock).points("loss", [1.0]).send(store)
        edit(store, "gone", Kind.TRASH, {"deleted": True}, clock=clock)
        assert ids(store) == ["kept"]
        assert ids(store, deleted=True) == ["gone"]
        assert ids(store, deleted=None) == ["gone", "kept"]
        assert head(store, "gone").is_deleted
        assert store.series("gone", "loss").value.tolist() == [1.0]
        edit(store, "gone", Kind.TRASH, {"deleted": False}, clock=clock)
        assert ids(store) == ["gone", "kept"]
        assert ids(store, deleted=True) == []

    def test_late_records_of_a_deleted_run_are_kept_and_do_not_revive_it(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock)
        edit(store, "run-1", Kind.TRASH, {"deleted": True}, clock=clock)
        script.points("loss", [1.0]).tags(late="yes").status("FINISHED")
        assert script.send(store) == script.last
        assert (ids(store), ids(store, deleted=True)) == ([], ["run-1"])
        assert part(store, "tags") == {"late": "yes"}
        edit(store, "run-1", Kind.TRASH, {"deleted": False}, clock=clock)
        assert store.series("run-1", "loss").value.tolist() == [1.0]
        assert head(store).status == "FINISHED"

    def test_experiments_are_made_deleted_and_restored(self, store: Store, clock: Clock) -> None:
        edit(store, "", Kind.EXPERIMENT, {"name": "b", "deleted": False}, clock=clock)
        made_ns = clock.now_ns
        started(store, clock=clock, experiment="a")
        assert [(each.name, each.n_runs) for each in store.experiments()] == [("a", 1), ("b", 0)]
        edit(store, "", Kind.EXPERIMENT, {"name": "b", "deleted": True}, clock=clock)
        assert [each.name for each in store.experiments()] == ["a"]
        assert [each.name for each in store.experiments(deleted=True)] == ["b"]
        assert [each.is_deleted for each in store.experiments(deleted=None)] == [False, True]
        edit(store, "", Kind.EXPERIMENT, {"name": "b", "deleted": False}, clock=clock)
        restored = store.experiments()[1]
        assert (restored.name, restored.is_deleted, restored.created_ns) == ("b", False, made_ns)
        assert store.find(RunQuery(experiment="b", deleted=None)) == []

    def test_load_gives_the_parts_asked_for_and_no_others(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock).params({"lr": 1}).tags(a="b").points("loss", [1.0])
        script.event(Kind.ARTIFACT, {"path": "a", "sha256": "0" * 64, "size_bytes": 3})
        script.event(Kind.DATASET, {"name": "d"}).event(Kind.ENVIRONMENT, {"argv": ["x"]})
        script.event(Kind.DEFINE, {"key": "loss", "mode": "min"})
        script.event(Kind.WARNING, {"cause": "c", "count": 1, "message": "m"}).send(store)
        started(store, "child", clock=clock, parent="run-1")
        names = {"params": ["params", "config"], "metrics": ["metrics", "definitions"]}
        for asked in PARTS:
            loaded = store.load(["run-1"], [asked])["run-1"]
            filled = [name for name in RunParts.__slots__ if len(getattr(loaded, name))]
            assert filled == names.get(asked, [asked])
        everything = store.load(["run-1"], PARTS)["run-1"]
        assert all(len(getattr(everything, name)) for name in RunParts.__slots__)

    def test_load_leaves_unknown_ids_out(self, store: Store, clock: Clock) -> None:
        for number in range(3):
            started(store, f"run-{number}", clock=clock).tags(number=str(number)).send(store)
        edit(store, "run-2", Kind.TRASH, {"deleted": True}, clock=clock)
        loaded = store.load(["run-2", "nobody", "run-0"], ["tags"])
        assert {run_id: parts.tags for run_id, parts in loaded.items()} == {
            "run-2": {"number": "2"},
            "run-0": {"number": "0"},
        }
        assert store.load([], ["tags"]) == {}

    def test_load_of_many_runs(self, store: Store, clock: Clock) -> None:
        script_of = {f"run-{number}": WriterScript(f"run-{number}", clock=clock) for number in range(300)}
        for number, script in enumerate(script_of.values()):
            script.run().params({"number": number}).send(store)
        loaded = store.load(list(script_of), ["params"])
        assert [loaded[run_id].params["number"] for run_id in script_of] == list(range(300))

    def test_children_are_the_runs_with_that_parent(self, store: Store, clock: Clock) -> None:
        started(store, "parent", clock=clock)
        started(store, "one", clock=clock, parent="parent")
        started(store, "two", clock=clock, parent="parent")
        started(store, "grandchild", clock=clock, parent="one")
        assert sorted(part(store, "children", "parent")) == ["one", "two"]
        assert sorted(part(store, "children", "one")) == ["grandchild"]
        assert sorted(ids(store, parent="parent")) == ["one", "two"]
        assert head(store, "grandchild").parent == "one"

    def test_runs_and_experiments_are_called_what_they_were_called(self, store: Store, clock: Clock) -> None:
        for number, name in enumerate(NAMES):
            run_id = f"{name[:30]} {number}"
            said = {"experiment": name, "name": name, "description": name, "user": name}
            script = WriterScript(run_id, f"writer {name}", clock=clock, host=name).run(**said)
            script.send(store)
            found = head(store, run_id)
            assert (found.run_id, found.experiment, found.name) == (run_id, name, name)
            assert (found.description, found.user) == (name, name)
            assert (known(store, script).writer_id, known(store, script).host) == (f"writer {name}", name)
            assert ids(store, experiment=name) == [run_id]
        assert [each.name for each in store.experiments()] == sorted(NAMES)
