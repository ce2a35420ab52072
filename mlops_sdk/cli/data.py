"""``mlops fingerprint`` and ``mlops diff-data``: identity of data files, and what changed between two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, json_option
from mlops_sdk.cli.table import Column, lay_out
from mlops_sdk.cli.text import count, escape, short

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.diff import Diff
    from mlops_sdk.fingerprint.fingerprint import Fingerprint

_MOST_COLUMNS = 100
_MOST_STORED_BYTES = 64 << 20

_capacity = click.option(
    "--capacity", type=click.IntRange(1, 32_768), default=1000, show_default=True, metavar="N",
    help="Replaced rows that can be told one by one.",
)  # fmt: skip
_no_cache = click.option("--no-cache", is_flag=True, help="Read the file even if nothing changed since the last time.")


@command("fingerprint", "mlops fingerprint train.parquet", "mlops fingerprint data/ --json > data.json")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="Name of the target column.")
@_capacity
@_no_cache
@json_option
def fingerprint(path: Path, *, target: str | None, capacity: int, no_cache: bool, as_json: bool) -> None:
    """Say the identity of a file or directory: of its bytes, and of the table in it.

    Tables are read from Parquet, Feather (Arrow), CSV, TSV, JSON lines and .npy. What --json writes can be given to
    `mlops diff-data` later, when the data is gone.
    """
    made = _make(path, target, capacity, is_cached=not no_cache)
    if as_json:
        terminal.write(to_json(made.to_dict()))
        return
    terminal.write(terminal.title(escape(f"{path}")))
    terminal.write(f"  {name:<8} {text}" for name, text in _facts(made))
    columns = list(made.columns.items())
    if columns:
        terminal.write(["", *(f"  {line}" for line in _table(columns[:_MOST_COLUMNS]))])
    if len(columns) > _MOST_COLUMNS:
        terminal.write(f"  ... and {count(len(columns) - _MOST_COLUMNS, 'more column')}: --json has all")


@command("diff-data", "mlops diff-data monday.parquet tuesday.parquet", "mlops diff-data old.json new.csv --rows 20")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--rows", type=click.IntRange(0), default=5, show_default=True, metavar="N", help="Print so many changed rows."
)
@_capacity
@_no_cache
@json_option
def diff_data(a: Path, b: Path, *, rows: int, capacity: int, no_cache: bool, as_json: bool) -> None:
    """Say what changed from data A to data B: files, directories, or what `mlops fingerprint --json` wrote.

    The exit code is 0 when nothing changed, 1 when something did.
    """
    made = [_stored(path) or _make(path, None, capacity, is_cached=not no_cache) for path in (a, b)]
    diff = made[0].diff(made[1])
    if as_json:
        terminal.write(to_json(diff.to_dict()))
    else:
        terminal.write(escape(line) for line in diff.summary().splitlines())
        terminal.write(_changed_rows(diff, a, b, rows))
    if diff:
        raise click.exceptions.Exit(1)


def _make(path: Path, target: str | None, capacity: int, *, is_cached: bool) -> Fingerprint:
    from mlops_sdk.fingerprint.making import fingerprint as make

    return make(path, target=target, capacity=capacity, cache=is_cached)


def _stored(path: Path) -> Fingerprint | None:
    """A fingerprint that was written earlier; None for anything else."""
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > _MOST_STORED_BYTES:
        return None
    from mlops_sdk.fingerprint.fingerprint import Fingerprint

    try:
        said: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(said, dict) and {"version", "content_digest", "schema_digest"} <= said.keys()
    return Fingerprint.from_dict(said) if is_ours else None


def _facts(made: Fingerprint) -> Iterator[tuple[str, str]]:
    yield "digest", made.digest or "none"
    yield "content", made.content_digest or "none"
    yield "schema", made.schema_digest
    if len(made.files) == 1:
        yield "bytes", next(iter(made.files.values()))
    elif made.files:
        yield "files", f"{len(made.files):,}"
    yield "rows", f"{made.n_rows:,}"
    if made.parts:
        yield "tables", f"{len(made.parts):,}"


def _table(columns: list[tuple[str, Any]]) -> list[str]:
    seen = [column.profile for _, column in columns]
    shown = [
        Column("column", [name for name, _ in columns], max_width=40),
        Column("type", [column.type for _, column in columns], max_width=24),
        Column("missing", [f"{column.n_nulls:,}" for _, column in columns], is_right=True),
        Column("distinct", [_distinct(each) for each in seen], is_right=True),
        *(
            Column(name, [_short(getattr(each, name, None)) for each in seen], max_width=24)
            for name in ("min", "max", "mean")
        ),
        Column("digest", [(column.digest or "")[:12] for _, column in columns], is_optional=True),
    ]
    return list(lay_out(shown, terminal.width() - 2, terminal.title).lines)


def _distinct(profile: Any) -> str:
    return "" if profile is None else f"{'' if profile.smallest.is_whole else '~'}{profile.distinct:,.0f}"


def _short(value: Any) -> str:
    return "" if value is None else short(value) if isinstance(value, (int, float)) else str(value)


def _changed_rows(diff: Diff, a: Path, b: Path, limit: int) -> Iterator[str]:
    """The rows themselves, as far as the data is at hand."""
    if not limit or diff.rows_added is None or not (diff.rows_added or diff.rows_removed):
        return
    data = [None if path.suffix == ".json" else path for path in (a, b)]
    found = diff.rows(before=data[0], after=data[1], limit=limit)
    for sign, name in (("-", "removed"), ("+", "added")):
        for row, values in found.get(name, ()):
            yield escape(f"{sign} row {row:,}: {json.dumps(values, ensure_ascii=False, default=str)}")
