"""``mlops delete``, ``restore`` and ``gc``: into the trash, out of it, and away for good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.options import command, need_local, need_place, store_option
from mlops_sdk.cli.text import count, escape, size

if TYPE_CHECKING:
    from mlops_sdk.query.view import RunView
    from mlops_sdk.stores.sqlite.store import SQLiteStore

_DAY_NS = 86_400 * 10**9
_GRACE_S = 86_400.0


@command("delete", "mlops delete @1", "mlops delete 3f2a9c1e brisk-otter-12")
@click.argument("run", nargs=-1, required=True)
@store_option
def delete(run: tuple[str, ...], *, store: str | None) -> None:
    """Move runs to the trash; nothing is lost until `mlops gc`."""
    for view in _move(store, run, deleted=True):
        terminal.write(f"moved {_label(view)} to the trash: `mlops restore {escape(view.run_id)}` brings it back")


@command("restore", "mlops restore 3f2a9c1e", "mlops runs --deleted")
@click.argument("run", nargs=-1, required=True)
@store_option
def restore(run: tuple[str, ...], *, store: str | None) -> None:
    """Bring runs back from the trash; `mlops runs --deleted` lists it."""
    for view in _move(store, run, deleted=False):
        terminal.write(f"restored {_label(view)}")


def _move(store: str | None, texts: tuple[str, ...], *, deleted: bool) -> list[RunView]:
    """Move runs into the trash or out of it: all of them, or none where one is not found."""
    from mlops_sdk.journal.editor import edit
    from mlops_sdk.journal.records import Kind
    from mlops_sdk.query.search import resolve

    place = need_place(store)
    # all are looked up first: @2 means what it meant when the command was typed
    views = {view.run_id: view for view in (resolve(place, text, deleted=not deleted) for text in texts)}
    for run_id in views:  # by what was found, not by another look-up: an id may read "@1"
        place.store.append(edit(run_id, (Kind.TRASH, {"deleted": deleted})))
    return list(views.values())


def _label(view: RunView) -> str:
    return f"{escape(view.name)} ({escape(view.short_id)})"


@command("gc", "mlops gc --dry-run", "mlops gc --older-than 30")
@click.option("--older-than", metavar="DAYS", type=click.FloatRange(min=0), help="Only runs deleted so long ago.")
@click.option("--dry-run", is_flag=True, help="Say what would be freed, and free nothing.")
@store_option
def gc(*, older_than: float | None, dry_run: bool, store: str | None) -> None:
    """Delete for good what is in the trash, and files that no run refers to.

    Files stored within the last day, and those that a journal still refers to, are kept.
    """
    from mlops_sdk.cli import journals
    from mlops_sdk.courier import recovery

    place, local = need_local(store)
    roots = journals.roots(place.journals)
    before_ns = None if older_than is None else time.time_ns() - int(older_than * _DAY_NS)

    def referenced() -> set[str]:
        return set().union(*map(journals.referenced_digests, [*roots, *place.roots_for_servers()]))

    if dry_run:
        n_runs, n_files, n_bytes = _preview(local, before_ns, referenced())
        terminal.write(f"would free {count(n_runs, 'run')} and {count(n_files, 'file')}, {size(n_bytes)}")
        return
    for root in roots:
        recovery.sweep(place.store, root)
    referenced()  # what cannot be read shall stop us before anything is deleted
    report = local.gc(before_ns=before_ns, referenced=referenced, grace_s=_GRACE_S)
    freed = size(report.blob_bytes + report.database_bytes)
    terminal.write(f"freed {count(report.runs, 'run')} and {count(report.blobs, 'file')}, {freed}")


def _preview(store: SQLiteStore, before_ns: int | None, referenced: set[str]) -> tuple[int, int, int]:
    """Runs, files and bytes of files that `gc` would delete."""
    is_due = "deleted_ns IS NOT NULL AND (:before IS NULL OR deleted_ns < :before)"
    bound = {"before": before_ns}
    with store.database.reading("the trash") as connection:
        (n_runs,) = connection.execute(f"SELECT count(*) FROM runs WHERE {is_due}", bound).fetchone()  # noqa: S608
        kept = connection.execute(
            f"SELECT DISTINCT sha256 FROM artifacts WHERE run IN (SELECT id FROM runs WHERE NOT ({is_due}))",  # noqa: S608
            bound,
        ).fetchall()
    keep = referenced.union(digest for (digest,) in kept)
    statuses = [store.blobs.path(each, verify=False).stat() for each in store.blobs.digests() if each not in keep]
    old = [status.st_size for status in statuses if time.time() - status.st_mtime >= _GRACE_S]
    return n_runs, len(old), sum(old)
