"""``mlops backup`` and ``mlops fsck``: keep a copy, and know that it is whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import journals, terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, json_option, need_local, store_option
from mlops_sdk.cli.text import count, escape, size
from mlops_sdk.courier import recovery

if TYPE_CHECKING:
    from mlops_sdk.stores.sqlite.check import Problem

_SHOWN_MISSING = 10


@command("backup", "mlops backup /backup/mlops-2026-01-31", "mlops runs --store /backup/mlops-2026-01-31")
@click.argument("target", type=click.Path(path_type=Path))
@store_option
def backup(target: Path, *, store: str | None) -> None:
    """Copy the store into the new directory TARGET, and check the copy. Runs may go on meanwhile.

    The copy is a store: name it with --store. A copy made by cp of a store in use is not one.
    """
    place, local = need_local(store)
    for root in journals.roots(place.journals):
        recovery.sweep(place.store, root)
    report = local.backup(target)
    terminal.write(
        f"copied the database ({size(report.database_bytes)}) and {count(report.blobs, 'file')} to "
        f"{escape(str(report.target))}"
    )
    for digest in report.missing[:_SHOWN_MISSING]:
        terminal.say(f"mlops: the bytes with sha256 {digest} are gone: no copy of them was made")
    if report.missing:
        terminal.say(
            f"mlops: {count(len(report.missing), 'file')} of artifacts missing; `mlops fsck` says whose they are"
        )
        raise click.exceptions.Exit(1)


@command("fsck", "mlops fsck", "mlops fsck --store /backup/mlops-2026-01-31 --json")
@json_option
@store_option
def fsck(*, as_json: bool, store: str | None) -> None:
    """Check everything that is stored: structure, every point, every file, every journal. Changes nothing.

    Exit code 1 when something is damaged.
    """
    from mlops_sdk.stores.sqlite.store import SQLiteStore

    place, local = need_local(store)
    problems: list[Problem] = []
    if (local.directory / "store.db").exists():  # not yet where nobody has read what writers left in journals
        with _progress() as progress:
            # of its own, that cannot write: a check must not mend, migrate or make anything
            problems = SQLiteStore(local.directory, read_only=True).fsck(progress)
    problems += [each for root in journals.roots(place.journals) for each in _in_journals(root)]
    if as_json:
        found = [{"place": each.place, "what": each.what, "advice": each.advice} for each in problems]
        terminal.write(to_json({"is_sound": not problems, "problems": found}))
    elif problems:
        terminal.write(escape(str(problem)) for problem in problems)
    else:
        terminal.write(f"no damage in {escape(str(local.directory))}")
    if problems:
        terminal.say(f"mlops: {count(len(problems), 'problem')} found")
        raise click.exceptions.Exit(1)


def _in_journals(root: Path) -> Iterator[Problem]:
    from mlops_sdk.stores.sqlite.check import Problem

    for writer in journals.pending(root, lambda writer_id: None):
        for damage in writer.damage:
            yield Problem(str(damage.path), damage.what, journals.ADVICE)
        if writer.unreadable:
            yield Problem(str(writer.directory), writer.unreadable, journals.UNREADABLE_ADVICE)
    for directory in journals.set_aside(root):
        yield Problem(str(directory), "a damaged journal, set aside", journals.SET_ASIDE_ADVICE)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, where a person can see it."""
    if not (terminal.has_terminal() and sys.stderr is not None and sys.stderr.isatty()):
        yield None
        return
    with click.progressbar(length=1, label="checking", file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = max(1, total)
            bar.update(done - bar.pos)

        yield progress
