"""Axes that a notebook shows where they are the last value of a cell; loaded with matplotlib."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from matplotlib.axes import Axes

_SHARPNESS = 2
"""Pixels of the picture for each of the page, for screens that have them."""


class NotebookAxes(Axes):
    """Axes as matplotlib's; `_repr_png_` draws their whole figure.

    Notes
    -----
    A figure that pyplot does not know is shown by nobody. This is how ours is shown once, where it is asked for, without
    pyplot's list of open figures.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        figure = self.get_figure(root=True)
        assert figure is not None, "these axes belong to a figure from the beginning"
        target = BytesIO()
        figure.savefig(target, format="png", dpi=figure.dpi * _SHARPNESS, facecolor="white")
        data = target.getvalue()
        width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))  # of the IHDR chunk
        shown = 0.8 / _SHARPNESS  # 96 pixels an inch of the page, at 120 dots an inch of the figure
        return data, {"width": int(width * shown), "height": int(height * shown)}
