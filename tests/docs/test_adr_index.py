"""Every decision record is in the index, once, and every record has the parts a reader looks for."""

from __future__ import annotations

import re
from pathlib import Path

ADR = Path(__file__).resolve().parents[2] / "docs" / "adr"
TEMPLATE = "0000-template.md"


def records() -> list[Path]:
    return sorted(path for path in ADR.glob("[0-9]*.md") if path.name != TEMPLATE)


def test_index_lists_each_record_once() -> None:
    rows = [line for line in (ADR / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| [")]
    listed = [link for row in rows for link in re.findall(r"\]\(([^)]+)\)", row)[:1]]
    assert listed == [path.name for path in records()]


def test_numbers_are_unique() -> None:
    numbers = [path.name[:4] for path in records()]
    assert len(numbers) == len(set(numbers))


def test_each_record_has_status_and_rejected_options() -> None:
    for path in [ADR / TEMPLATE, *records()]:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^- Status: ", text, re.MULTILINE), f"{path.name} has no status"
        assert "\n## Options\n" in text, f"{path.name} names no options"
        assert "\n## Decision\n" in text, f"{path.name} says no decision"
