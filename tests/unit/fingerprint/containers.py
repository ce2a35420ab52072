"""One table in every container that can hold it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from pyarrow import feather, parquet

Rows = list[dict[str, Any]]


def _duckdb(table: pa.Table) -> Any:
    import duckdb

    return duckdb.from_arrow(table)  # of the default connection: older releases close another one under its relation


def _structured(table: pa.Table) -> np.ndarray[Any, Any]:
    arrays = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    made = np.empty(table.num_rows, dtype=[(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        made[name] = array
    return made


IN_MEMORY: dict[str, Callable[[pa.Table], Any]] = {
    "list of dicts": lambda table: table.to_pylist(),
    "dict of lists": lambda table: table.to_pydict(),
    "pyarrow": lambda table: table,
    "pyarrow in chunks": lambda table: pa.concat_tables([table.slice(0, 1), table.slice(1)]),
    "pyarrow sliced": lambda table: pa.concat_tables([table, table]).combine_chunks().slice(table.num_rows),
    "pyarrow dictionaries": lambda table: pa.table({
        name: table[name].dictionary_encode() if pa.types.is_string(table[name].type) else table[name]
        for name in table.column_names
    }),
    "record batch reader": lambda table: table.to_reader(max_chunksize=2),
    "polars": pl.from_arrow,
    "polars lazy": lambda table: pl.from_arrow(table).lazy(),
    "pandas": lambda table: table.to_pandas(),
    "pandas objects": lambda table: table.to_pandas().astype(object),
    "pandas nullable": lambda table: table.to_pandas().convert_dtypes(),
    "pandas arrow": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas categories": lambda table: table.to_pandas(strings_to_categorical=True),
    "duckdb": _duckdb,
    "structured array": _structured,
    "iterable of chunks": lambda table: (table.slice(start, 1) for start in range(table.num_rows)),
}  # fmt: skip


def write_csv(table: pa.Table, path: Path) -> None:
    table.to_pandas().to_csv(path, index=False)


FILES: dict[str, Callable[[pa.Table, Path], None]] = {
    "parquet": lambda table, path: parquet.write_table(table, path, row_group_size=2),
    "feather": lambda table, path: feather.write_feather(table, str(path), chunksize=2),
}
