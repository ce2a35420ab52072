"""What programs read: JSON, CSV, Markdown."""

from __future__ import annotations

import csv
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sdk.cli.formats import csv_lines, markdown_lines, to_json
from mlops_sdk.cli.table import Column, lay_out


def test_json_has_strings_for_what_json_has_no_numbers_for() -> None:
    text = to_json({"a": [math.nan, math.inf, -math.inf, -0.0], "b": {"c": math.nan}}, indent=None)
    assert text == '{"a": ["NaN", "Infinity", "-Infinity", -0.0], "b": {"c": "NaN"}}'
    assert [float(each) for each in json.loads(text)["a"][1:]] == [math.inf, -math.inf, 0.0]


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters()), st.lists))
def test_json_brings_back_everything_else_and_is_ascii(value: object) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert text.isascii()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_cells_never_begin_like_a_formula(start: str) -> None:
    (line,) = list(csv_lines(["a"], [[f"{start}cmd|' /C calc'!A1"]]))[1:]
    ((cell,),) = csv.reader(line.splitlines(keepends=True))
    assert cell[0] == "'"
    assert cell.endswith("cmd|' /C calc'!A1")


@given(st.lists(st.floats(allow_nan=False) | st.integers(), min_size=1))
def test_numbers_are_never_prefixed_and_come_back(values: list[float]) -> None:
    (line,) = list(csv_lines(["a"] * len(values), [values]))[1:]
    assert [float(cell) for cell in next(csv.reader([line]))] == [float(value) for value in values]


def test_csv_quotes_separators_and_escapes_control_characters() -> None:
    lines = list(csv_lines(["k", "v"], [['a,"b"\nc', "\x1b[31m"], [None, True]]))
    assert list(csv.reader("\n".join(lines).splitlines(keepends=True))) == [
        ["k", "v"],
        ['a,"b"\nc', "\\x1b[31m"],
        ["", "true"],
    ]


def test_markdown_cells_are_never_markup() -> None:
    lines = list(markdown_lines(["k|"], [["<img src=x onerror=1>[a](b)\n`c`|"]]))
    assert lines == [
        "| k\\| |",
        "|---|",
        "| \\<img src=x onerror=1\\>\\[a\\](b)\\\\x0a\\`c\\`\\| |",
    ]


def test_a_table_never_exceeds_its_width_and_names_what_it_leaves_out() -> None:
    columns = [
        Column("id", ["12345678"], is_rigid=True),
        Column("name", ["很长的名字" * 20]),
        *(Column(f"m{n}", ["0.123456"], is_right=True, is_optional=True) for n in range(5)),
    ]
    for width in range(24, 120):
        layout = lay_out(columns, width)
        from rich.cells import cell_len

        assert all(cell_len(line) <= width for line in layout.lines)
        assert all(line.count("12345678") == 1 for line in layout.lines[1:])
        shown = layout.lines[0].split()[2:]
        assert shown + layout.left_out == ["m0", "m1", "m2", "m3", "m4"]
