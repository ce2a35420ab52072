"""Type names shared by every floor; no behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray: TypeAlias = npt.NDArray[np.float64]
    IntArray: TypeAlias = npt.NDArray[np.int64]

JsonDict: TypeAlias = dict[str, Any]
"""A JSON object as it was logged."""

ParamValue: TypeAlias = "None | bool | int | float | str | list[Any] | dict[str, Any]"
"""What a param reads back as; other objects were stored as text."""
