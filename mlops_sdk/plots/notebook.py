"""Axes that a notebook shows where they are the last value of a cell; loaded with matplotlib."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from mlops_sdk.markup.pictures import as_png


class NotebookAxes(Axes):
    """Axes as matplotlib's; `_repr_png_` draws their whole figure."""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        figure = self.get_figure(root=True)
        assert figure is not None, "these axes belong to a figure from the beginning"
        return as_png(figure)
