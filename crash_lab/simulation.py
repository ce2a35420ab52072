"""G4 in a simulation: the courier's and the store's decisions, with a network, machines and a clock that one seed rules.

Two machines have copies of one spool and go on differently; in some seeds a third sends an old copy once more. Their
batches are cut anew at every try, lost, doubled, delayed past others, and answered into the void; the server is restarted
and forgets nothing it acknowledged, but all that was on its way; the couriers are restarted and remember nothing. After a
while the faults end, and everything has to drain. Then the multiset of records stored is the one that was logged: what the
copies have in common once, what each added once.

What decides is the real code (`mlops_sdk.courier.delivery`, `mlops_sdk.journal.acknowledging`); the rest is plain data, so
a seed takes a millisecond.

References
----------
.. [1] Zhou et al., "FoundationDB: A Distributed Unbundled Transactional Key Value Store", SIGMOD 2021, section 4.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import dataclass, field

from crash_lab.report import Findings, Task
from mlops_sdk.courier.delivery import Delivery
from mlops_sdk.errors import DivergedError, SequenceGapError
from mlops_sdk.journal.acknowledging import news
from mlops_sdk.journal.records import SLOT_BYTES, Batch, Kind, WriterHeader, decode, encode_frame, encode_point

_HEADER = WriterHeader("run", "writer")
_FAULTY_ROUNDS = 30
_CALM_ROUNDS = 200


@dataclass
class Spool:
    """A machine's journal: records in order, with the number of the first slot of each."""

    records: list[bytes]
    said: list[object]

    def after(self, sequence: int, most: int) -> Batch | None:
        """Up to `most` records behind a sequence number."""
        first, at = 1, 0
        while at < len(self.records) and first <= sequence:
            first += len(self.records[at]) // SLOT_BYTES
            at += 1
        data = b"".join(self.records[at : at + most])
        return Batch(_HEADER, first, data) if data else None


@dataclass
class Known:
    """What the server has of one writer."""

    sequence: int = 0
    history: dict[int, int] = field(default_factory=dict)
    keys: dict[int, tuple[str, int]] = field(default_factory=dict)

    def before(self, number: int) -> dict[int, str]:
        """Metric names defined before a record."""
        return {key_id: name for key_id, (name, at) in self.keys.items() if at < number}


@dataclass
class Server:
    """Applies batches; what it holds is on its disk."""

    writers: dict[str, Known] = field(default_factory=dict)
    stored: Counter[object] = field(default_factory=Counter)
    unnamed: int = 0

    def append(self, batch: Batch) -> int:
        """As `Store.append`."""
        known = self.writers.setdefault(batch.writer.writer_id, Known())
        fresh = news(batch, decode(batch), known.sequence, known.history, known.before)
        if fresh is None:
            return known.sequence
        decoded = decode(fresh)
        known.sequence = fresh.last
        known.history.update(zip(decoded.numbers, decoded.checksums, strict=True))
        known.keys |= {key_id: (name, decoded.defined[key_id]) for key_id, name in decoded.keys.items()}
        self.stored.update(
            (known.keys.get(key, ("?", 0))[0], step, value)
            for key, step, value in zip(decoded.points.key_id, decoded.points.step, decoded.points.value, strict=True)
        )
        self.unnamed += sum(key not in known.keys for key in decoded.points.key_id)
        self.stored.update(event.payload["name"] for event in decoded.events if event.kind == Kind.DATASET)
        return known.sequence


@dataclass
class Machine:
    """A courier and its spool."""

    spool: Spool
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def is_done(self) -> bool:
        """Whether the store has everything, as far as it knows."""
        return self.delivery.opening is None and self.spool.after(self.delivery.acknowledged, 1) is None


class Network:
    """Requests on their way, late copies among them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.late: list[Batch] = []
        self.is_calm = False

    def exchange(self, server: Server, machine: Machine) -> None:
        """One request of a machine, and what becomes of it."""
        chance = self._chance
        most = chance.choice((1, 1, 2, 3, 7))
        batch = machine.delivery.next(lambda sequence: machine.spool.after(sequence, most))
        if batch is None:
            return
        fate = 1.0 if self.is_calm else chance.random()
        if fate < 0.15:
            return  # lost
        if fate < 0.3:
            self.late.append(batch)  # it will arrive; its sender has given up by then
            return
        answer = _ask(server, batch)
        if fate < 0.4:
            answer = _ask(server, batch)  # doubled: the second answer is the one that is read
        if fate < 0.55:
            return  # answered into the void
        if isinstance(answer, int):
            machine.delivery.accepted(answer)
        elif isinstance(answer, DivergedError):
            machine.delivery.diverged(answer)
        else:
            machine.delivery.gap(lambda sequence: machine.spool.after(sequence, most), answer)

    def arrive(self, server: Server) -> None:
        """Something late arrives, in any order; nobody reads the answer."""
        if self.late:
            _ask(server, self.late.pop(self._chance.randrange(len(self.late))))


def _ask(server: Server, batch: Batch) -> int | DivergedError | SequenceGapError:
    try:
        return server.append(batch)
    except (DivergedError, SequenceGapError) as error:
        return error


def simulate(seed: object) -> str:
    """Run one seed; returns what is wrong, "" when nothing is."""
    chance = random.Random(f"simulation {seed}")
    machines = _machines(chance)
    server, network = Server(), Network(chance)
    for _ in range(_FAULTY_ROUNDS):
        machine = chance.choice(machines)
        event = chance.random()
        if event < 0.05:
            machine.delivery = Delivery()  # the process died: the next one starts from the spool
        elif event < 0.08:
            network.late.clear()  # the server is killed: what it had not applied is gone
        elif event < 0.25:
            network.arrive(server)
        else:
            network.exchange(server, machine)
    network.is_calm = True
    while network.late:
        network.arrive(server)
    rounds = 0
    while not all(machine.is_done for machine in machines):
        for machine in machines:
            network.exchange(server, machine)
        rounds += 1
        if rounds > _CALM_ROUNDS:
            return "it does not drain"
    expected = _expected(machines)
    if server.unnamed:
        return f"{server.unnamed} points of metrics without a name"
    if server.stored != expected:
        lost, doubled = expected - server.stored, server.stored - expected
        return f"{sum(lost.values())} lost, {sum(doubled.values())} too many: {list((lost or doubled).items())[:3]}"
    return ""


def _machines(chance: random.Random) -> list[Machine]:
    """Copies of one spool, and copies of copies: some records in common, the rest each machine's own."""
    spools = [_logged(chance, chance.randrange(1, 6), "common", 1)]
    copies = []
    for number in range(chance.choice((1, 2, 2, 3, 3))):
        base = chance.choice(spools)
        end = chance.randrange(1, len(base.records) + 1)
        n_said = sum(b'"id"' not in record for record in base.records[:end])
        more = _logged(chance, chance.randrange(0, 7), f"own{number}", number + 2)
        copies.append(Spool(base.records[:end] + more.records, base.said[:n_said] + more.said))
        spools.append(copies[-1])
    return [Machine(spool) for spool in copies]


def _logged(chance: random.Random, n: int, name: str, key_id: int) -> Spool:
    """Some records: definitions where needed, points, datasets."""
    spool, seed = Spool([], []), _HEADER.seed
    spool.records.append(encode_frame(Kind.KEY, 0, {"id": key_id, "name": name}, seed))
    for step in range(n):
        if chance.random() < 0.2:
            text = f"{name}-{step}" + "x" * chance.randrange(60)
            spool.records.append(encode_frame(Kind.DATASET, step, {"name": text}, seed))
            spool.said.append(text)
        else:
            under = chance.choice((name, "common"))
            value = struct.unpack("<d", struct.pack("<q", chance.getrandbits(62)))[0]
            number = key_id if under == name else 1
            spool.records.append(encode_point(number, step, step, value, seed))
            spool.said.append((under, step, value))
    return spool


def _expected(machines: list[Machine]) -> Counter[object]:
    """What two copies have in common is one record; what follows their first difference is each one's own."""
    expected: Counter[object] = Counter()
    seen: set[tuple[bytes, ...]] = set()
    for machine in machines:
        said = iter(machine.spool.said)
        for end, record in enumerate(machine.spool.records, 1):
            what = None if b'"id"' in record else next(said)
            prefix = tuple(machine.spool.records[:end])
            if prefix not in seen and what is not None:
                expected[what] += 1
            seen.add(prefix)
    return expected


def run(task: Task) -> Findings:
    """So many seeds."""
    found = Findings()
    for _ in range(task.trials):
        found.trials += 1
        seed = task.random.getrandbits(48)
        wrong = simulate(seed)
        found.expect(not wrong, f"seed {seed}: {wrong}")
    found.notes = "seeds: one to three copies of a spool, losses, doubles, delays, restarts"
    return found
