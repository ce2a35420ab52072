"""The program: its commands, and how it ends.

Exit codes: 0 all is well, 1 something was found wrong, or was not found, 2 the command was used wrongly, 130 interrupted,
141 whoever read the output went away.
"""

from __future__ import annotations

import errno
import keyword
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

import mlops_sdk
from mlops_sdk.cli import terminal
from mlops_sdk.cli.options import example_text
from mlops_sdk.errors import FilterSyntaxError, InvalidValueError, MlopsError

OK, WRONG, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


COMMANDS = {
    "init": ("start", "Make a store."),
    "demo": ("start", "Train a few models, tracked, and show where everything went."),
    "runs": ("runs", "List runs, newest first."),
    "show": ("show", "Show a run: params, metrics, artifacts, and how it ended."),
    "compare": ("compare", "What changed between runs, and whether it is more than noise."),
    "plot": ("plot", "Draw a metric of runs, into a file or the terminal."),
    "watch": ("watch", "Follow a run until it ends."),
    "experiments": ("runs", "List experiments with the number of their runs."),
    "artifacts": ("artifacts", "List and fetch the files of a run."),
    "fingerprint": ("data", "Say the identity of a data file or directory."),
    "diff-data": ("data", "Say what changed between two data sets."),
    "delete": ("trash", "Move runs to the trash; nothing is lost until `mlops gc`."),
    "restore": ("trash", "Bring runs back from the trash."),
    "gc": ("trash", "Delete for good what is in the trash, and unused files."),
    "backup": ("upkeep", "Copy the store, and check the copy."),
    "fsck": ("upkeep", "Check everything that is stored; changes nothing."),
    "server": ("server", "Serve a store over HTTP."),
    "token": ("tokens", "Say who may use the server of a store."),
    "audit": ("audit", "Say who did what to a served store."),
    "sync": ("sync", "Send to their servers the runs that were offline."),
    "export": ("moving", "Write runs into a file."),
    "import": ("moving", "Bring the runs of a file into a store."),
    "copy": ("moving", "Copy runs from one store to another."),
    "doctor": ("doctor", "Say where the store is and why, and what is wrong with it."),
    "completion": ("start", "Print the script that makes a shell complete mlops commands."),
}
"""By name: the module of this package, and a line of help. A module is loaded when its command runs."""


class Program(click.Group):
    """The group of all commands: errors of ours end in one line, whatever the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, loaded now."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"mlops_sdk.cli.{COMMANDS[cmd_name][0]}")
        found = getattr(module, cmd_name.replace("-", "_") + "_" * keyword.iskeyword(cmd_name))
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        code = OK
        try:
            super().invoke(ctx)
        except click.exceptions.Exit as end:
            code = end.exit_code
        except (MlopsError, OSError) as error:
            code = _report(error)
        except KeyboardInterrupt:
            code = INTERRUPTED
        raise click.exceptions.Exit(_flush(code))


def _report(error: MlopsError | OSError) -> int:
    """Say what went wrong, in a line; returns the exit code."""
    if isinstance(error, OSError) and _is_broken_pipe(error):
        return BROKEN_PIPE
    if isinstance(error, OSError) and error.strerror:
        terminal.say(f"mlops: {error.filename}: {error.strerror}" if error.filename else f"mlops: {error.strerror}")
    elif isinstance(error, FilterSyntaxError):  # the place in the text is marked below it
        for line in f"mlops: {error}".splitlines():
            terminal.say(line)
    else:
        terminal.say(f"mlops: {error}")
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


@click.group(
    cls=Program,
    context_settings={"max_content_width": 100},
    epilog=example_text("mlops runs -e digits", "mlops show @1", "mlops COMMAND --help"),
)
@click.version_option(mlops_sdk.__version__, prog_name="mlops", message="%(prog)s %(version)s")
def mlops() -> None:
    """Experiment runs: list, read, keep, check.

    Where a command takes a RUN: an id, its beginning or end (4 characters or more), a name, or @1 for the latest run.
    """


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
