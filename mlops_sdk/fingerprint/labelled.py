"""Arrays with named dimensions (xarray): one table for each variable, coordinates among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mlops_sdk.fingerprint import frames
from mlops_sdk.fingerprint.canonical import Chunk

_READ_BYTES = 32 << 20


def chunks_by_variable(data: Any) -> dict[str, Iterator[Chunk]]:
    """The variables of a ``Dataset`` or ``DataArray``, by name and dimensions: ``t(time, lat)``.

    Notes
    -----
    In order of names, as theirs means nothing; attributes and encodings are left out. Read in parts along the first
    dimension, so that what lies on disk, or is yet to be computed, need not fit into memory.
    """
    if hasattr(data, "data_vars"):
        variables = dict(data.variables)
    else:
        variables = {name: coordinate.variable for name, coordinate in data.coords.items()}
        variables["0" if data.name is None else data.name] = data.variable
    named = {_label(name, variable): variable for name, variable in variables.items()}
    return {name: _chunks_of(named[name]) for name in sorted(named)}


def _label(name: Any, variable: Any) -> str:
    return f"{frames.name_of(name)}({', '.join(map(frames.name_of, variable.dims))})"


def _chunks_of(variable: Any) -> Iterator[Chunk]:
    if not variable.ndim:
        yield from frames.chunks_of_array(np.asarray(variable.values).reshape(1))
        return
    step = max(1, _READ_BYTES // max(1, variable.dtype.itemsize * int(np.prod(variable.shape[1:]))))
    for start in range(0, max(1, len(variable)), step):
        yield from frames.chunks_of_array(np.asarray(variable[start : start + step].values))
