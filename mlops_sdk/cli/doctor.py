"""``mlops doctor``: where everything is, why, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, json_option, store_option
from mlops_sdk.cli.table import Column, lay_out
from mlops_sdk.cli.text import count, escape, exact, size

if TYPE_CHECKING:
    from mlops_sdk.cli.diagnosis import Diagnosis, Finding
    from mlops_sdk.cli.journals import Pending


@command("doctor", "mlops doctor", "mlops doctor --store /lab/experiments --json")
@json_option
@store_option
def doctor(*, as_json: bool, store: str | None) -> None:
    """Say where the store is and why, how journals are written, what is not delivered yet, and what is damaged.

    Changes nothing. Exit code 1 when something is damaged.
    """
    from mlops_sdk.cli.diagnosis import diagnose

    found = diagnose(store)
    terminal.write(to_json(found.to_dict()) if as_json else _report(found))
    if found.problems:
        raise click.exceptions.Exit(1)


def _report(found: Diagnosis) -> Iterator[str]:
    yield from _facts("versions", found.versions)
    yield from _facts("settings", {each["name"]: _setting(each) for each in found.settings})
    for title, facts in (("store", found.store), ("database", found.database), ("journal", found.journal)):
        yield from _facts(
            title, {name.removesuffix("_bytes").replace("_", " "): _fact(name, facts[name]) for name in facts}
        )
    if found.journal:
        yield from _writers(found.writers)
    yield from _findings("notes", found.notes)
    yield from _findings("problems", found.problems)
    if not found.problems:
        yield terminal.paint("no damage found; `mlops fsck` checks every point and file", fg="green")


def _setting(setting: Mapping[str, Any]) -> str:
    value = exact(setting["value"]) or "(not set)"
    return value if setting["source"] == "default" else f"{value} (from {setting['source']})"


def _fact(name: str, value: Any) -> str:
    return size(value) if name.endswith("_bytes") else exact(value)


def _facts(title: str, facts: Mapping[str, str]) -> Iterator[str]:
    if facts:
        indent = max(map(len, facts))
        yield from (terminal.title(title), *(f"  {name:<{indent}}  {escape(text)}" for name, text in facts.items()), "")


def _writers(writers: Iterable[Pending]) -> Iterator[str]:
    shown = list(writers)
    waiting = sum(each.records for each in shown)
    yield terminal.title(f"undelivered: {count(waiting, 'record')} of {count(len(shown), 'writer')}")
    if shown:
        columns = [
            Column("run", [each.run_id[-8:] for each in shown], max_width=8),
            Column("writer", [each.writer_id[-8:] for each in shown], max_width=8),
            Column("role", [each.role for each in shown]),
            Column("records", [f"{each.records:,}" for each in shown], is_right=True),
            Column("size", [size(each.pending_bytes) for each in shown], is_right=True),
            Column("dropped", [f"{each.dropped:,}" for each in shown], is_right=True),
            Column("host", [each.host for each in shown]),
            Column("pid", [str(each.pid) for each in shown], is_right=True),
            Column("state", [(each.unreadable and "cannot be read") or each.state for each in shown], max_width=50),
        ]
        yield from (f"  {line}" for line in lay_out(columns, terminal.width() - 2).lines)
    yield ""


def _findings(title: str, findings: Iterable[Finding]) -> Iterator[str]:
    lines = [
        f"  {escape(each.place)}: {escape(each.what)}" + f". {each.advice}" * bool(each.advice) for each in findings
    ]
    if lines:
        yield from (terminal.title(title), *lines, "")
