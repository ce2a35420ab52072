"""G3: from damaged journals comes an unbroken prefix of what was logged, bit for bit, and nothing else.

The prefix ends exactly where the damage begins. Both ways of decoding are tried: numpy's on everything, plain Python's on
a sample; whole directories go through the recovery as it is used.

Not tried, because the format cannot notice it: whole slots of one segment that change places with each other (a disk that
puts a sound page in the wrong place), or that are cut out of its middle to the byte. A record's checksum covers its writer,
not its number: the number follows from the place, so that publishing takes one step and no lock.
"""

from __future__ import annotations

import random
import resource
import shutil
import struct
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from crash_lab.journals import (
    Record,
    define_keys,
    mixed,
    open_journal,
    records_of,
    recovered_records,
    where_it_differs,
)
from crash_lab.report import Findings, Task
from mlops_sdk.errors import StoreVersionError
from mlops_sdk.journal import columnar, reader, records
from mlops_sdk.journal.records import (
    DROP_SLOT,
    FRAME_FLAG,
    HEADER_BYTES,
    SLOT_BYTES,
    Batch,
    Kind,
    WriterHeader,
    encode_frame,
    encode_point,
)

LARGE = 64 << 10
SMALL = 4 << 10
LONGEST_S = 2.0
MOST_MEMORY_BYTES = 256 << 20


@dataclass(frozen=True)
class Sample:
    """Sound records.

    Attributes
    ----------
    data : bytes
    starts : list of int
        Offset of each record, and of the end.
    """

    header: WriterHeader
    data: bytes
    starts: list[int]

    def boundary(self, offset: int) -> int:
        """Where the record that `offset` lies in begins."""
        return self.starts[bisect_right(self.starts, offset) - 1]


def sample(choose: random.Random, size: int) -> Sample:
    """Points and events that fill exactly `size` bytes."""
    header = WriterHeader("run", choose.randbytes(16).hex())
    parts: list[bytes] = []
    while (room := size - sum(map(len, parts))) > 0:
        number = len(parts)
        record = encode_point(1 + number % 5, number, number, choose.random(), header.seed)
        if number % 29 == 3:
            text = "x" * choose.randrange(250)
            record = encode_frame(Kind.TAGS, number, {"set": {"n": text}}, header.seed)
        parts.append(record if len(record) <= room else encode_point(1, number, number, 0.5, header.seed))
    return Sample(header, b"".join(parts), [0, *accumulate(map(len, parts))])


def prefix(data: bytes | bytearray | memoryview, seed: int) -> int:
    """The fast way, whatever the size."""
    return columnar.sound_prefix(memoryview(data), seed)


def plain_prefix(data: bytes | bytearray | memoryview, seed: int) -> int:
    """The plain way, whatever the size."""
    return sum(size for _, size in records._walk(memoryview(data), seed))


def agree(found: Findings, part: Sample, data: bytes | bytearray | memoryview, expected: int, what: str) -> None:
    """Both ways find the expected end, and decode the same records up to it."""
    ends = prefix(data, part.header.seed), plain_prefix(data, part.header.seed)
    found.expect(ends == (expected, expected), f"{what}: the prefix ends at {ends}, not at {expected}")
    if expected:
        batch = Batch(part.header, 1, bytes(data[:expected]))
        plain, fast = records._decode_small(batch), columnar.decode(batch)
        is_same = plain.events == fast.events and plain.points.value == fast.points.value.tolist()
        found.expect(is_same, f"{what}: both ways of decoding differ")


# -- bytes -----------------------------------------------------------------------------------------------------------


def truncations(task: Task) -> Findings:
    """Cut behind every byte of a journal of 64 KiB; each trial is one length.

    A walk over records remembers nothing but its place, so most begin at a record a little before the cut.
    """
    found, part = Findings(), sample(task.random, LARGE)
    view = memoryview(part.data)
    step = max(1, LARGE // task.trials)
    for length in range(0, LARGE + 1, step):
        found.trials += 1
        expected = part.boundary(length)
        if length % (64 * step) == 0:
            agree(found, part, view[:length], expected, f"cut at {length}")
        else:
            start = part.boundary(max(0, length - 600))
            end = start + records.sound_prefix(view[start:length], part.header.seed)
            found.expect(end == expected, f"cut at {length}: the prefix ends at {end}, not at {expected}")
    found.notes = f"{len(part.starts) - 1} records"
    return found


def flips(task: Task) -> Findings:
    """Flip single bits: every bit of a journal of 4 KiB, and of one of 64 KiB as many as there are trials for."""
    found = Findings()
    small, large = sample(task.random, SMALL), sample(task.random, LARGE)
    _flip(found, small, range(SMALL * 8), agree_every=16)
    rest = max(0, task.trials - SMALL * 8)
    chosen = range(LARGE * 8) if rest >= LARGE * 8 else sorted(task.random.sample(range(LARGE * 8), rest))
    _flip(found, large, chosen, agree_every=64)
    return found


def _flip(found: Findings, part: Sample, bits: range | list[int], *, agree_every: int) -> None:
    data = bytearray(part.data)
    for bit in bits:
        found.trials += 1
        offset, mask = bit // 8, 1 << bit % 8
        data[offset] ^= mask
        expected = part.boundary(offset)
        if found.trials % agree_every == 0:
            agree(found, part, data, expected, f"bit {bit}")
        else:
            end = (prefix if len(data) > SMALL else records.sound_prefix)(memoryview(data), part.header.seed)
            found.expect(end == expected, f"bit {bit}: the prefix ends at {end}, not at {expected}")
        data[offset] ^= mask


# -- directories -----------------------------------------------------------------------------------------------------

Damage = Callable[[random.Random, Path], object]


def _overwrite(choose: random.Random, path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(choose.randrange(max(1, path.stat().st_size)))
        file.write(data)


def _page(choose: random.Random, path: Path) -> tuple[int, int]:
    size = choose.choice((512, 4096))
    return choose.randrange(max(1, path.stat().st_size // size)) * size, size


def _zero_page(choose: random.Random, path: Path) -> None:
    offset, size = _page(choose, path)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(min(size, path.stat().st_size - offset)))


def _shift(choose: random.Random, path: Path) -> None:
    """Bytes go missing, or zeros come between."""
    data, place, size = path.read_bytes(), choose.randrange(max(1, path.stat().st_size)), choose.choice((1, 4, 31, 33))
    path.write_bytes(data[:place] + (data[place + size :] if choose.random() < 0.5 else bytes(size) + data[place:]))


def _huge_length(choose: random.Random, path: Path) -> None:
    slot = choose.randrange(max(1, (path.stat().st_size - HEADER_BYTES) // SLOT_BYTES))
    length = choose.choice((2**32 - 1, 2**31, 2**20, 2**20 - 20, 0))
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + slot * SLOT_BYTES)
        file.write(struct.pack("<II", FRAME_FLAG | choose.choice(list(Kind)), length))


def _spoil_header(choose: random.Random, path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(choose.randrange(12, DROP_SLOT))  # behind magic and version
        file.write(choose.randbytes(choose.randrange(1, 60)))


def _foreign_segment(choose: random.Random, path: Path) -> None:
    """Another writer's records, under a header that is ours."""
    data = path.read_bytes()
    foreign = WriterHeader("run", choose.randbytes(16).hex())
    body = b"".join(encode_point(1, i, i, 6.66, foreign.seed) for i in range(20))
    path.write_bytes(data[:HEADER_BYTES] + body + data[HEADER_BYTES + len(body) :])


def _duplicate(choose: random.Random, path: Path) -> None:
    shutil.copy(path, path.with_name(f"{choose.randrange(10**8):08d}.seg"))


def _swap_names(choose: random.Random, path: Path) -> None:
    other = choose.choice(sorted(path.parent.glob("*.seg")))
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


DAMAGES: dict[str, Damage] = {
    "noise": lambda choose, path: _overwrite(choose, path, choose.randbytes(choose.randrange(1, 300))),
    "zeros": lambda choose, path: _overwrite(choose, path, bytes(choose.randrange(1, 300))),
    "zeroed page": _zero_page,
    "shifted bytes": _shift,
    "cut": lambda choose, path: path.write_bytes(path.read_bytes()[: choose.randrange(path.stat().st_size + 1)]),
    "longer": lambda choose, path: path.write_bytes(path.read_bytes() + choose.randbytes(choose.randrange(200))),
    "huge length": _huge_length,
    "header": _spoil_header,
    "foreign records": _foreign_segment,
    "missing": lambda choose, path: path.unlink(),
    "duplicate": _duplicate,
    "swapped names": _swap_names,
}


def directories(task: Task) -> Findings:
    """One to three damages of any kind to a journal of several segments, read through the recovery."""
    found, slowest = Findings(), 0.0
    template = _template(task)
    logged = recovered_records(template)
    memory = _peak_bytes()
    kept = 0
    for _ in range(task.trials):
        found.trials += 1
        directory = task.root / "spoiled" / template.name
        shutil.copytree(template, directory)
        # None twice: two shifts may take exactly one whole slot out (see above; once in some 20,000 trials).
        chosen = task.random.sample(list(DAMAGES), k=task.random.randrange(1, 4))
        for name in chosen:
            left = sorted(directory.glob("*.seg"))
            if left:
                DAMAGES[name](task.random, task.random.choice(left))
        began = time.monotonic()
        kept += _compare(found, directory, logged, " + ".join(chosen))
        slowest = max(slowest, time.monotonic() - began)
        shutil.rmtree(task.root / "spoiled")
    found.expect(slowest < LONGEST_S, f"a recovery took {slowest:.1f} s")
    grown = _peak_bytes() - memory
    found.expect(grown < MOST_MEMORY_BYTES, f"recovering took {grown >> 20} MiB")
    found.notes = (
        f"{kept / max(1, found.trials * len(logged)):.0%} of the records recovered, slowest {slowest * 1e3:.0f} ms"
    )
    return found


def _template(task: Task) -> Path:
    journal = open_journal(task.root, "appended")
    define_keys(journal)
    for number in range(400):
        mixed(number).call(journal)
    journal.leave()
    return journal.directory


def _compare(found: Findings, directory: Path, logged: list[Record], what: str) -> int:
    try:
        recovered = records_of(reader.recover(directory).batches(0))
    except AssertionError as error:
        found.expect(False, f"{what}: {error}")
        return 0
    except StoreVersionError:  # the damage hit the version: refused by name, whole, as what is newer is
        return 0
    differs = where_it_differs(recovered, logged)
    found.expect(differs is None, f"{what}: {differs}")
    return len(recovered)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def future_versions(task: Task) -> Findings:
    """A journal with a segment of a later format is refused by name, and not a byte of it changes."""
    found = Findings()
    template = _template(task)
    for _ in range(task.trials):
        found.trials += 1
        directory = task.root / "later" / template.name
        shutil.copytree(template, directory)
        path = task.random.choice(sorted(directory.glob("*.seg")))
        version = task.random.choice((2, 3, 255, 2**31, 2**32 - 1))
        rest = task.random.choice((b"", task.random.randbytes(500)))  # its header may look quite different
        with path.open("r+b") as file:
            file.seek(8)
            file.write(struct.pack("<I", version) + rest)
        before = {each.name: each.read_bytes() for each in directory.iterdir()}
        try:
            reader.recover(directory)
            found.expect(False, f"version {version} was read")
        except StoreVersionError as error:
            found.expect((error.found, error.supported) == (version, records.FORMAT), str(error))
        found.expect(list(reader.orphans(task.root / "later")) == [], f"version {version} was adopted")
        after = {each.name: each.read_bytes() for each in directory.iterdir()}
        found.expect(after == before, f"version {version} was touched")
        shutil.rmtree(task.root / "later")
    return found
