"""The program: its commands, and how it ends.

Exit codes: 0 all is well, 1 something was found wrong, or was not found, 2 the command was used wrongly, 130 interrupted,
141 whoever read the output went away.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

import mlops_sdk
from mlops_sdk.cli import terminal
from mlops_sdk.cli.artifacts import artifacts
from mlops_sdk.cli.doctor import doctor
from mlops_sdk.cli.options import command, example_text
from mlops_sdk.cli.runs import experiments, runs
from mlops_sdk.cli.show import show
from mlops_sdk.cli.start import completion, demo, init
from mlops_sdk.cli.trash import delete, gc, restore
from mlops_sdk.cli.upkeep import backup, fsck
from mlops_sdk.errors import FilterSyntaxError, InvalidValueError, MlopsError

OK, WRONG, USAGE, BROKEN_PIPE = 0, 1, 2, 141


class Program(click.Group):
    """The group of all commands: errors of ours end in one line, whatever the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order in which they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        code = OK
        try:
            super().invoke(ctx)
        except click.exceptions.Exit as end:
            code = end.exit_code
        except (MlopsError, OSError) as error:
            code = _report(error)
        raise click.exceptions.Exit(_flush(code))


def _report(error: MlopsError | OSError) -> int:
    """Say what went wrong, in a line; returns the exit code."""
    if isinstance(error, OSError) and _is_broken_pipe(error):
        return BROKEN_PIPE
    for line in str(error).splitlines() if isinstance(error, FilterSyntaxError) else [str(error)]:
        terminal.say(line if line.startswith(" ") else f"mlops: {line}")
    return USAGE if isinstance(error, InvalidValueError) else WRONG


def _is_broken_pipe(error: OSError) -> bool:
    # Windows reports EINVAL for a pipe that nobody reads
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


def _flush(code: int) -> int:
    """Write out what is buffered, here where its failure can be seen."""
    try:
        if code != BROKEN_PIPE and sys.stdout is not None:
            sys.stdout.flush()
            return code
    except OSError as error:
        code = _report(error)
    terminal.silence()
    return code


@click.group(cls=Program, epilog=example_text("mlops runs -e digits", "mlops show @1", "mlops COMMAND --help"))
@click.version_option(mlops_sdk.__version__, prog_name="mlops", message="%(prog)s %(version)s")
def mlops() -> None:
    """Experiment runs: list, read, keep, check.

    Where a command takes a RUN: an id, its beginning or end (4 characters or more), a name, or @1 for the latest run.
    """


for each in (
    init, demo, runs, show, experiments, artifacts, delete, restore, gc, backup, fsck, doctor, completion,
):  # fmt: skip
    mlops.add_command(each)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    terminal.prepare()
    mlops.main(arguments, prog_name="mlops")
    raise AssertionError("click ends the program")
