"""Stored text does no harm where a comparison is shown; pictures hold what they should."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.cells import cell_len

from mlops_sdk.comparison.comparison import Comparison
from mlops_sdk.comparison.group_table import GroupTable
from mlops_sdk.comparison.subject import Subject
from tests.unit.comparison.made import HOSTILE, group, groups, record, runs

UNSAFE = {"\x1b", "\x07", "\r", "\u202e", "\x00", "\x9b"}


def hostile(number: int, text: str = HOSTILE) -> Any:
    own = f"{text}{number}"
    environment = {
        "packages": {"packages": [f"{text}=={number}"]},
        "git": {"commit": own, "branch": own, "changed": [own], "diff_sha256": own, "diff": own, "untracked": [own]},
        "python": {"python": own}, "argv": [own], "system": {text: own, "gpus": [{"name": own}]}, text: {text: own},
    }  # fmt: skip
    return record(
        own, number=number, params={text: own, "list": [own]}, metrics={text: float(number)},
        datasets=[{"context": text, "name": own, "digest": own, "columns": {own: own}}], environment=environment,
    )  # fmt: skip


class Elements(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def every(found: Comparison) -> list[Comparison]:
    a, b = group(HOSTILE, [0.1, 0.2, 0.3], HOSTILE), group(HOSTILE + "b", [0.4, 0.5, 0.7], HOSTILE)
    return [found, groups(a, b, metric=HOSTILE), groups(a, group("c", [0.1], HOSTILE), metric=HOSTILE)]


def test_pages_escape_every_text() -> None:
    for found in every(runs(hostile(1), hostile(2))):
        page = found._repr_html_()
        seen = Elements(page)
        assert seen.names <= {
            "div",
            "strong",
            "span",
            "details",
            "summary",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }
        assert seen.attributes <= {"style", "open"}
        assert not UNSAFE & set(page)
        assert "&lt;img" in page
    rows = groups(group(HOSTILE, [0.1, 0.2]), group("b", [0.1])).groups
    assert "<img" not in GroupTable(rows)._repr_html_()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_summaries_escape_every_text_and_keep_their_width(width: int) -> None:
    wide = "漢字" * 200 + "\u202e" + "👩\u200d🔬" * 50
    for found in [*every(runs(hostile(1), hostile(2))), *every(runs(hostile(1, wide), hostile(2, wide)))]:
        text = found.summary(width=width, limit=None)
        assert not UNSAFE & set(text)
        assert "\\x1b" in text or "漢" in text
        if width >= 80:
            assert max(map(cell_len, text.splitlines())) <= width


def test_names_of_megabytes_are_cut() -> None:
    great = "x" * 10_000_000
    found = runs(record(great, params={great: great}), record("b", params={great: great + "y"}, metrics={great: 1.0}))
    assert len(found.summary()) < 5_000
    assert len(found._repr_html_()) < 20_000
    many = runs(record("a"), record("b", params={f"{number}" * 50: number for number in range(10_000)}))
    assert len(many.summary()) < 10_000
    assert len(many._repr_html_()) < 100_000


def test_stored_records_of_any_shape_are_compared() -> None:
    odd: list[Any] = [
        None, 5, "text", [1], {"packages": 5}, {"packages": {"packages": [1, None, {}]}}, {"git": []}, {"python": "3"},
        {"system": [1]}, {"git": {"changed": 5, "diff": 7, "commit": {}}}, {"argv": {"a": {"b": {"c": 1}}}},
    ]  # fmt: skip
    for one in odd:
        environment = one if isinstance(one, dict) else {"x": one}
        found = runs(record(environment=environment), record(environment={"git": {"commit": "b" * 40}, "argv": []}))
        assert found.summary(limit=None)
        assert found._repr_html_()
        assert isinstance(found.code_diff, str)
        assert found.to_dict()


def test_pictures_of_runs_and_groups() -> None:
    found = runs(
        record("a", metrics={"val/acc": 0.8, "loss": 1.0, "same": 1.0}), record("b", metrics={"val/acc": 0.9, "loss": 1.5, "same": 1.0})
    )  # fmt: skip
    axes = found.plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["loss", "val/acc"]
    axes = groups(group("a", [0.1, 0.2, 0.3]), group("b", [0.4, 0.5])).plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert "95% interval" in axes.get_xlabel()


def test_a_page_has_what_a_reader_needs() -> None:
    page = groups(group("small", [0.1, 0.2, 0.3]), group("large", [0.7, 0.8, 0.9])).\
        _repr_html_()  # fmt: skip
    text = re.sub("<[^>]*>", " ", page)
    for part in ("Comparison of small, large", "large is better than small", "Welch", "takes for granted", "interval"):
        assert part in text
    assert "nothing differs" in runs(record(), record())._repr_html_()


def test_a_lone_group_with_a_run_is_shown() -> None:
    found = Comparison([Subject("a", [record("a", params={"x": 1})]), Subject("b", [record("b", params={"x": 2})])])
    assert repr(found) == "<Comparison of 2: 1 changes, 0 metrics differ>"
    assert str(found) == found.summary()


def test_digests_are_cut_unless_they_would_look_the_same() -> None:
    one, other, alike = "0a" * 32, "0b" * 32, "0a" * 10 + "ff" * 22
    page = str(runs(record("a", params={"sha": one}), record("b", params={"sha": other})))
    assert one[:12] in page
    assert one[:13] not in page
    page = str(runs(record("a", params={"sha": one}), record("b", params={"sha": alike})))
    assert one[:30] in page
    assert alike[:30] in page
