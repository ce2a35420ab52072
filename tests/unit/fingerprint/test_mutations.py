"""A hundred thousand single-cell changes of a frame of 300,000 cells: every one is seen, in every digest.

Each changed frame gets its full digests. To hash a frame anew for each would take hours; but a column is a stream, so what
stands before the changed rows is hashed once for all changes behind it, and only the changed column is hashed again. That
this gives what `fingerprint` gives is checked on real changed frames.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_sdk.fingerprint import frames, texts
from mlops_sdk.fingerprint.canonical import Cells, Column, Rules
from mlops_sdk.fingerprint.digest import ColumnDigest, Hashing, table_digest
from mlops_sdk.fingerprint.fingerprint import content_digest
from mlops_sdk.fingerprint.making import fingerprint
from mlops_sdk.fingerprint.mixing import MASK, mix
from mlops_sdk.fingerprint.objects import Objects
from mlops_sdk.fingerprint.streaming import row_keys

N_ROWS, N_MUTATIONS, PART = 30_000, 100_000, 200
HASHING, RULES = Hashing(), Rules()
LANE = np.uint64(0xD6E8FEB86659FD93)


def made_frame() -> pd.DataFrame:
    """Numbers of all kinds, times, texts; missing ones where the type has them."""
    generator = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    for place in range(4):
        columns[f"f{place}"] = generator.standard_normal(N_ROWS) * 10.0 ** (8 * place - 16)
    columns["f0"][::7] = np.nan
    columns["f1"][::5] = 0.0
    columns["i"] = generator.integers(-(2**62), 2**62, N_ROWS)
    columns["u"] = generator.integers(0, 256, N_ROWS).astype(np.uint8)
    columns["b"] = generator.random(N_ROWS) < 0.5
    columns["t"] = generator.integers(0, 2**60, N_ROWS).astype("datetime64[ns]")
    columns["t"][::9] = np.datetime64("NaT", "ns")
    for place in range(2):
        values = generator.integers(0, 10 ** (2 + 8 * place), N_ROWS)
        columns[f"s{place}"] = np.array([f"text {value}" for value in values], dtype=object)
    columns["s0"][::11] = None
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})


def changed(value: Any, random: Any) -> Any:
    """Another value of the same type: the nearest there is, or one bit of it, or missing for present."""
    if isinstance(value, float):
        if value != value:
            return float(random.standard_normal())
        bits = np.array([value]).view(np.uint64) ^ np.uint64(1 << int(random.integers(0, 64)))
        other = float(bits.view(np.float64)[0])
        return np.nan if random.random() < 0.1 else other if other != value else np.nan
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1 << int(random.integers(0, 8)) if random.random() < 0.5 else value ^ 1
    if value is None:
        return ""
    place = int(random.integers(0, len(value)))
    return None if random.random() < 0.1 else value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]


def column_of(values: np.ndarray[Any, Any]) -> Column:
    return Objects(values.tolist()) if values.dtype == object else frames.column_of(values)


def mutated(values: np.ndarray[Any, Any], row: int, random: Any) -> np.ndarray[Any, Any]:
    """A copy of some rows of a column with one value changed."""
    other = values.copy()
    if values.dtype.kind == "M":
        counts = other.view(np.int64)
        counts[row] = 5 if np.isnat(other[row]) else changed(int(counts[row]), random)
    else:
        new = changed(values[row].item() if values.dtype != object else values[row], random)
        other[row] = new if values.dtype != np.uint8 else new % 256
    return other


def copied(digest: ColumnDigest) -> ColumnDigest:
    made = copy.copy(digest)
    made._streams = {kind: [hasher.copy() for hasher in hashers] for kind, hashers in digest._streams.items()}
    made._nulls, made._runs = digest._nulls.copy(), digest._runs.copy()
    return made


def cells(values: np.ndarray[Any, Any]) -> Cells:
    with np.errstate(invalid="ignore"):  # a changed bit may make a signalling NaN
        return column_of(values).cells(0, len(values), RULES)


class Frame:
    """The frame, and what of its digests a change of one column leaves as it is."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.base = fingerprint(frame, sketches=False, profile=False)
        self.names = tuple(frame.columns)
        self.keys = [np.uint64(key) for key in row_keys(HASHING, self.names)]
        codes = [
            np.concatenate([cells(part).codes for part in parts_of(frame[name].to_numpy())]) for name in self.names
        ]
        self.sums = np.zeros(N_ROWS, dtype=np.uint64)
        for key, each in zip(self.keys, codes, strict=True):
            self.sums += mix(each) * key

    def digests(self, place: int, digest: bytes, row: int, old: Any, new: Any) -> tuple[str, str]:
        """Ordered and content digest, with another digest of one column and another code of one cell in it."""
        fields = self.base.fields
        named = [(field.name, field.kind, bytes.fromhex(field.digest or "")) for field in fields]
        named[place] = (fields[place].name, fields[place].kind, digest)
        with np.errstate(over="ignore"):
            pair = mix(np.array([old, new], dtype=np.uint64)) * self.keys[place]
            hashes = mix(np.array([self.sums[row], self.sums[row] - pair[0] + pair[1]]))
            others = mix(hashes ^ LANE)
        assert self.base.lanes is not None
        lanes = [
            (lane - int(a) + int(b)) & MASK for lane, (a, b) in zip(self.base.lanes, (hashes, others), strict=True)
        ]
        return table_digest(HASHING, N_ROWS, named), content_digest(HASHING, N_ROWS, fields, lanes, None) or ""


def parts_of(values: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    return (values[start : start + PART] for start in range(0, len(values), PART))


@pytest.mark.slow
def test_a_hundred_thousand_changes_of_single_cells_are_all_seen() -> None:
    random = np.random.default_rng(1)
    frame = made_frame()
    known = Frame(frame)
    seen: set[str] = set()
    contents: set[str] = set()
    kinds: Counter[str] = Counter()
    checked = 0
    numbers = random.integers(0, N_ROWS * len(known.names), N_MUTATIONS)
    for place, name in enumerate(known.names):
        values = frame[name].to_numpy()
        rows = np.sort(numbers[numbers // N_ROWS == place] % N_ROWS)
        before, whole = ColumnDigest(HASHING), column_of(values)
        if values.dtype == object:
            whole = texts.of_strings(values.tolist(), mask=np.array([value is None for value in values]))
        for start, group in itertools.groupby(rows.tolist(), key=lambda row: row - row % PART):
            while before.n_rows < start:
                before.absorb(cells(values[before.n_rows : before.n_rows + PART]))
            part, rest = values[start : start + PART], whole.cells(start + PART, N_ROWS, RULES)
            codes = cells(part).codes
            for row in group:
                other = mutated(part, row - start, random)
                new = cells(other)
                digest = copied(before)
                digest.absorb(new)
                if len(rest.codes):
                    digest.absorb(rest)
                own = digest.digest()
                made, content = known.digests(place, own, row, codes[row - start], new.codes[row - start])
                assert own.hex() != known.base.fields[place].digest
                assert made != known.base.digest
                assert content != known.base.content_digest
                seen.add(made)
                contents.add(content)
                kinds[values.dtype.name] += 1
                if random.random() < 0.0003:
                    checked += 1
                    one = frame.copy()
                    one[name] = np.concatenate([values[:start], other, values[start + PART :]])
                    expected = fingerprint(one, sketches=False, profile=False)
                    assert (made, content) == (expected.digest, expected.content_digest)
    assert sum(kinds.values()) == N_MUTATIONS
    assert len(kinds) == 6
    assert checked > 10
    # two changes may make one frame: a bit of a boolean has one other value
    assert len(seen) == len(contents) > 0.9 * N_MUTATIONS
