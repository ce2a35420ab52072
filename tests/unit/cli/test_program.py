"""The program as a process: how it starts, what it loads, how it ends, where its output goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import mlops_sdk
from mlops_sdk.cli.program import COMMANDS, mlops
from tests.unit.cli.conftest import Mlops

MLOPS = [sys.executable, "-m", "mlops_sdk.cli"]
HEAVY = {"numpy", "pandas", "sqlite_utils", "matplotlib", "pydantic", "psutil", "requests", "joblib", "rich.console"}


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*MLOPS, *map(str, arguments)], capture_output=True, timeout=60, env={**os.environ, **environment}
    )


def commands() -> dict[str, click.Command]:
    """Every command by the words one types."""
    context = click.Context(mlops)
    found: dict[str, click.Command] = {}
    for name in mlops.list_commands(context):
        command = mlops.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
    return found


@pytest.mark.parametrize("name", commands())
def test_each_command_explains_itself_with_an_example(mlops: Mlops, name: str) -> None:
    result = mlops(*name.split(), "--help")
    assert result.exit_code == 0
    example = result.stdout.partition("Example:\n")[2]
    assert f"mlops {name}" in example
    assert all(option.help for option in commands()[name].params if isinstance(option, click.Option))


def test_the_list_of_commands_says_what_each_is(mlops: Mlops) -> None:
    text = mlops("--help").stdout
    assert all(summary in text for _, summary in COMMANDS.values())
    assert all(command.name == name.split()[-1] for name, command in commands().items())


@pytest.mark.parametrize(
    "name", ["runs", "show", "experiments", "delete", "restore", "gc", "backup", "fsck", "doctor", "artifacts ls"]
)
def test_each_command_that_reads_takes_a_store(name: str) -> None:
    assert "--store" in {option for parameter in commands()[name].params for option in parameter.opts}


def test_version(mlops: Mlops) -> None:
    assert mlops("--version").stdout == f"mlops {mlops_sdk.__version__}\n"


def test_an_unknown_command_is_wrong_use(mlops: Mlops) -> None:
    result = mlops("frobnicate")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "frobnicate" in result.stderr


@pytest.mark.parametrize("arguments, more", [(["--help"], {"rich", "sqlite3"}), (["runs"], set())])
def test_a_command_loads_what_it_needs_and_no_more(made: Path, arguments: list[str], more: set[str]) -> None:
    script = f"""
import sys
from mlops_sdk.cli import main
try:
    main({[*arguments, *(["--store", str(made)] if "runs" in arguments else [])]!r})
finally:
    sys.stderr.write("loaded:" + " ".join(sorted({HEAVY | more!r} & sys.modules.keys())))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, b"loaded:")
    assert done.stdout


def test_a_reader_that_goes_away_is_no_error_of_ours(made: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as nobody:
        done = subprocess.run([*MLOPS, "runs", "--store", str(made)], stdout=nobody, stderr=subprocess.PIPE, timeout=60)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_that_cannot_be_written_is_an_error(made: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*MLOPS, "runs", "--store", str(made)], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)


def test_code_pages_without_our_characters_lose_no_line(made: Path) -> None:
    encoding = "cp437"
    done = run("show", "run-slow", "--store", made, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    (loss,) = (line.split() for line in done.stdout.decode(encoding).splitlines() if line.split()[:1] == ["loss"])
    assert len(loss[6]) == 24


def test_output_to_a_file_has_no_colours_and_needs_no_terminal(made: Path) -> None:
    done = run("runs", "--store", made, TERM="xterm-256color", COLUMNS="")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert b"rate" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on this system")
@pytest.mark.parametrize("variables, is_coloured", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_and_width_of_a_terminal(made: Path, variables: dict[str, str], is_coloured: bool) -> None:
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": "xterm", **variables}
    command = [*MLOPS, "runs", "-e", "digits", "--store", str(made)]
    done = subprocess.run(command, stdout=slave, stderr=subprocess.PIPE, env=environment, timeout=60)
    os.close(slave)
    text = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0
    assert ("\x1b[32mFINISHED" in text) == is_coloured
    assert ("\x1b" in text) == is_coloured
    assert "more columns would not fit" in done.stderr.decode()
    plain = click.unstyle(text)
    assert all(len(line) <= 70 for line in plain.splitlines())


def test_an_interrupt_ends_the_command_quietly(mlops: Mlops, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mlops_sdk, "list_experiments", interrupt)
    mlops("init")
    result = mlops("experiments")
    assert (result.exit_code, result.output) == (130, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(mlops: Mlops, shell: str) -> None:
    assert "_MLOPS_COMPLETE" in mlops("completion", shell).stdout


def test_completion_knows_the_commands() -> None:
    done = run(_MLOPS_COMPLETE="bash_complete", COMP_WORDS="mlops expe", COMP_CWORD="1")
    assert done.stdout.split() == [b"plain,experiments"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_store_that_may_not_be_read_is_one_line(mlops: Mlops, store: Path) -> None:
    store.chmod(0)
    try:
        result = mlops("runs", "--store", store)
    finally:
        store.chmod(0o700)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
