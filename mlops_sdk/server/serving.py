"""Running the server: where it listens, who may come, and how it ends."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk import __version__
from mlops_sdk.errors import InvalidValueError, MissingDependencyError, StoreUnavailableError
from mlops_sdk.server.audit import Audit, local_user
from mlops_sdk.server.limits import Limits
from mlops_sdk.server.tokens import Tokens
from mlops_sdk.stores.http import credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_sdk.stores.protocol import Store

DEFAULT_PORT = 5005
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_GRACE_S = 10
_FIRST = "made at the first start"


@dataclass(frozen=True, slots=True)
class Serving:
    """How the server is run.

    Attributes
    ----------
    host : str
        Address to listen on.
    port : int
        0: any that is free.
    has_auth : bool
        False: everybody who can reach it may do everything.
    hosts, origins : tuple of str
        Names it answers to and pages that may ask, beside its own.
    certificate, key : Path or None
        PEM files: HTTPS.
    root_path : str
        Prefix that a reverse proxy serves it under.
    limits : Limits
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    has_auth: bool = True
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    root_path: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in _LOOPBACK


def serve(store: Store, directory: Path, serving: Serving, say: Callable[[str], object]) -> None:
    """Serve `store` until interrupted or terminated; what is being applied then is finished.

    Parameters
    ----------
    store : Store
    directory : Path
        For tokens and unfinished uploads: the store's.
    serving : Serving
    say : callable
        Told a line for people.

    Raises
    ------
    MissingDependencyError
        Without the extra ``server``.
    StoreUnavailableError
        If the address cannot be listened on, or the store cannot be opened.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingDependencyError("uvicorn", extra="server", purpose="mlops server") from error
    from mlops_sdk.server.app import LOOPBACK, make_app

    if (serving.certificate is None) != (serving.key is None):
        raise InvalidValueError("--certificate and --key go together")
    _ = store.store_id  # what is wrong with the store is said now
    tokens = Tokens(directory) if serving.has_auth else None
    own = () if serving.host in ("0.0.0.0", "::") else (serving.host,)  # noqa: S104 - compared, not listened on
    app = make_app(
        store,
        tokens=tokens,
        uploads=directory / "uploads",
        hosts=(*LOOPBACK, *own, *serving.hosts),
        origins=serving.origins,
        root_path=serving.root_path,
        limits=serving.limits,
    )
    audit = Audit(directory)
    _log_to_stderr()
    with _listen(serving) as listener:
        scheme = "http" if serving.certificate is None else "https"
        uri = f"{scheme}://{serving.host}:{listener.getsockname()[1]}{serving.root_path}"
        if tokens is not None:
            _first_token(tokens, uri, say)
        else:
            say(f"WARNING: no authentication: whoever reaches {uri} may read, write and delete everything")
        say(f"serving {store.uri} at {uri} (MLOPS_TRACKING_URI={uri})")
        audit.add(local_user(), "server.start", uri, {"auth": serving.has_auth, "version": __version__})
        config = uvicorn_config(app, serving.limits, certificate=serving.certificate, key=serving.key)
        try:
            with _ending_well():
                uvicorn.Server(config).run([listener])
        finally:
            audit.add(local_user(), "server.stop", uri)


@contextlib.contextmanager
def _ending_well() -> Iterator[None]:
    """Uvicorn stops gracefully at SIGTERM, and then has the signal end the process, before anything else is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def uvicorn_config(app: Any, limits: Limits, *, certificate: Path | None = None, key: Path | None = None) -> Any:
    """How uvicorn runs the application: nobody is waited for without end, and the log is ours."""
    import uvicorn

    from mlops_sdk.server.connections import make_protocol

    return uvicorn.Config(
        app,
        http=make_protocol(limits),
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,  # what a client says of itself changes nothing, through a proxy or not
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=max(32 << 10, 2 * limits.header_bytes),
        backlog=2048,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def _listen(serving: Serving) -> socket.socket:
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # TCP by name: asyncio turns Nagle off
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((serving.host, serving.port))
    except OSError as error:
        listener.close()
        where = f"{serving.host}:{serving.port}"
        raise StoreUnavailableError(
            f"cannot listen on {where}: {error.strerror or error}: --port names another"
        ) from error
    return listener


def _first_token(tokens: Tokens, uri: str, say: Callable[[str], object]) -> None:
    """At the first start make a token, and put it where the clients of this user find it."""
    if not any(each.is_valid(each.created_ns) for each in tokens.listed()):
        _, secret = tokens.create(_FIRST, "admin")
        credentials.keep(uri, secret)
        say(f"a token was made and is kept in {credentials.file()}: your own programs on this machine find it there")
    elif credentials.find(uri) is None:
        say("clients need a token: `mlops token create` makes one")


def _log_to_stderr() -> None:
    log = logging.getLogger("mlops_sdk.server")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    log.propagate = False
