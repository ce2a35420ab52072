"""The page of the command line has every command and option, and no other."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

from mlops_sdk.cli.program import mlops

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands() -> dict[str, click.Command]:
    """Every command by the words one types; groups are not commands."""
    context = click.Context(mlops)
    found: dict[str, click.Command] = {}
    for name in mlops.list_commands(context):
        command = mlops.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found


def section(name: str) -> str:
    """The text below a command's heading."""
    found = re.search(rf"^### `mlops {re.escape(name)}[^`]*`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no heading for mlops {name}"
    return found.group(1)


@pytest.mark.parametrize("name", commands())
def test_each_command_has_a_section_with_an_example(name: str) -> None:
    assert f"\nmlops {name}" in section(name)


@pytest.mark.parametrize("name", commands())
def test_each_option_is_described(name: str) -> None:
    own = [each.opts[-1] for each in commands()[name].params if isinstance(each, click.Option)]
    missing = [option for option in own if option != "--store" and f"`{option}" not in section(name)]
    assert missing == []


def test_headings_name_existing_commands_only() -> None:
    headings = re.findall(r"^### `mlops ([^`]+)`", PAGE, re.MULTILINE)
    assert len(headings) == len(commands())
    assert all(any(f"{heading} ".startswith(f"{name} ") for name in commands()) for heading in headings)


def examples() -> list[str]:
    blocks = re.findall(r"```(?:console|bash)\n(.*?)```", PAGE, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if "mlops " in line[:8]]


@pytest.mark.parametrize("line", examples())
def test_examples_are_commands_that_can_be_parsed(line: str) -> None:
    words = list(itertools.takewhile(lambda word: word not in (">", "|"), shlex.split(line)))[1:]
    context: click.Context = click.Context(mlops)
    command: click.Command | None = mlops
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
    assert command is not None, line
    command.make_context("mlops", [*words])


def test_exit_codes_are_those_of_the_program() -> None:
    from mlops_sdk.cli import program

    for code in (program.OK, program.WRONG, program.USAGE, program.INTERRUPTED, program.BROKEN_PIPE):
        assert re.search(rf"^\| {code} \|", PAGE, re.MULTILINE)
