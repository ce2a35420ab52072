"""Curves in a terminal, drawn with braille: two dots across and four down in each cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray
    from mlops_sdk.plots.series import Points

_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a cell's dots, by row and column (Unicode, block Braille Patterns)."""
_BLANK = 0x2800

Paint = Callable[[str, int], str]


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of the plane that is shown.

    Attributes
    ----------
    left, right, bottom, top : float
        Of the scale: logarithms where `is_log`.
    is_log : bool
        Whether y is logarithmic.
    """

    left: float
    right: float
    bottom: float
    top: float
    is_log: bool = False

    def label(self, share: float) -> str:
        """The number at a height from 0 to 1."""
        value = self.bottom * (1 - share) + self.top * share
        return f"{10 ** min(value, 308.25) if self.is_log else value:.4g}"


def frame_of(curves: Sequence[Points], *, is_log: bool = False) -> Frame | None:
    """The least frame that holds every finite point; None where there is none."""
    import numpy as np

    xs, ys = [], []
    for curve in curves:
        x, y = _scaled(curve, is_log=is_log)
        known = np.isfinite(y) & np.isfinite(x)
        xs.append(x[known])
        ys.append(y[known])
    x, y = np.concatenate(xs or [np.zeros(0)]), np.concatenate(ys or [np.zeros(0)])
    if not len(y):
        return None
    return Frame(float(x.min()), float(x.max()), float(y.min()), float(y.max()), is_log)


def draw(
    curves: Sequence[Points], frame: Frame, *, width: int, height: int, paint: Paint = lambda text, _: text
) -> list[str]:
    """Curves in a frame, with its numbers to the left and below.

    Parameters
    ----------
    curves : sequence of Points
    frame : Frame
    width, height : int
        Cells of the picture and its numbers together, without the line below.
    paint : callable, optional
        Takes (text, index of the curve) and returns it in that curve's colour.

    Returns
    -------
    list of str
        `height` lines, the axis, and its numbers.
    """
    labels = {
        0: frame.label(1.0),
        height // 2: frame.label(1 - (height // 2) / max(1, height - 1)),
        height - 1: frame.label(0),
    }
    if frame.bottom == frame.top:
        labels = {height // 2: frame.label(0)}
    margin = max(map(len, labels.values()))
    columns = max(8, width - margin - 2)
    cells, owners = _raster(curves, frame, columns, height)
    lines = []
    for row in range(height):
        label = labels.get(row, "")
        lines.append(f"{label:>{margin}} {'┤' if label else '│'}" + _row(cells[row], owners[row], paint))
    left, right = f"{frame.left:.6g}", f"{frame.right:.6g}"
    lines.append(f"{'':>{margin}} └" + "─" * columns)
    gap = max(1, columns - len(left) - len(right))
    lines.append(f"{'':>{margin}}  {left}{' ' * gap}{right}" if frame.left < frame.right else f"{'':>{margin}}  {left}")
    return lines


def _scaled(curve: Points, *, is_log: bool) -> tuple[FloatArray, FloatArray]:
    import numpy as np

    if not is_log:
        return curve.x, curve.y
    with np.errstate(divide="ignore", invalid="ignore"):
        return curve.x, np.where(curve.y > 0, np.log10(curve.y), np.nan)


def _raster(curves: Sequence[Points], frame: Frame, columns: int, rows: int) -> tuple[list[list[int]], list[list[int]]]:
    """Dots of every cell as bits, and the last curve drawn in it."""
    cells = [[0] * columns for _ in range(rows)]
    owners = [[-1] * columns for _ in range(rows)]
    for index, curve in enumerate(curves):
        for x, y in _dots(curve, frame, columns * 2, rows * 4):
            cells[y // 4][x // 2] |= _BITS[y % 4][x % 2]
            owners[y // 4][x // 2] = index
    return cells, owners


def _dots(curve: Points, frame: Frame, width: int, height: int) -> set[tuple[int, int]]:
    """Dots of a line from point to point; a gap where a value is not finite."""
    x, y = _scaled(curve, is_log=frame.is_log)
    across = [_place(each, frame.left, frame.right, width) for each in x.tolist()]
    up = [_place(each, frame.bottom, frame.top, height) for each in y.tolist()]
    dots: set[tuple[int, int]] = set()
    previous: tuple[int, int] | None = None
    for column, row in zip(across, up, strict=True):
        if column is None or row is None:
            previous = None
            continue
        point = (column, height - 1 - row)
        dots.update(_line(previous or point, point))
        previous = point
    return dots


def _place(value: float, low: float, high: float, size: int) -> int | None:
    if not math.isfinite(value):
        return None
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5  # halves: differences may overflow
    return round(share * (size - 1))


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    n = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (start[0] + round((end[0] - start[0]) * part / n), start[1] + round((end[1] - start[1]) * part / n))
        for part in range(n + 1)
    ]


def _row(cells: Sequence[int], owners: Sequence[int], paint: Paint) -> str:
    """Cells of one curve that stand together are painted at once."""
    parts: list[str] = []
    start = 0
    for place in range(1, len(cells) + 1):
        if place == len(cells) or owners[place] != owners[start]:
            text = "".join(chr(_BLANK | bits) if bits else " " for bits in cells[start:place])
            parts.append(paint(text, owners[start]) if owners[start] >= 0 else text)
            start = place
    return "".join(parts).rstrip()
