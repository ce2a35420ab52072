"""``mlops server``: a store over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.options import command, store_option
from mlops_sdk.errors import InvalidValueError


@command(
    "server",
    "mlops server",
    "mlops server --host 0.0.0.0 --allow-host tracking.lab.org --certificate cert.pem --key key.pem",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", default=5005, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for a free one.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="A name that clients use for it; may be repeated.")
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="An origin whose pages may ask; may be repeated.")
@click.option("--no-auth", is_flag=True, help="Without tokens: whoever reaches it may do everything.")
@click.option(
    "--certificate", type=click.Path(dir_okay=False, path_type=Path), metavar="PEM", help="Serve HTTPS; needs --key."
)
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), metavar="PEM", help="Key of the certificate.")
@click.option("--root-path", default="", metavar="PREFIX", help="Prefix that a reverse proxy serves it under.")
@click.option("--limit", multiple=True, metavar="NAME=NUMBER", help="Another limit: body_bytes=33554432, say.")
@store_option
def server(
    *,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    no_auth: bool,
    certificate: Path | None,
    key: Path | None,
    root_path: str,
    limit: tuple[str, ...],
    store: str | None,
) -> None:
    """Serve a store over HTTP, until interrupted. Needs mlops_sdk[server].

    By default only this machine reaches it, and a token is needed: the first start makes one, which your own programs on
    this machine find by themselves.
    """
    from mlops_sdk import config
    from mlops_sdk.courier.courier import courier
    from mlops_sdk.server.limits import Limits, with_changes
    from mlops_sdk.server.serving import Serving, serve
    from mlops_sdk.stores.opening import locate, open_place

    limits = with_changes(Limits(), limit)
    serving = Serving(host, port, not no_auth, allow_host, allow_origin, certificate, key, root_path, limits)
    uri = config.resolve(tracking_uri=store).tracking_uri
    if locate(uri) is None:
        raise InvalidValueError(
            f"{uri} is no directory: a server serves a store on its own machine; name it with --store"
        )
    place = open_place(uri, make=True)
    assert place.location is not None
    assert place.journals is not None
    courier().watch(place.journals, place)  # what runs of this machine that died left in the directory itself
    courier().start()
    if not serving.is_loopback and certificate is None and not no_auth:
        terminal.say("mlops: tokens travel unencrypted: give --certificate and --key, or let a proxy speak HTTPS")
    serve(place.store, place.location.path, serving, lambda line: terminal.say(f"mlops: {line}"))
