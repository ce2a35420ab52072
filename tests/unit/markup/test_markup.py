"""Elements escape, cards keep their shape, sparklines show what there is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.markup.cards import ACCENTS, badge, card, code, facts, lines, preformatted, section, table
from mlops_sdk.markup.charts import ACCENT, interval, sparkline
from mlops_sdk.markup.elements import Html, element, join, link, text
from mlops_sdk.markup.values import duration, shown, size
from mlops_sdk.markup.visible import visible
from tests.unit.markup.safety import HOSTILE, Checked


@pytest.mark.parametrize("hostile", HOSTILE)
def test_every_piece_escapes_what_it_is_given(hostile: str) -> None:
    body = [
        section(hostile, facts({hostile: hostile})),
        table([hostile], [[hostile], [code(hostile)]], n_left_out=2, noun=hostile),
        lines(f"{hostile}\n{hostile}"),
        preformatted(hostile),
        sparkline([1, 2, 3], title=hostile),
        interval(0, 1, 2, (0, 3), title=hostile),
        link(hostile, hostile),
        element("span", hostile, title=hostile),
    ]
    checked = Checked(card(hostile, *body, subtitle=hostile, status=hostile))
    if len(hostile) < 200 and "\n" not in hostile and "\u2028" not in hostile:
        assert checked.text.count(visible(hostile)) >= 10


@given(st.text(), st.text())
def test_text_of_any_kind_stays_text(first: str, second: str) -> None:
    assert visible(first[:200]) in Checked(element("td", first[:200], second, title=second)).text


@given(st.lists(st.floats(), max_size=300))
def test_a_sparkline_takes_every_float(values: list[float]) -> None:
    curve = sparkline(values)
    assert bool(curve) == (sum(map(math.isfinite, values)) > 1 or (bool(curve) and len(values) > 120))
    assert not {"nan", "inf"} & set(curve.replace('"', " ").replace(",", " ").split())
    Checked(curve)


def test_a_long_sparkline_keeps_its_peak() -> None:
    values = [0.0] * 100_000
    values[70_001] = 1.0
    assert ",2.5" in sparkline(values)


def test_html_is_not_escaped_again() -> None:
    once = text("a & b")
    assert (once, text(once), join([once, "<"], " ")) == ("a &amp; b", "a &amp; b", "a &amp; b &lt;")
    assert isinstance(element("b", once), Html)


@pytest.mark.parametrize("url", ["https://example.org/?a=1&b=2", "HTTP://example.org"])
def test_links_lead_to_the_web(url: str) -> None:
    assert f'href="{url.replace("&", "&amp;")}"' in link("run", url)


@pytest.mark.parametrize(
    "url", [None, "", "javascript:alert(1)", "data:text/html,x", " https://x", "https://a\nb", "//x"]
)
def test_and_nowhere_else(url: str | None) -> None:
    assert link("run", url) == "run"


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
@pytest.mark.parametrize("colour", [*ACCENTS.values(), ACCENT])
def test_accents_stand_out_from_light_and_from_dark(page: str, colour: str) -> None:
    """Contrast as WCAG 2.2 computes it; 3 : 1 is asked of graphics."""
    dark, light = sorted((_luminance(page), _luminance(colour)))
    assert (light + 0.05) / (dark + 0.05) >= 3


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_an_attribute_that_runs_code_is_refused() -> None:
    with pytest.raises(AssertionError):
        element("td", onclick="x")


def test_an_interval_beyond_the_scale_ends_at_its_edge() -> None:
    assert 'x1="2.5"' in interval(-math.inf, 1, 2, (0, 3))
    assert interval(0, math.nan, 2, (0, 3)) == ""


def test_an_empty_section_is_nothing_and_a_status_has_its_word() -> None:
    assert section("params", Html()) == ""
    assert "LOST" in badge("LOST")


def test_values_as_they_are_read() -> None:
    assert [shown(value) for value in (None, True, 1e-7, "x", 2**70, [1, None], math.nan)] == [
        "", "true", "1e-07", "x", str(2**70), "[1, null]", "nan",
    ]  # fmt: skip
    assert [duration(value) for value in (None, math.nan, 0.04, 59.7, 90, 90_000)] == [
        "", "", "0.0 s", "1 min 00 s", "1 min 30 s", "1 d 01 h",
    ]  # fmt: skip
    assert [size(value) for value in (0, 1023, 1024, 5 * 1024**3)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]
