"""Stored text, numbers and times as a person sees them."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mlops_sdk.cli.text import BARS, ago, ascii_ornaments, duration, escape, exact, fit, short, size

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain, with a backslash \\ and spaces", "plain, with a backslash \\ and spaces"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc\x00\x07\x7f", "a\\x0d\\x0ab\\x09c\\x00\\x07\\x7f"),
        ("\u202egnp\u2066\u200f", "\\u202egnp\\u2066\\u200f"),
        ("\u2028\u200b\ufeff", "\\u2028\\u200b\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("héllo שלום 你好 e\u0301 \u3000", "héllo שלום 你好 e\u0301 \u3000"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown_and_the_rest_stays(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(st.characters()))
def test_no_control_or_reordering_character_ever_passes(text: str) -> None:
    shown = escape(text)
    kept = {each for each in shown if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert kept <= {"\u200c", "\u200d"}
    shown.encode()


@given(st.text(st.characters(), max_size=60), st.integers(1, 40))
def test_fitted_text_takes_no_more_cells_than_allowed(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) <= width


def test_long_names_are_cut_at_whole_characters_and_marked() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("你好你好", 6) == "你好…"
    assert len(fit("e" + "\u0301" * 10_000_000, 10)) < 100
    assert fit("x" * 10_000, 20) == "x" * 19 + "…"


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp932", "ascii"])
def test_code_pages_get_ornaments_of_the_same_width_and_escapes_for_the_rest(encoding: str) -> None:
    import codecs

    codecs.register_error("test-ornaments", ascii_ornaments)
    drawn = (BARS + "…").encode(encoding, "test-ornaments").decode(encoding)
    assert len(drawn) == len(BARS) + 1
    assert len(set(drawn)) == len(drawn)
    assert "ĳ".encode(encoding, "test-ornaments").isascii()


def test_values_are_short_for_people_and_exact_for_programs() -> None:
    assert [short(value) for value in (0.1 + 0.2, None, True, 3, "a\x1b", math.nan)] == [
        "0.3",
        "",
        "true",
        "3",
        "a\x1b",
        "nan",
    ]
    assert [exact(value) for value in (0.1 + 0.2, None, True, 2**63, [1, "é"])] == [
        "0.30000000000000004", "", "true", "9223372036854775808", '[1, "\\u00e9"]',
    ]  # fmt: skip


@given(st.floats())
def test_floats_come_back_from_their_exact_text(value: float) -> None:
    assert math.isnan(float(exact(value))) if math.isnan(value) else float(exact(value)) == value


@pytest.mark.parametrize(
    "passed_s, shown",
    [
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (86400 * 3, "3 d ago"),
    ],
)
def test_recent_times_are_relative(passed_s: float, shown: str) -> None:
    assert ago(NOW - timedelta(seconds=passed_s), NOW) == shown


@pytest.mark.parametrize("passed_s", [86400 * 40, -60])
def test_old_times_and_those_of_a_clock_ahead_are_dates(passed_s: float) -> None:
    time = NOW - timedelta(seconds=passed_s)
    assert ago(time, NOW) == f"{time.astimezone():%Y-%m-%d}"


def test_durations_and_sizes_have_a_unit() -> None:
    seconds = (None, 0.04, 59.6, 61, 3661, 90000)
    assert [duration(each) for each in seconds] == ["", "0.0 s", "1 min 00 s", "1 min 01 s", "1 h 01 min", "1 d 01 h"]
    assert [size(each) for each in (0, 1023, 1024, 1 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.0 MiB",
        "3.0 TiB",
    ]
