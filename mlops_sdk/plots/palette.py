"""Colours that people with a colour vision deficiency tell apart, and what tells lines apart when colours run out.

References
----------
.. [1] M. Okabe and K. Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/
.. [2] J. R. Nuñez, C. R. Anderton, R. S. Renslow, "Optimizing colormaps with consideration for color vision deficiency"
   (2018), https://doi.org/10.1371/journal.pone.0199239 (cividis)
"""

from __future__ import annotations

from dataclasses import dataclass

# Okabe and Ito's eight but their yellow, which does not stand out from white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
MISSING = "#B0B0B0"
SEQUENTIAL = "cividis"
"""Name of the matplotlib colour map for numbers."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one line is drawn.

    Attributes
    ----------
    colour, dash : str
        As matplotlib takes them.
    """

    colour: str
    dash: str


def look(number: int) -> Look:
    """Look of line `number`, from 0: colours first, then dashes; 28 looks differ."""
    return Look(PALETTE[number % len(PALETTE)], DASHES[number // len(PALETTE) % len(DASHES)])


def marker(number: int) -> str:
    """Marker of group `number`, from 0."""
    return MARKERS[number % len(MARKERS)]
