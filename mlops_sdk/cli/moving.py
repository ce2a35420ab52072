"""``mlops export``, ``import`` and ``copy``: whole runs between stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.options import command, need_place, store_option
from mlops_sdk.cli.text import count, escape

if TYPE_CHECKING:
    from mlops_sdk.moving.copying import Copied
    from mlops_sdk.moving.identity import Identity
    from mlops_sdk.stores.opening import Place


@command("export", "mlops export @1 -o best.mlops", "mlops export 3f2a9c1e brisk-otter-12 -o runs.mlops")
@click.argument("run", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.",
)
@store_option
def export(run: tuple[str, ...], *, output: Path, store: str | None) -> None:
    """Write runs with their history and artifacts into one file.

    `mlops import` brings them into another store.
    """
    from mlops_sdk.moving.archive import export_runs
    from mlops_sdk.query.search import resolve

    place = _itself(need_place(store))
    run_ids = [resolve(place, text).run_id for text in run]
    written = export_runs(place.store, run_ids, output)
    terminal.write(f"wrote {count(len(written), 'run')} to {escape(str(output))}: {_sizes(written)}")


@command("import", "mlops import runs.mlops", "mlops import runs.mlops --store http://tracking:5000")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
def import_(file: Path, *, store: str | None) -> None:
    """Bring the runs of a file that `mlops export` wrote into a store.

    What is there already is left alone: importing again changes nothing.
    """
    from mlops_sdk.moving.archive import import_runs

    place = _place_to_fill(store)
    _report(import_runs(place.store, file))


@command(
    "copy",
    "mlops copy --from .mlops --to http://tracking:5000",
    'mlops copy --from http://tracking:5000 --to backup "metrics.acc > 0.9"',
)
@click.argument("filter", required=False)
@click.option("--from", "source", required=True, metavar="PATH|URI", help="The store that has them.")
@click.option("--to", "target", required=True, metavar="PATH|URI", help="The store that is to have them.")
@click.option("-e", "--experiment", help="Only runs of this experiment.")
def copy(filter: str | None, *, source: str, target: str, experiment: str | None) -> None:  # noqa: A002 - its name in the help
    """Copy runs from one store to another, with history, artifacts and lineage.

    Each is read back and compared, by count and hash. What is there already is left alone.
    """
    from mlops_sdk.moving.copying import copy_run
    from mlops_sdk.query.search import search

    there = _itself(need_place(source))
    found = search(there, filter, experiment=experiment)
    place = _place_to_fill(target)
    _report(copy_run(there.store, place.store, view.run_id) for view in reversed(list(found)))


def _place_to_fill(store: str | None) -> Place:
    from mlops_sdk.stores.opening import open_place

    return _itself(open_place(store, make=True))


def _itself(place: Place) -> Place:
    """Of a server, the server: what this machine has of its runs is no stand-in when all of them are meant."""
    from mlops_sdk.stores.opening import Place
    from mlops_sdk.stores.remote import RemotePlace

    return Place(place.uri, lambda: place.server) if isinstance(place, RemotePlace) else place


def _report(copied: Iterator[Copied]) -> None:
    new: list[Identity] = []
    known = 0
    for each in copied:
        if each.is_new:
            new.append(each.identity)
        else:
            known += 1
    terminal.write(
        f"{count(len(new), 'run')} arrived: {_sizes(new)}; {count(known, 'run')} {'was' if known == 1 else 'were'} there"
    )


def _sizes(identities: list[Identity]) -> str:
    points, artifacts = sum(each.n_points for each in identities), sum(each.n_artifacts for each in identities)
    return f"{count(points, 'point')}, {count(artifacts, 'artifact')}, verified"
