"""The page about the schema says what the schema is, and its program runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_sdk.stores.sqlite import schema
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript

DOCS = Path(__file__).parents[2] / "docs" / "storage-schema.md"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "store")
    yield store
    store.close()


def test_the_documentation_names_every_table_column_index_and_view(store: SQLiteStore) -> None:
    store.open()
    text = DOCS.read_text(encoding="utf-8")
    missing = []
    with store.database.reading() as connection:
        objects = connection.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE '%sqlite_%'").fetchall()
        for (name,) in objects:
            if f"`{name}`" not in text:
                missing.append(name)
            missing += [
                f"{name}.{column[1]}"
                for column in connection.execute(f"SELECT * FROM pragma_table_info('{name}')")
                if name in schema.TABLES and f"`{column[1]}`" not in section(text, name)
            ]
    assert missing == []
    assert {name for (name,) in objects} >= schema.TABLES


def section(text: str, table: str) -> str:
    """What the documentation says under the heading of a table."""
    _, _, rest = text.partition(f"### `{table}`")
    return rest.partition("\n### ")[0]


def test_the_program_in_the_documentation_reads_a_chunk(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / ".mlops")
    WriterScript("run-1").run().points("loss", [0.5] * 3000).send(store)
    store.settle("run-1")
    store.close()
    program = DOCS.read_text(encoding="utf-8").rpartition("```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("[0.5 0.5 0.5"), done.stderr
