"""No guarantee without a command: every row of ``docs/reliability.md`` can be tried again, with what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crash_lab.harnesses import HARNESSES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not re.match(r"\|[-| ]+\|$|\| \| guarantee", line)
]
LAB = re.compile(r'`make crash-lab ARGS="([^"]+)"`')
TEST = re.compile(r'`make test ARGS="([^"]+)"`')


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2][:40])
def test_every_row_is_whole_and_its_command_names_what_there_is(row: list[str]) -> None:
    assert len(row) == 5
    assert row[2], "what it is tried with"
    assert re.search(r"\d", row[3]), "a figure"
    lab, test = LAB.search(row[4]), TEST.search(row[4])
    assert lab or test, "a command"
    if lab:
        names = re.sub(r"--\w+ \d+", "", lab[1]).split()
        assert names
        assert set(names) <= set(HARNESSES)
    if test:
        paths = [word for word in test[1].split() if word.startswith("tests")]
        assert paths
        assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_harness_of_the_laboratory_has_a_row() -> None:
    named = {word for row in ROWS for found in LAB.findall(row[4]) for word in found.split()}
    assert set(HARNESSES) <= named


@pytest.mark.parametrize("guarantee", sorted({harness.guarantee for harness in HARNESSES.values()}))
def test_every_guarantee_of_the_laboratory_has_a_sentence(guarantee: str) -> None:
    assert [row for row in ROWS if row[0] == guarantee and row[1].endswith(".")]
