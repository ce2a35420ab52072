"""Small pictures as inline SVG: a curve, an interval. They take the colour of the text around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_sdk.markup.elements import Html, element

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray

WIDTH, HEIGHT = 120, 22
ACCENT = "#2D86C3"  # Okabe and Ito's blue, lighter: at least 3.9 : 1 on white and 4.7 : 1 on near black
_PAD = 2.5


def sparkline(values: FloatArray | Sequence[float], *, title: str = "", colour: str = ACCENT) -> Html:
    """A curve in a line of text; the last value is a dot.

    Parameters
    ----------
    values : sequence of float, shape (n,)
        In their order. Of more than 120 the least and the greatest of each stretch are drawn; NaN and infinities are gaps.
    title : str
        What a reader hears, and sees under the pointer.
    colour : str
        Of the line, as CSS writes it.

    Returns
    -------
    Html
        Nothing where fewer than two values are finite.
    """
    points = _reduced([float(value) for value in values], WIDTH)
    finite = [y for _, y in points if math.isfinite(y)]
    if len(finite) < 2:
        return Html()
    segments = _segments(points, min(finite) / 2, max(finite) / 2)
    lines = [
        element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in segment), fill="none", stroke=colour,
                stroke_width=1.4, stroke_linejoin="round", stroke_linecap="round")
        for segment in segments
    ]  # fmt: skip
    x, y = segments[-1][-1]
    dot = element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=1.9, fill=colour)
    label = [element("title", title)] if title else []
    return _svg(WIDTH, HEIGHT, title, *label, *lines, dot)


def interval(low: float, value: float, high: float, limits: tuple[float, float], *, title: str = "") -> Html:
    """A value with its interval, as a dot on a whisker, on a scale that several rows share.

    Parameters
    ----------
    low, value, high : float
        Infinite ends reach to the edge.
    limits : tuple of float
        Least and greatest of the scale.
    title : str
        See `sparkline`.
    """
    least, greatest = limits
    if not (math.isfinite(value) and least < greatest):
        return Html()

    def place(number: float) -> str:
        share = min(1.0, max(0.0, (number / 2 - least / 2) / (greatest / 2 - least / 2)))
        return f"{_PAD + share * (WIDTH - 2 * _PAD):.1f}"

    middle = HEIGHT / 2
    label = [element("title", title)] if title else []
    rule = element("line", x1=place(low), x2=place(high), y1=middle, y2=middle, stroke="currentColor", stroke_width=1.4)
    return _svg(WIDTH, HEIGHT, title, *label, rule, element("circle", cx=place(value), cy=middle, r=2.6, fill=ACCENT))


def _svg(width: int, height: int, title: str, *children: Html) -> Html:
    return element(
        "svg",
        *children,
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=title or None,
        style=f"vertical-align:middle;overflow:visible;max-width:none;width:{width}px;height:{height}px",
    )


def _reduced(values: Sequence[float], most: int) -> list[tuple[float, float]]:
    """Places 0 to 1 and values; of each stretch the least and the greatest, in their order, and both ends."""
    n = len(values)
    if n <= most:
        return [(index / max(1, n - 1), value) for index, value in enumerate(values)]
    chosen = {0, n - 1}
    for stretch in range(most // 2):
        indices = range(stretch * n // (most // 2), (stretch + 1) * n // (most // 2))
        known = [index for index in indices if math.isfinite(values[index])] or [indices[0]]
        chosen |= {min(known, key=values.__getitem__), max(known, key=values.__getitem__)}
    return [(index / (n - 1), values[index]) for index in sorted(chosen)]


def _segments(points: list[tuple[float, float]], low: float, high: float) -> list[list[tuple[float, float]]]:
    """Runs of finite points, in pixels; halves of the values, whose difference cannot overflow."""
    span = (high - low) or 1.0
    segments: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if not math.isfinite(y):
            segments.append([])
            continue
        share = (y / 2 - low) / span if high > low else 0.5
        segments[-1].append((_PAD + x * (WIDTH - 2 * _PAD), HEIGHT - _PAD - share * (HEIGHT - 2 * _PAD)))
    return [segment for segment in segments if segment]
