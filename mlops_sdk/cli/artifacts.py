"""``mlops artifacts``: the files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, example_text, find_run, json_option, store_option
from mlops_sdk.cli.table import Column, lay_out
from mlops_sdk.cli.text import count, escape, size
from mlops_sdk.errors import ArtifactNotFoundError, InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk.entities import ArtifactRef
    from mlops_sdk.query.view import RunView


@click.group("artifacts", epilog=example_text("mlops artifacts ls @1", "mlops artifacts get @1 report.html -o /tmp"))
def artifacts() -> None:
    """List and fetch the files of a run."""


@command("ls", "mlops artifacts ls @1", "mlops artifacts ls 3f2a9c1e --json")
@click.argument("run")
@json_option
@store_option
def ls(run: str, *, as_json: bool, store: str | None) -> None:
    """List the files of a run, the newest version of each."""
    _, view = find_run(store, run)
    refs = view.artifacts
    if as_json:
        terminal.write(to_json([{name: getattr(ref, name) for name in ref.__slots__} for ref in refs]))
    elif not refs:
        terminal.write("the run has no artifacts")
    else:
        terminal.write(lay_out(_columns(refs), terminal.width(), terminal.title).lines)


def _columns(refs: Sequence[ArtifactRef]) -> list[Column]:
    return [
        Column("path", [ref.path for ref in refs], max_width=80),
        Column("size", [size(ref.size_bytes) for ref in refs], is_right=True),
        Column("type", [ref.media_type for ref in refs]),
        Column("version", [str(ref.version) for ref in refs], is_right=True),
        Column("step", ["" if ref.step is None else str(ref.step) for ref in refs], is_right=True),
        Column("sha256", [ref.sha256 for ref in refs], max_width=64, is_optional=True),
    ]


@command("get", "mlops artifacts get @1 report.html", "mlops artifacts get 3f2a9c1e model -o restored")
@click.argument("run")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to put it; made when it is not there. Without it, here.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@store_option
def get(run: str, name: str, *, output: Path, overwrite: bool, store: str | None) -> None:
    """Copy a file of a run, or all below a directory of it, here; the bytes are checked on the way.

    NAME is a path as `mlops artifacts ls` lists it.
    """
    from mlops_sdk.blobs.names import safe_target

    _, view = find_run(store, run)
    names = _names(view, name)
    targets = [safe_target(output, each) for each in names]
    standing = [target for target in targets if target.exists()]
    if standing and not overwrite:
        raise InvalidValueError(f"{standing[0]} is there already: --overwrite replaces it, -o DIR puts it elsewhere")
    for each in names:
        terminal.write(escape(str(view.download(each, output))))
    if len(names) > 1:
        terminal.say(count(len(names), "file"))


def _names(view: RunView, name: str) -> list[str]:
    """The file of that name, or those below it."""
    paths = [ref.path for ref in view.artifacts]
    found = [name] if name in paths else [path for path in paths if path.startswith(f"{name.rstrip('/')}/")]
    if not found:
        raise ArtifactNotFoundError(name, f"the run has no artifact {name!r}: `mlops artifacts ls` lists what it has")
    return found


artifacts.add_command(ls)
artifacts.add_command(get)
