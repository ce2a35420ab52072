"""Both pages say about other trackers what the data say, digit for digit; without data they say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import page
from benchmarks.peers.results import Results

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Results.load(ROOT / page.DATA) if (ROOT / page.DATA).exists() else None


@pytest.mark.parametrize("name", ["README.md", "docs/benchmarks.md"])
def test_the_tables_are_those_of_the_data(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert page.block_of(text) == page.blocks(RESULTS)[Path(name)], (
        "python -m benchmarks.peers --render docs/data/peers.json"
    )


def test_a_chart_is_there_when_there_are_data() -> None:
    assert (ROOT / page.CHART).exists() == (RESULTS is not None)


def test_no_quick_figures_are_published() -> None:
    assert RESULTS is None or (not RESULTS.about["quick"] and len(RESULTS.systems) >= 12)
