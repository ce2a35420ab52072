"""`SQLiteStore`: runs in one plain SQLite file, next to their artifacts.

`database` and `connection` open the file, `lock` lets one process write at a time, `schema`, `creation` and `migrations` make its tables;
`append`, `apply` and `logged` turn journal records into rows, `summary`, `points` and `columns` keep metric points; `find`,
`read` and `history` read everything back; `maintenance` and `check` clean up, copy and look for damage.
"""

from mlops_sdk.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
