"""Tokens by the server's address, where the clients of one user find them: ``$XDG_CONFIG_HOME/mlops/tokens.json``, 0600.

A server puts the token of its first start there, so that whoever started it need not copy anything, as Jupyter does.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.errors import InvalidValueError

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PORTS = {"http": 80, "https": 443}


def address(uri: str) -> str:
    """What a server is known by: scheme, host and port; the names of this machine's loopback are one.

    Raises
    ------
    InvalidValueError
        If that is no address of a server.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidValueError(f"{uri!r} is no address of a server: {error}") from error
    if parts.scheme not in _PORTS or not host:
        raise InvalidValueError(f"{uri!r} is no address of a server: http://HOST:PORT is one")
    if parts.username or parts.password:
        raise InvalidValueError("a password in the tracking URI would be shown and stored: use MLOPS_TOKEN")
    host = "127.0.0.1" if host in _LOOPBACK else host
    return f"{parts.scheme}://{host}:{port or _PORTS[parts.scheme]}"


def file() -> Path:
    """Where tokens are kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "mlops" / "tokens.json"


def find(uri: str) -> str | None:
    """The token that is kept for a server; None when there is none."""
    found = _read().get(address(uri))
    return found if isinstance(found, str) else None


def keep(uri: str, token: str) -> None:
    """Keep the token of a server; the file appears whole, and is its owner's only.

    Raises
    ------
    OSError
    """
    path = file()
    make_directories(path.parent)
    known = {**_read(), address(uri): token}
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tokens-")  # 0600
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as target:
            json.dump(known, target, indent=1)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _read() -> dict[str, object]:
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
