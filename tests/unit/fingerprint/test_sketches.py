"""The lookup table is exact up to its capacity and honest beyond; estimates cover at their stated rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.diff import wilson
from mlops_sdk.fingerprint.lookup import LookupTable, Smallest, cells_for, packed

WORDS = st.integers(0, 2**64 - 1)


def random_words(n: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def difference(removed: np.ndarray, added: np.ndarray, capacity: int, shared: int = 1000) -> dict[int, int] | None:  # type: ignore[type-arg]
    common = random_words(shared, 99)
    before, after = LookupTable(cells_for(capacity)), LookupTable(cells_for(capacity))
    for table, own in ((before, removed), (after, added)):
        rows = np.concatenate([common, own])
        np.random.default_rng(1).shuffle(rows)
        table.absorb(rows)
    return (after - before).decode()


@pytest.mark.parametrize("capacity", [1, 2, 50, 150, 600])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_exact_up_to_its_capacity(capacity: int, seed: int) -> None:
    words = random_words(2 * capacity, seed)
    removed, added = words[:capacity], words[capacity:]
    assert difference(removed, added, capacity) == {int(w): -1 for w in removed} | {int(w): 1 for w in added}


@pytest.mark.parametrize("n", range(51))
def test_every_number_of_replaced_rows_up_to_50(n: int) -> None:
    words = random_words(2 * n, n)
    assert difference(words[:n], words[n:], 50) == {int(w): -1 for w in words[:n]} | {int(w): 1 for w in words[n:]}


def test_beyond_its_capacity_it_says_so() -> None:
    for seed in range(30):
        words = random_words(2000, seed)
        assert difference(words[:1000], words[1000:], 50) is None


@given(st.lists(st.tuples(WORDS, st.integers(-6, 6)), max_size=12, unique_by=lambda pair: pair[0]))
def test_repeated_rows_are_counted(rows: list[tuple[int, int]]) -> None:
    gone = np.array([word for word, n in rows for _ in range(max(0, -n))], dtype=np.uint64)
    come = np.array([word for word, n in rows for _ in range(max(0, n))], dtype=np.uint64)
    assert difference(gone, come, 50, shared=10) == {word: n for word, n in rows if n}


def test_tables_of_two_sizes_are_compared() -> None:
    rows = random_words(500, 3)
    large, small = LookupTable(1024), LookupTable(64)
    large.absorb(rows)
    small.absorb(rows[1:])
    assert (large - small).decode() == {int(rows[0]): 1}
    assert (small - large).decode() == {int(rows[0]): -1}


def test_a_table_survives_its_text() -> None:
    table = LookupTable(64)
    table.absorb(random_words(100, 5))
    again = LookupTable.from_text(table.to_text())
    assert (table - again).decode() == {}


@pytest.mark.parametrize(
    "text", ["", "?", "AAAA", packed(b""), packed(bytes(72)), packed(bytes(24 * 4 * 63)), packed(bytes(1 << 26))]
)
def test_damaged_tables_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        LookupTable.from_text(text)


def test_tampered_tables_end() -> None:
    table = LookupTable(64)
    table.counts[:] = 1
    table.keys[:] = 12345
    assert table.decode() is None
    table.counts[:] = 2**62
    assert table.decode() is None


def test_the_smallest_hashes_are_those_of_the_whole() -> None:
    words = random_words(20_000, 7)
    whole, parts = Smallest(64), Smallest(64)
    whole.absorb(words)
    for part in np.array_split(words, 7):
        mine = Smallest(64)
        mine.absorb(np.concatenate([part, part]))
        parts += mine
    assert whole.hashes.tolist() == parts.hashes.tolist() == sorted(words.tolist())[:64]
    assert abs(whole.distinct() / 20_000 - 1) < 0.5


def test_wilson_covers_at_its_rate() -> None:
    generator = np.random.default_rng(0)
    for share in (0.001, 0.02, 0.3, 0.97):
        counts = generator.binomial(1024, share, 2000)
        covered = [low <= share <= high for low, high in (wilson(int(count), 1024) for count in counts)]
        assert np.mean(covered) >= 0.945


@pytest.mark.parametrize("capacity", [0, -1, 32_769, 1.5, "x"])
def test_capacities_that_cannot_be(capacity: object) -> None:
    with pytest.raises(InvalidValueError, match="capacity"):
        cells_for(capacity)  # type: ignore[arg-type]
