"""`SQLiteStore`: runs in one plain SQLite file, next to their artifacts.

`connection` opens the file, `lock` lets one process write at a time, `schema` and `migrations` make its tables, `append`,
`apply` and `logged` turn journal records into rows, `points` and `columns` keep metric points, `history` and `read` read them and the rest
back, `maintenance` cleans up, checks and copies.
"""

from mlops_sdk.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
