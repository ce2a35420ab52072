"""``mlops sync``: send what waits for a server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.options import command
from mlops_sdk.cli.text import count, escape

if TYPE_CHECKING:
    from mlops_sdk.stores.opening import Place

_PERIOD_S = 10.0


@command("sync", "mlops sync", "mlops sync --to http://tracking:5000 --watch")
@click.option("--to", metavar="URI", help="The server for runs that named none, or instead of the one they named.")
@click.option("--watch", is_flag=True, help="Go on until interrupted: also for runs that are still being written.")
@click.option("--store", metavar="PATH", help="The local store; without it the nearest .mlops directory upwards.")
def sync(*, to: str | None, watch: bool, store: str | None) -> None:
    """Send to their servers the runs that were offline, and what a dead network left behind.

    Each record arrives once, however often it is sent. Exit code 1 when something could not be sent.
    """
    errors, sent, left = _once(store, to)
    while watch:
        time.sleep(_PERIOD_S)
        errors, again, left = _once(store, to)
        sent += again
    terminal.write(f"sent {count(sent, 'journal')}" + (f", {count(left, 'journal')} still here" if left else ""))
    if errors:
        raise click.exceptions.Exit(1)


def _once(store: str | None, to: str | None) -> tuple[int, int, int]:
    """One pass over all servers; returns the numbers of errors, of journals sent, and of those that are left."""
    from mlops_sdk.stores.remote import directories

    home = _home(store)
    errors = sent = left = 0
    for root, uri in directories(Path(home.uri)):
        target = to or uri
        if not target:
            left += _waiting(root)
            if _waiting(root):
                terminal.say(f"mlops: {count(_waiting(root), 'run')} named no server: `mlops sync --to URI` sends them")
            continue
        outcome = _send(home, target, root)
        errors, sent, left = errors + outcome[0], sent + outcome[1], left + _waiting(root)
    return errors, sent, left


def _waiting(root: Path) -> int:
    from mlops_sdk.courier.outbound import waiting

    return waiting(root)


def _send(home: Place, uri: str, root: Path) -> tuple[int, int]:
    from mlops_sdk.courier import outbound
    from mlops_sdk.stores.remote import ForCourier, greet

    remote = ForCourier(uri)
    error = greet(remote.store, 5.0)
    if error is not None:
        terminal.say(f"mlops: {escape(str(error))}")
        return 1, 0
    report = outbound.send(home, remote, root)
    errors = [*report.errors, *outbound.send_living(home, remote, root)]
    for each in errors:
        terminal.say(f"mlops: {escape(str(each))}")
    return len(errors), len(report.adopted)


def _home(store: str | None) -> Place:
    from mlops_sdk.errors import InvalidValueError
    from mlops_sdk.stores.opening import locate, open_place

    if store is not None and locate(store) is None:
        raise InvalidValueError(f"{store} is no directory: --store names the local store, --to the server")
    return open_place(store)
