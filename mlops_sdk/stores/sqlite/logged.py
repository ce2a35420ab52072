"""What was logged to a run, as rows: params, tags, artifacts, datasets, definitions, environment, warnings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.sqlite.target import Refused, Target, as_json, get, is_a
from mlops_sdk.values.params import decode_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.journal.records import Event


def _on_params(target: Target, event: Event) -> Refused:
    run, payload = target.need_run(), event.payload
    entries = [_param(entry) for entry in get(payload, "params", list, [])]
    overwrite, config = get(payload, "overwrite", bool, False), get(payload, "config", dict, {})
    refused = []
    for key, kind, text, number in entries:
        old = target.execute("SELECT kind, text FROM params WHERE run = ? AND key = ?", run, key).fetchone()
        if old is not None and not overwrite:
            if not _is_same(old, (kind, text)):
                entry = {"params": [[key, kind, text, number]]}
                refused.append((entry, f"param {key!r} is {old[1]!r} ({old[0]}) already"))
            continue
        if old is not None and old != (kind, text):
            target.execute(
                "INSERT INTO param_history (run, key, kind, text, replaced_ns) VALUES (?, ?, ?, ?, ?)",
                *(run, key, *old, event.time_ns),
            )
        target.execute("INSERT OR REPLACE INTO params VALUES (?, ?, ?, ?, ?)", run, key, kind, text, number)
    _merge_keys(target, "config", config)
    return refused


def _param(entry: Any) -> tuple[str, str, str, int | float | None]:
    """(key, kind, text, number) of a param that can be read back."""
    key, kind, text, *_ = is_a(entry, list, "a param")
    value = decode_param(is_a(kind, str, "kind"), is_a(text, str, "text"))
    return is_a(key, str, "key"), kind, text, _number(value)


def _number(value: Any) -> int | float | None:
    """What SQLite compares a param by: exact up to 64 bits, as float64 beyond; None for text and NaN."""
    if not isinstance(value, int | float) or value != value:
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 2**1023 else (math.inf if value > 0 else -math.inf)
    return value


def _is_same(old: tuple[str, str], new: tuple[str, str]) -> bool:
    """Whether two params (kind, text) are equal: numbers by value, everything else by kind and text."""
    numbers = {old[0], new[0]} <= {"int", "float"}
    return old == new or (numbers and decode_param(*old) == decode_param(*new))


def _merge_keys(target: Target, table: str, values: JsonDict) -> None:
    rows = [(target.run, key, as_json(value)) for key, value in values.items()]
    target.connection.executemany(
        f"""INSERT INTO {table} (run, key, value) VALUES (?, ?, ?)
        ON CONFLICT (run, key) DO UPDATE SET value = excluded.value""",  # noqa: S608 - one of two names
        rows,
    )


def _on_tags(target: Target, event: Event) -> None:
    run = target.need_run()
    tags, gone = get(event.payload, "set", dict, {}), get(event.payload, "delete", list, [])
    rows = [(run, key, is_a(text, str, "a tag")) for key, text in tags.items()]
    target.connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)
    keys = [(run, is_a(key, str, "a tag to delete")) for key in gone]
    target.connection.executemany("DELETE FROM tags WHERE run = ? AND key = ?", keys)


def _on_artifact(target: Target, event: Event) -> None:
    run, payload = target.need_run(), event.payload
    path = get(payload, "path", str)
    target.execute(
        """INSERT INTO artifacts (run, path, version, sha256, size_bytes, media_type, step, metadata, time_ns)
        SELECT ?, ?, 1 + coalesce(max(version), 0), ?, ?, ?, ?, ?, ? FROM artifacts WHERE run = ? AND path = ?""",
        *(run, path, get(payload, "sha256", str), get(payload, "size_bytes", int, 0)),
        *(get(payload, "media_type", str, "application/octet-stream"), get(payload, "step", int, None)),
        *(as_json(get(payload, "metadata", dict, {})), event.time_ns, run, path),
    )


def _on_dataset(target: Target, event: Event) -> None:
    said = [
        text if isinstance(text := event.payload.get(name), str) else None for name in ("name", "context", "digest")
    ]
    target.execute(
        "INSERT INTO datasets (run, name, context, digest, description) VALUES (?, ?, ?, ?, ?)",
        *(target.need_run(), *said, as_json(event.payload)),
    )


def _on_define(target: Target, event: Event) -> None:
    key, mode = get(event.payload, "key", str), get(event.payload, "mode", str, None)
    if mode not in ("max", "min", None):
        raise ValueError(f"mode is {mode!r}")
    unit, x = get(event.payload, "unit", str, None), get(event.payload, "x", str, None)
    target.execute("INSERT OR REPLACE INTO definitions VALUES (?, ?, ?, ?, ?)", target.need_run(), key, mode, unit, x)


def _on_environment(target: Target, event: Event) -> None:
    target.need_run()
    git = get(event.payload, "git", dict, None)
    if git is not None:
        target.execute(
            "UPDATE runs SET git_commit = ?, git_branch = ?, git_dirty = ? WHERE id = ?",
            *(get(git, "commit", str, None), get(git, "branch", str, None), get(git, "dirty", bool, None)),
            target.run,
        )
    merge_environment(target, event.payload)


def merge_environment(target: Target, said: JsonDict) -> None:
    """Replace top-level keys of the run's environment; a set of packages is stored once for all runs."""
    packages = get(said, "packages", dict, {})
    digest = get(packages, "digest", str, None)
    _merge_keys(target, "environment", said)
    if digest is not None:
        target.execute("INSERT OR IGNORE INTO packages VALUES (?, ?)", digest, as_json(packages))
    if "packages" in said:
        target.execute(
            """UPDATE environment SET packages = ?, value = CASE WHEN ? IS NULL THEN value END
            WHERE run = ? AND key = 'packages'""",
            *(digest, digest, target.run),
        )


def _on_warning(target: Target, event: Event) -> None:
    payload = event.payload
    target.execute(
        """INSERT INTO warnings (run, cause, count, message) VALUES (?, ?, ?, ?) ON CONFLICT (run, cause) DO UPDATE
        SET count = excluded.count, message = excluded.message WHERE excluded.count > warnings.count""",
        *(
            target.need_run(),
            get(payload, "cause", str),
            get(payload, "count", int),
            get(payload, "message", str, ""),
        ),
    )


HANDLERS: Mapping[int, Callable[[Target, Event], Refused | None]] = {
    Kind.PARAMS: _on_params,
    Kind.TAGS: _on_tags,
    Kind.ARTIFACT: _on_artifact,
    Kind.DATASET: _on_dataset,
    Kind.DEFINE: _on_define,
    Kind.ENVIRONMENT: _on_environment,
    Kind.WARNING: _on_warning,
}
"""By kind of record: applies it, returns what of it was refused."""
