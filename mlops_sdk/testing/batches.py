"""`WriterScript`: the batches that a writer would send, without a journal, a disk or a clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.journal.records import SLOT_BYTES, Batch, Kind, WriterHeader, encode_frame, encode_point
from mlops_sdk.values.params import encode_param

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

START_NS = 1_750_000_000_123_456_789
"""Where clocks begin: a time that float64 cannot hold."""

TICK_NS = 1_000_003


class Clock:
    """A wall clock that goes on by one tick whenever it is read; writers of one test share one.

    Parameters
    ----------
    now_ns : int
        Nanoseconds since the Unix epoch.
    tick_ns : int
    """

    def __init__(self, now_ns: int = START_NS, tick_ns: int = TICK_NS) -> None:
        self.now_ns = now_ns
        self.tick_ns = tick_ns

    def __call__(self) -> int:
        self.now_ns += self.tick_ns
        return self.now_ns


class WriterScript:
    """A writer that says what it is told to, and sends it when it is told to.

    Every method that logs returns the script, so that calls chain; nothing is sent before `batch` (or `send`).

    Parameters
    ----------
    run_id : str
    writer_id : str, optional
        Default: one that belongs to the run's only writer.
    clock : Clock, optional
        Default: one of its own.
    **header
        Further fields of `WriterHeader`: role, rank, host, boot_id, pid.

    Attributes
    ----------
    header : WriterHeader
    clock : Clock
    last : int
        Number of the last slot logged; 0 before any.
    records : list of (int, bytes)
        Every record so far with the number of its first slot.

    Examples
    --------
    >>> from mlops_sdk.stores.memory import MemoryStore
    >>> store = MemoryStore()
    >>> script = WriterScript("r1").run().params({"C": 1.0}).points("loss", [0.5, 0.25])
    >>> store.append(script.batch()) == script.last
    True
    >>> store.series("r1", "loss").value.tolist()
    [0.5, 0.25]
    """

    def __init__(self, run_id: str, writer_id: str | None = None, *, clock: Clock | None = None, **header: Any) -> None:
        header.setdefault("clock_offset_ns", START_NS)
        self.header = WriterHeader(run_id, writer_id or f"writer of {run_id}", **header)
        self.clock = clock or Clock()
        self.last = 0
        self.records: list[tuple[int, bytes]] = []
        self._sent = 0
        self._keys: dict[str, int] = {}
        self._steps: dict[str, int] = {}

    # -- logging ---------------------------------------------------------------------------------------------------

    def event(self, kind: int, payload: Any, *, time_ns: int | None = None) -> WriterScript:
        """Log a framed record; `time_ns` is wall time, the clock's when left out."""
        time = (self.clock() if time_ns is None else time_ns) - self.header.clock_offset_ns
        return self.record(encode_frame(kind, time, payload, self.header.seed))

    def point(self, key_id: int, step: int, value: float, *, time_ns: int | None = None) -> WriterScript:
        """Log one point under a key id, whether or not that was defined."""
        time = (self.clock() if time_ns is None else time_ns) - self.header.clock_offset_ns
        return self.record(encode_point(key_id, time, step, value, self.header.seed))

    def record(self, record: bytes) -> WriterScript:
        """Log bytes as they stand: a whole number of slots, with a checksum of this writer's."""
        self.records.append((self.last + 1, record))
        self.last += len(record) // SLOT_BYTES
        return self

    def key(self, name: str) -> int:
        """Id of a metric; logs its definition on first use, as a writer does."""
        if name not in self._keys:
            self._keys[name] = len(self._keys) + 1
            self.event(Kind.KEY, {"id": self._keys[name], "name": name})
        return self._keys[name]

    def points(
        self,
        key: str,
        values: Iterable[float],
        *,
        steps: Iterable[int] | None = None,
        times_ns: Sequence[int] | None = None,
    ) -> WriterScript:
        """Log points of a metric.

        Parameters
        ----------
        key : str
        values : iterable of float
        steps : iterable of int, optional
            One a value; default: on from the highest so far of that key.
        times_ns : sequence of int, optional
            Wall times, one a value; default: the clock's.
        """
        key_id, values = self.key(key), list(values)
        chosen = self._next_steps(key, len(values)) if steps is None else list(steps)
        times = [None] * len(values) if times_ns is None else times_ns
        for value, step, time_ns in zip(values, chosen, times, strict=True):
            self.point(key_id, step, value, time_ns=time_ns)
        self._steps[key] = max([self._steps.get(key, -1), *chosen])
        return self

    def run(self, **fields: Any) -> WriterScript:
        """Log RUN: the first record of a writer."""
        named = {"experiment": "tests", "name": f"name of {self.header.run_id}"}
        return self.event(Kind.RUN, {**named, **fields})

    def params(
        self, values: Mapping[str, Any], *, overwrite: bool = False, config: Mapping[str, Any] | None = None
    ) -> WriterScript:
        """Log PARAMS: flat values; `config` is the nested original, the same as `values` when left out."""
        encoded = {key: encode_param(value) for key, value in values.items()}
        entries = [[key, each.kind, each.text, each.number] for key, each in encoded.items()]
        payload = {"params": entries, "overwrite": overwrite, "config": dict(values if config is None else config)}
        return self.event(Kind.PARAMS, payload)

    def tags(self, *delete: str, **values: str) -> WriterScript:
        """Log TAGS: keys to delete, and values to set."""
        return self.event(Kind.TAGS, {"set": values, "delete": list(delete)})

    def status(self, status: str = "FINISHED", **fields: Any) -> WriterScript:
        """Log STATUS: the writer's ending."""
        return self.event(Kind.STATUS, {"status": status, **fields})

    # -- sending ---------------------------------------------------------------------------------------------------

    def batch(self) -> Batch:
        """Everything logged since the last call."""
        first, self._sent = self._sent + 1, self.last
        return self.between(first, self.last)

    def send(self, store: Store) -> int:
        """Append what was logged since the last `batch` or `send` to `store`."""
        return store.append(self.batch())

    def between(self, first: int, last: int) -> Batch:
        """The records whose first slots have the numbers `first` to `last`, sent before or not."""
        chosen = [(number, data) for number, data in self.records if first <= number <= last]
        number = chosen[0][0] if chosen else first
        return Batch(self.header, number, b"".join(data for _, data in chosen))

    def batches(self, *sizes: int) -> list[Batch]:
        """Everything, in batches of so many records each (the rest in a last one), sent before or not."""
        batches, start = [], 0
        for size in [*sizes, len(self.records)]:
            chosen = self.records[start : start + size]
            if chosen:
                batches.append(Batch(self.header, chosen[0][0], b"".join(data for _, data in chosen)))
            start += size
        return batches

    def _next_steps(self, key: str, count: int) -> list[int]:
        first = self._steps.get(key, -1) + 1
        return list(range(first, first + count))
