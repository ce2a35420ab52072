"""``mlops token``: who may use the server of a store."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, example_text, json_option, need_local, store_option
from mlops_sdk.cli.text import escape
from mlops_sdk.errors import InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk.server.tokens import Token, Tokens

_UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


@click.group("token", epilog=example_text("mlops token create --name ci --role writer --expires 90d"))
def token() -> None:
    """Tokens for the server of a store: run it on the server's machine."""


def _tokens(store: str | None) -> Tokens:
    from mlops_sdk.server.tokens import Tokens

    _, local = need_local(store)
    return Tokens(Path(local.directory))


@command("create", "mlops token create --name ci --role writer --expires 90d")
@click.option("--name", default="", metavar="TEXT", help="Whose, or what for.")
@click.option(
    "--role",
    type=click.Choice(["reader", "writer", "admin"]),
    default="writer",
    show_default=True,
    help="reader reads; writer logs too; admin deletes artifacts' bytes too.",
)
@click.option(
    "--experiment", multiple=True, metavar="NAME", help="Only what belongs to that experiment; may be repeated."
)
@click.option("--expires", metavar="TIME", help="After so long: 12h, 90d, 4w. Without it never.")
@store_option
def create(*, name: str, role: str, experiment: tuple[str, ...], expires: str | None, store: str | None) -> None:
    """Make a token and print it, this once: only its SHA-256 is kept.

    Clients find it in MLOPS_TOKEN. Tokens of one name stand for one user: a new one goes on with runs that an old one
    began.
    """
    tokens = _tokens(store)
    made, secret = tokens.create(name, role, lasts_s=_duration_s(expires), experiments=experiment)
    _note(tokens, "token.create", made)
    terminal.say(f"mlops: token {made.id} with the role {made.role}; it is not shown again")
    terminal.write(secret)


def _duration_s(text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if found is None:
        raise InvalidValueError(f"--expires {text!r}: give a number with m, h, d or w, 90d say")
    return int(found.group(1)) * _UNITS_S[found.group(2)]


@command("list", "mlops token list")
@json_option
@store_option
def list_tokens(*, as_json: bool, store: str | None) -> None:
    """List tokens: id, role, state, name."""
    known = _tokens(store).listed()
    if as_json:
        shown = [
            {
                "id": each.id,
                "name": each.name,
                "role": each.role,
                "state": _state(each),
                "created": _time(each.created_ns),
                "expires": _time(each.expires_ns),
                "experiments": each.experiments,
            }
            for each in known
        ]
        terminal.write(to_json(shown))
        return
    terminal.write(f"{each.id}  {each.role:<6}  {_state(each):<8}  {escape(each.name)}{_only(each)}" for each in known)


def _only(each: Token) -> str:
    return "" if each.experiments is None else f"  only {escape(', '.join(each.experiments))}"


def _note(tokens: Tokens, action: str, made: Token) -> None:
    from mlops_sdk.server.audit import Audit, local_user

    Audit(tokens.path.parent).add(local_user(), action, made.id, {"name": made.name, "role": made.role})


def _state(each: Token) -> str:
    if each.revoked_ns is not None:
        return "revoked"
    return "valid" if each.is_valid(time.time_ns()) else "expired"


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")


@command("revoke", "mlops token revoke 3f9a1c2b")
@click.argument("token_id")
@store_option
def revoke(token_id: str, *, store: str | None) -> None:
    """End the validity of a token, now."""
    tokens = _tokens(store)
    ended = tokens.revoke(token_id)
    _note(tokens, "token.revoke", ended)
    terminal.write(f"token {ended.id} is revoked")


token.add_command(create)
token.add_command(list_tokens, "list")
token.add_command(revoke)
