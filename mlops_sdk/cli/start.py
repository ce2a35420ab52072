"""``mlops init``, ``demo`` and ``completion``: the beginning."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.options import command, store_option
from mlops_sdk.cli.text import escape
from mlops_sdk.errors import InvalidValueError

_SHELLS = ("bash", "zsh", "fish")


@command("init", "mlops init", "mlops init /lab/experiments --shared")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--shared", is_flag=True, help="Readable and writable by the directory's group, for a lab.")
def init(path: Path | None, *, shared: bool) -> None:
    """Make a store: a directory .mlops in PATH, or in the working directory.

    Runs started in that directory, or anywhere below it, are kept there. With --shared also opens a store that is there
    already to its group.
    """
    import mlops_sdk
    from mlops_sdk.stores import location as locations

    directory = _store_directory(Path.cwd() if path is None else path)
    named = locations.Location(directory, "named by `mlops init`", is_explicit=True)
    _, is_new = locations.make(named, shared=shared)
    mlops_sdk.open_store(directory).experiments()  # makes the database, and shows that it works
    if shared:
        _share(directory)
    made = "made a store at" if is_new else "there is a store already at"
    terminal.write(f"{made} {escape(str(directory))}{' for its group' if shared else ''}")


def _store_directory(path: Path) -> Path:
    """Where `mlops init PATH` means the store to be: PATH itself only if it is one, or is called so."""
    from mlops_sdk.stores.location import DIRECTORY
    from mlops_sdk.stores.opening import locate

    location = locate(path)
    if location is None:
        raise InvalidValueError(f"{path} is no directory on this machine")
    is_store = location.path.name == DIRECTORY or (location.path / "store.db").exists()
    return location.path if is_store else location.path / DIRECTORY


def _share(directory: Path) -> None:
    """Open everything in a store to the group of its directory: what its owner may do, the group may."""
    for parent, _, files in os.walk(directory):
        os.chmod(parent, 0o2770)  # noqa: S103 - that is what was asked for
        for name in files:
            file = Path(parent, name)
            if not file.is_symlink():
                mode = file.stat().st_mode & 0o700
                file.chmod(mode | mode >> 3)


@command("demo", "mlops demo", "mlops demo -o /tmp/demo")
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Where the pictures go.",
)
@store_option
def demo(*, output: Path, store: str | None) -> None:
    """Train a few scikit-learn models on the bundled digits data, tracked, and show where everything went."""
    from mlops_sdk.demo import run_demo

    run_demo(output, store)


@command(
    "completion", 'eval "$(mlops completion bash)"', "mlops completion fish > ~/.config/fish/completions/mlops.fish"
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete mlops commands."""
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    found = get_completion_class(shell)
    assert found is not None, "click has a class for each of these"
    terminal.write(found(root, {}, "mlops", "_MLOPS_COMPLETE").source())
