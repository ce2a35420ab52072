"""What programs read: JSON, CSV, Markdown."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sdk.cli import formats
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


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_text_cells_never_begin_like_a_formula(start: str) -> None:
    (line,) = list(csv_lines(["a"], [[f"{start}cmd|' /C calc'!A1"]]))[1:]
    ((cell,),) = csv.reader(line.splitlines(keepends=True))
    assert cell[0] == "'"
    assert cell.endswith("cmd|' /C calc'!A1")


@settings(max_examples=50)
@given(
    st.lists(st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(' ,;|"')), min_size=1, max_size=4)
)
def test_csv_of_any_text_is_read_back(values: list[str]) -> None:
    lines = list(csv_lines(["a"] * len(values), [values]))[1:]
    (cells,) = csv.reader("\n".join(lines).splitlines(keepends=True), strict=True)
    assert [cell.replace("'", "") for cell in cells] == [value.replace("'", "") for value in values]
    assert not any(re.match(r'["\s]*[=+@-]', cell) for cell in cells)
    # split at semicolons by a reader that pays no heed to quotes, no piece begins like a formula
    assert not any(re.match(r'["\s]*[=+@-]', cell) for cell in lines[0].split(";"))


def test_what_excel_would_leave_out_is_said_and_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    lines = list(csv_lines(["a", "b"], [["x" * 32_768, "y" * 32_767], ["z", 1]], said.append))
    assert lines[1] == f"{'x' * 32_768},{'y' * 32_767}"
    assert [line.partition(":")[0] for line in said] == ["1 cells have more than 32,767 characters"]
    said.clear()
    monkeypatch.setattr(formats, "SPREADSHEET_ROWS", 10)
    assert len(list(csv_lines(["a"], [[1]] * 9, said.append))) == 10
    assert said == []
    assert len(list(csv_lines(["a"], [[1]] * 10, said.append))) == 11
    assert said == ["11 lines: Excel shows the first 10; -n and a filter make it fewer"]


HOSTILE_CELLS = [
    "=1+1", "+1+1", "-1+1", "@SUM(1;1)", "=cmd|' /C calc'!A1", '=HYPERLINK("http://evil.example";"x")', "a;=1+1", 'a; "=1+1', "a,=1+1",
    'x";=1+1', "'=1+1", "two\n=1+1", "＝1+1", "=WEBSERVICE(A1)", "|=1+1", '"=1+1"', "plain", "1e5x", "äöü €",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("soffice") is None, reason="LibreOffice is not installed (apt install libreoffice-calc)"
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_libreoffice_runs_nothing_and_shows_what_was_logged(tmp_path: Path, separator: str) -> None:
    lines = list(csv_lines(["text", "number"], [[text, -1.5] for text in HOSTILE_CELLS]))
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    filter_of = f"CSV:{ord(separator)},34,76,1,,0,false,true,false,false,false,-1"
    subprocess.run(
        ["soffice", f"-env:UserInstallation=file://{tmp_path}/profile", "--headless", "--norestore", f"--infilter={filter_of}",
         "--convert-to", "fods", "--outdir", str(tmp_path), str(tmp_path / "runs.csv")],
        check=True, capture_output=True, timeout=100, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    tree = ElementTree.parse(tmp_path / "runs.fods")
    table = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
    cells = list(tree.iter(f"{table}table-cell"))
    assert [cell.attrib for cell in cells if f"{table}formula" in cell.attrib] == []
    if separator == ",":
        rows = [row.findall(f"{table}table-cell") for row in tree.iter(f"{table}table-row")][1 : 1 + len(HOSTILE_CELLS)]
        shown = [("\n".join("".join(line.itertext()) for line in row[0])) for row in rows]
        assert [text.replace("'", "") for text in shown] == [text.replace("'", "") for text in HOSTILE_CELLS]
        value = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}value"
        assert {row[1].get(value) for row in rows} == {"-1.5"}


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
