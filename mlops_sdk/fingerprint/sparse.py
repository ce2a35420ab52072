"""Sparse matrices: each row is the list of its stored (column, value) pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import NESTED, Chunk, Column
from mlops_sdk.fingerprint.texts import Texts

_PAIR = np.dtype([("column", "<u8"), ("bits", "<u8")])


def chunks_of_sparse(matrix: Any) -> Iterator[Chunk]:
    """One column of nested values, named ``sparse[n_columns]``: a sparse matrix is not the dense one.

    Raises
    ------
    InvalidValueError
        If it holds complex numbers, or is not a matrix.
    """
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise InvalidValueError(
            f"a sparse array of {matrix.ndim} dimensions and type {matrix.dtype}: only real matrices are known"
        )
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()  # which sorts the columns, too
    rows.eliminate_zeros()
    n_rows, n_columns = rows.shape
    name = f"sparse[{n_columns}]"
    pairs = np.empty(rows.nnz, dtype=_PAIR)
    pairs["column"] = rows.indices
    with np.errstate(invalid="ignore"):
        values = np.add(rows.data, 0.0, dtype=np.float64)
    if rows.dtype.kind in "iu" and rows.dtype.itemsize == 8 and len(values) and np.abs(values).max() > 1 << 53:
        raise InvalidValueError("a sparse matrix holds integers beyond 2^53: convert it to floats, or to a dense array")
    pairs["bits"] = np.where(np.isnan(values), np.nan, values).view(np.uint64)
    ends = rows.indptr.astype(np.int64) * _PAIR.itemsize
    column: Column = Texts(ends[:-1], np.diff(ends), pairs.view(np.uint8), NESTED, f"sparse<{rows.dtype.name}>")
    yield Chunk((name,), [column], n_rows)
