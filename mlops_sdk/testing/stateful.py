"""`StoreMachine`: random programs of several writers, told to a store and to `MemoryStore`, which must agree.

Every record reaches the model alone, and the store in batches that are cut, repeated and overlapped at random.
"""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from mlops_sdk.conditions import SUMMARIES, Compare, Condition, Every, Field, IsNull, Like, Not, OneOf, Some
from mlops_sdk.entities import OrderBy, RunQuery
from mlops_sdk.errors import SequenceGapError
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.testing.batches import START_NS, Clock, WriterScript
from mlops_sdk.testing.observing import differences, observe, plain

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

KEYS = ("loss", "val/loss", "\u635f\u5931")
RUN_IDS = st.sampled_from(["run-1", "run-2", "run-3"])
NAMES = st.sampled_from(["a", "b", "caf\u00e9", "cafe\u0301"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SMALL = st.integers(0, 9)
STATUSES = st.sampled_from(["FINISHED", "FAILED", "KILLED"])
VALUES = st.one_of(
    st.floats(-1e300, 1e300),
    st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan")]),
    st.floats(-2, 2),
)
# few steps and times, so that points share them
POINTS = st.lists(st.tuples(st.integers(-2, 5), VALUES, st.sampled_from([None, None, 0, 1])), min_size=1, max_size=12)
PARAMS = st.fixed_dictionaries(
    {}, optional={"number": SMALL | st.floats(), "text": TEXTS, "list": st.lists(SMALL, max_size=2), "none": st.none()}
)
ORDERS = st.lists(
    st.one_of(
        st.builds(
            OrderBy, st.just("attribute"), st.sampled_from(["start_ns", "end_ns", "status", "name", "experiment"])
        ),
        st.builds(OrderBy, st.just("params"), st.sampled_from(["number", "text"])),
        st.builds(OrderBy, st.just("tags"), NAMES),
        st.builds(OrderBy, st.just("metrics"), st.sampled_from(KEYS), st.sampled_from(["last", "min", "max", "count"])),
    ).flatmap(lambda term: st.builds(OrderBy, *map(st.just, (term.kind, term.key, term.summary)), st.booleans())),
    max_size=2,
)
_EXACT = tuple(part for part in SUMMARIES if part != "mean")  # stores may round a mean differently
FIELDS = st.one_of(
    st.builds(Field, st.just("attribute"), st.sampled_from(["name", "status", "experiment", "root", "parent", "user"])),
    st.builds(Field, st.just("params"), st.sampled_from(["number", "text", "list", "none"])),
    st.builds(Field, st.just("tags"), NAMES),
    st.builds(
        Field, st.just("metrics"), st.sampled_from(KEYS), st.sampled_from(_EXACT), st.sampled_from(["max", None])
    ),
)
LEAVES = st.one_of(
    st.builds(Compare, FIELDS, st.sampled_from(["=", "<", "<=", ">", ">="]), st.one_of(SMALL, VALUES, TEXTS, NAMES)),
    st.builds(OneOf, FIELDS, st.lists(st.one_of(SMALL, TEXTS, NAMES, st.booleans()), max_size=3).map(tuple)),
    st.builds(Like, FIELDS, st.sampled_from(["%", "_", "a%", "run-_", "%\u00e9"]), st.booleans()),
    st.builds(IsNull, FIELDS),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner), *(st.builds(join, st.tuples(inner, inner)) for join in (Every, Some))
    ),
    max_leaves=4,
)
QUERIES = st.builds(
    RunQuery,
    where=st.none() | CONDITIONS,
    experiment=st.none() | NAMES,
    id_like=st.none() | st.sampled_from(["run-", "un-1", "run-3", "run_1", "cafe\u0301"]),
    deleted=st.sampled_from([False, True, None]),
    order_by=ORDERS.map(tuple),
    limit=st.none() | st.integers(0, 3),
    offset=st.integers(0, 2),
)
ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        "seeds": st.dictionaries(NAMES, SMALL, max_size=2),
        "packages": SMALL.map(lambda number: {"digest": f"d{number}", "versions": {"numpy": f"{number}"}}),
        "git": st.fixed_dictionaries({"commit": TEXTS, "branch": NAMES, "dirty": st.booleans()}),
    },
)
SAYINGS: st.SearchStrategy[tuple[int, Any]] = st.one_of(
    st.tuples(st.just(Kind.TAGS), st.fixed_dictionaries({"set": st.dictionaries(NAMES, TEXTS, max_size=2)})),
    st.tuples(st.just(Kind.TAGS), st.fixed_dictionaries({"delete": st.lists(NAMES, max_size=2)})),
    st.tuples(st.just(Kind.INFO), st.fixed_dictionaries({}, optional={"name": NAMES, "description": TEXTS})),
    st.tuples(
        st.just(Kind.ARTIFACT),
        st.fixed_dictionaries({"path": NAMES, "sha256": st.just("0" * 64), "size_bytes": SMALL, "step": SMALL}),
    ),
    st.tuples(st.just(Kind.DATASET), st.fixed_dictionaries({"name": NAMES, "profile": st.lists(VALUES, max_size=2)})),
    st.tuples(
        st.just(Kind.DEFINE),
        st.fixed_dictionaries({"key": st.sampled_from(KEYS), "mode": st.sampled_from(["max", "min", None, "up"])}),
    ),
    st.tuples(
        st.just(Kind.STATUS),
        st.fixed_dictionaries({"status": STATUSES, "end_reason": st.none() | TEXTS}, optional={"traceback": TEXTS}),
    ),
    st.tuples(st.just(Kind.ENVIRONMENT), ENVIRONMENTS),
    st.tuples(st.just(Kind.HEARTBEAT), st.just({})),
    st.tuples(st.just(Kind.DROPPED), st.fixed_dictionaries({"total": SMALL})),
    st.tuples(
        st.just(Kind.WARNING),
        st.fixed_dictionaries({"cause": NAMES, "count": st.integers(1, 9)}).map(
            lambda said: {**said, "message": f"{said['cause']}, {said['count']} times"}
        ),
    ),
    st.tuples(st.sampled_from([77, 2**30]), st.just({})),
)
EDITS: st.SearchStrategy[tuple[int, Any]] = st.one_of(
    st.tuples(st.just(Kind.TAGS), st.fixed_dictionaries({"set": st.dictionaries(NAMES, TEXTS, max_size=2)})),
    st.tuples(st.just(Kind.INFO), st.fixed_dictionaries({}, optional={"name": NAMES, "experiment": NAMES})),
    st.tuples(st.just(Kind.TRASH), st.fixed_dictionaries({"deleted": st.booleans()})),
    st.tuples(st.just(Kind.EXPERIMENT), st.fixed_dictionaries({"name": NAMES, "deleted": st.booleans()})),
)


class StoreMachine(RuleBasedStateMachine):
    """Programs of several writers that start, resume, rewind, attach, log, end, die and are thrown away.

    Subclass it and define `open_store`; then ``TestMyPrograms = programs(MyMachine)`` is a test.

    Attributes
    ----------
    survives_reopen : bool
        See `StoreContract`.
    slowness : int
        How many times fewer programs are tried than the hypothesis profile says.
    shrinks : bool
        Make a program that fails as small as can be before it is shown; that takes minutes.
    """

    survives_reopen = True
    slowness = 8
    shrinks = False

    writers = Bundle("writers")

    def open_store(self, tmp_path: Path) -> Store:
        """Open the store of the directory `tmp_path`: a new one at first, later the same again."""
        raise NotImplementedError("define open_store(self, tmp_path) -> Store")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="mlops-machine-", ignore_cleanup_errors=True)
        self.model = MemoryStore()
        self.store = self.open_store(Path(self.directory.name))
        self.clock = Clock()
        self.scripts: list[WriterScript] = []
        self.n_sent: dict[str, int] = {}

    # -- writers ---------------------------------------------------------------------------------------------------

    @rule(
        target=writers,
        run_id=RUN_IDS,
        role=st.sampled_from(["owner", "owner", "attached"]),
        rank=st.sampled_from([None, 0, 1]),
        from_step=st.none() | st.integers(-1, 4),
        fields=st.fixed_dictionaries({"experiment": NAMES}, optional={"name": NAMES, "parent": RUN_IDS}),
    )
    def start(self, run_id: str, role: str, rank: int | None, from_step: int | None, fields: Any) -> WriterScript:
        """A writer begins: the first of the run, or one that resumes, rewinds or attaches."""
        script = WriterScript(run_id, f"writer {len(self.scripts)}", clock=self.clock, role=role, rank=rank)
        script.run(**fields, from_step=from_step if run_id in self._run_ids() else None)
        self.scripts.append(script)
        return script

    @rule(script=writers, key=st.sampled_from(KEYS), points=POINTS)
    def log(self, script: WriterScript, key: str, points: list[tuple[int, float, int | None]]) -> None:
        """Points in any order, with times of their own or not."""
        for step, value, time in points:
            script.points(key, [value], steps=[step], times_ns=None if time is None else [START_NS + time])

    @rule(script=writers, saying=SAYINGS)
    def say(self, script: WriterScript, saying: tuple[int, Any]) -> None:
        """Anything but points and params."""
        script.event(*saying)

    @rule(script=writers, params=PARAMS, overwrite=st.booleans())
    def set_params(self, script: WriterScript, params: dict[str, Any], overwrite: bool) -> None:
        """One record a param, as conflicts are settled for each."""
        for key, value in params.items():
            script.params({key: value}, overwrite=overwrite, config={})
        script.event(Kind.PARAMS, {"params": [], "config": params})

    # -- delivery --------------------------------------------------------------------------------------------------

    @rule(script=writers, count=st.integers(1, 30))
    def deliver(self, script: WriterScript, count: int) -> None:
        """The next records arrive."""
        self._send(script, self._sent(script), self._sent(script) + count)

    @rule(script=writers, back=st.integers(0, 8), count=st.integers(0, 12))
    def deliver_again(self, script: WriterScript, back: int, count: int) -> None:
        """Some arrive again, perhaps with new ones behind them."""
        start = max(0, self._sent(script) - back)
        self._send(script, start, start + count)

    @rule(script=writers, gap=st.integers(1, 3))
    def deliver_too_far(self, script: WriterScript, gap: int) -> None:
        """Records before these are missing."""
        records = script.records[self._sent(script) + gap :]
        if not records:
            return
        batch = script.between(records[0][0], records[-1][0])
        refusals = []
        for store in (self.model, self.store):
            try:
                store.append(batch)
            except SequenceGapError as error:
                refusals.append(error.expected)
        expected = script.records[self._sent(script)][0]
        assert refusals == [expected, expected]

    # -- from outside ----------------------------------------------------------------------------------------------

    @rule(run_id=RUN_IDS, change=EDITS)
    def edit(self, run_id: str, change: tuple[int, Any]) -> None:
        """Somebody changes a run, there or not."""
        self._edit("" if change[0] == Kind.EXPERIMENT else run_id, change)

    @rule(script=writers, status=STATUSES, dropped=SMALL)
    def find_dead(self, script: WriterScript, status: str, dropped: int) -> None:
        """Somebody finds a writer dead, rightly or not."""
        payload = {"writer": script.header.writer_id, "status": status, "end_reason": "lost:process"}
        self._edit(script.header.run_id, (Kind.LOST, {**payload, "dropped": dropped}))

    @rule(run_id=RUN_IDS)
    def settle(self, run_id: str) -> None:
        """Housekeeping."""
        self.store.settle(run_id)

    @rule()
    def reopen(self) -> None:
        """Everything is closed and opened again."""
        if self.survives_reopen:
            self.store.close()
            self.store = self.open_store(Path(self.directory.name))

    # -- agreement -------------------------------------------------------------------------------------------------

    @rule(query=QUERIES)
    def find(self, query: RunQuery) -> None:
        """Both find the same runs in the same order."""
        expected, found = self.model.find(query), self.store.find(query)
        assert [head.run_id for head in found] == [head.run_id for head in expected]

    @rule()
    def compare(self) -> None:
        """Both tell their readers the same."""
        assert differences(observe(self.model, keys=KEYS), observe(self.store, keys=KEYS)) == []
        for script in self.scripts:
            writer_id = script.header.writer_id
            expected, found = self.model.acknowledged(writer_id), self.store.acknowledged(writer_id)
            assert differences(plain(expected), plain(found)) == []

    def teardown(self) -> None:
        """Deliver what is left, compare, and clean up."""
        try:
            for script in self.scripts:
                self._send(script, self._sent(script), len(script.records))
            self.compare()
        finally:
            self.store.close()
            self.model.close()
            self.directory.cleanup()

    def _run_ids(self) -> list[str]:
        return [head.run_id for head in self.model.find(RunQuery(deleted=None))]

    def _sent(self, script: WriterScript) -> int:
        return self.n_sent.get(script.header.writer_id, 0)

    def _send(self, script: WriterScript, start: int, end: int) -> None:
        """Records by their position: one by one to the model, in one batch to the store."""
        numbers = [number for number, _ in script.records[start:end]]
        if not numbers:
            return
        answers = [self.model.append(script.between(number, number)) for number in numbers]
        assert self.store.append(script.between(numbers[0], numbers[-1])) == answers[-1]
        self.n_sent[script.header.writer_id] = max(self._sent(script), start + len(numbers))

    def _edit(self, run_id: str, change: tuple[int, Any]) -> None:
        editor = WriterScript(run_id, f"editor {len(self.scripts)}", clock=self.clock, role="editor").event(*change)
        self.scripts.append(editor)
        self._send(editor, 0, 1)


def programs(machine: type[StoreMachine]) -> type[unittest.TestCase]:
    """Make a test case of a machine; the hypothesis profile, and `slowness`, say how many programs it tries."""
    test: type[unittest.TestCase] = machine.TestCase
    profile = settings()
    slow = () if machine.shrinks else (Phase.shrink, Phase.explain)
    test.settings = settings(  # type: ignore[attr-defined]
        profile,
        max_examples=max(1, profile.max_examples // machine.slowness),
        stateful_step_count=40,
        phases=[phase for phase in profile.phases if phase not in slow],
        report_multiple_bugs=False,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],  # stores write to disks
    )
    return test
