"""Matplotlib's figures as the pictures that a notebook shows."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARPNESS = 2
"""Pixels of the picture for each of the page, for screens that have them."""
_PAGE_DPI = 96


def as_png(figure: Figure) -> tuple[bytes, dict[str, Any]]:
    """What ``_repr_png_`` gives: the picture, and the size that it has on the page, in pixels of the page.

    Notes
    -----
    A figure that pyplot does not know is shown by nobody. This is how ours is shown once, where it is asked for, without
    pyplot's list of open figures.
    """
    target = BytesIO()
    figure.savefig(target, format="png", dpi=figure.dpi * _SHARPNESS, facecolor="white")
    data = target.getvalue()
    width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))  # of the IHDR chunk
    scale = _PAGE_DPI / (figure.dpi * _SHARPNESS)
    return data, {"width": int(width * scale), "height": int(height * scale)}
