"""``mlops audit``: who did what to a served store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, json_option, need_local, store_option
from mlops_sdk.cli.text import count, escape

if TYPE_CHECKING:
    from mlops_sdk.server.audit import Audit, Entry


@command("audit", "mlops audit -n 50", "mlops audit --verify", "mlops audit --verify --noted 9f2c...")
@click.option("-n", "limit", default=100, show_default=True, type=click.IntRange(1), help="How many, the newest.")
@click.option("--verify", is_flag=True, help="Check that nothing was changed, removed or put in between.")
@click.option("--noted", metavar="HASH", help="With --verify: a hash that it printed earlier, which has to be there.")
@json_option
@store_option
def audit(*, limit: int, verify: bool, noted: str | None, as_json: bool, store: str | None) -> None:
    """Say who did what to a served store. Run it on the server's machine.

    Exit code 1 when the log was tampered with.
    """
    from mlops_sdk.server.audit import Audit

    _, local = need_local(store)
    log = Audit(Path(local.directory))
    if verify or noted is not None:
        _verify(log, noted, as_json=as_json)
        return
    entries = log.entries(last=limit)
    if as_json:
        terminal.write(to_json([_plain(entry) for entry in entries]))
    else:
        terminal.write(_line(entry) for entry in entries)


def _verify(log: Audit, noted: str | None, *, as_json: bool) -> None:
    verdict = log.verify(noted=noted)
    if as_json:
        said = {"is_sound": not verdict.problems, "count": verdict.count, "head": verdict.head}
        terminal.write(to_json({**said, "problems": verdict.problems}))
    elif verdict.problems:
        terminal.write(verdict.problems)
    else:
        terminal.write(f"{count(verdict.count, 'entry', 'entries')}, all in their place; the last is {verdict.head}")
    if verdict.problems:
        raise click.exceptions.Exit(1)


def _time(entry: Entry) -> str:
    return datetime.fromtimestamp(entry.time_ns / 1e9, UTC).isoformat(timespec="seconds")


def _plain(entry: Entry) -> dict[str, Any]:
    said = {"number": entry.number, "time": _time(entry), "actor": entry.actor, "action": entry.action}
    return {**said, "subject": entry.subject, "detail": json.loads(entry.detail), "hash": entry.hash}


def _line(entry: Entry) -> str:
    detail = "" if entry.detail == "{}" else f"  {entry.detail}"
    return escape(f"{entry.number:>6}  {_time(entry)}  {entry.actor}  {entry.action}  {entry.subject}{detail}")
