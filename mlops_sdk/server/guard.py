"""The door: every request passes here first, and nothing is served that this module does not allow.

Who may do what is one table, `ROLES`, by method and route. A route that is not in it is a mistake that keeps the server
from starting: so nothing can be forgotten.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from mlops_sdk._logging import escape
from mlops_sdk.server.bodies import RefusedError
from mlops_sdk.server.noting import Refusals
from mlops_sdk.stores.http.coding import encodings

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from mlops_sdk.server.audit import Audit
    from mlops_sdk.server.limits import Limits
    from mlops_sdk.server.metrics import Metrics
    from mlops_sdk.server.tokens import Role, Token, Tokens

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

API = "/api/v1"
PUBLIC = "public"

ROLES: dict[tuple[str, str], str] = {
    ("GET", "/health"): PUBLIC,
    ("GET", "/ready"): PUBLIC,
    ("GET", "/metrics"): "reader",
    ("GET", "/docs"): "reader",
    ("GET", "/openapi.json"): "reader",
    ("GET", f"{API}/hello"): "reader",
    ("POST", f"{API}/find"): "reader",
    ("POST", f"{API}/keys"): "reader",
    ("POST", f"{API}/load"): "reader",
    ("POST", f"{API}/series"): "reader",
    ("POST", f"{API}/experiments"): "reader",
    ("POST", f"{API}/acknowledged"): "reader",
    ("GET", f"{API}/blobs"): "reader",
    ("HEAD", f"{API}/blobs/{{sha256}}"): "reader",
    ("GET", f"{API}/blobs/{{sha256}}"): "reader",
    ("GET", f"{API}/quarantine"): "admin",
    ("POST", f"{API}/batches"): "writer",
    ("POST", f"{API}/settle"): "writer",
    ("GET", f"{API}/blobs/{{sha256}}/upload"): "writer",
    ("PUT", f"{API}/blobs/{{sha256}}"): "writer",
    ("DELETE", f"{API}/blobs/{{sha256}}"): "admin",
}
"""Least role by method and route; PUBLIC: without a token."""

_log = logging.getLogger("mlops_sdk.server")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"accept-encoding", ", ".join(encodings()).encode()),  # of requests: RFC 7694
)


class Guard:
    """Checks Host, Origin, token and role, bounds the headers, gives every request an id and logs it.

    Parameters
    ----------
    app : ASGI application
    routes : iterable of routes
        Of the application.
    tokens : Tokens or None
        None: everybody may do everything; for servers that were told so in so many words.
    hosts : iterable of str
        Names, without port, that the server answers to; ``"*"`` for any.
    origins : iterable of str
        Origins beside its own from which browsers may ask.
    limits : Limits
    metrics : Metrics
    audit : Audit, optional
        Told who was refused.
    root_path : str
        Prefix that a proxy serves the application under; requests come with it or without.

    Raises
    ------
    AssertionError
        If a route has no role, or a role no route.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        routes: Iterable[BaseRoute],
        *,
        tokens: Tokens | None,
        hosts: Iterable[str],
        origins: Iterable[str],
        limits: Limits,
        metrics: Metrics,
        audit: Audit | None = None,
        root_path: str = "",
    ) -> None:
        self._app = app
        self._routes = [each for each in routes if getattr(each, "methods", None)]
        self._tokens = tokens
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._limits = limits
        self._metrics = metrics
        self._root_path = root_path.rstrip("/")
        self._refusals = Refusals(audit, limits.failures_s)
        self._failures: dict[str, deque[float]] = {}
        _check_table(self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request_id, began = secrets.token_hex(8), time.monotonic()
        status = [500]
        scope.setdefault("state", {})["request_id"] = request_id

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS, (b"x-request-id", request_id.encode())]
            await send(message)

        token: Token | None = None
        try:
            headers = self._headers(scope)
            self._check_host(headers)
            self._check_origin(scope, headers)
            token = self._admit(scope, headers)
            scope["state"]["token"] = token
            await self._app(scope, receive, answer)
        except RefusedError as error:
            await refuse(answer, error, request_id)
            await self._refusals.note(scope, error)
        finally:
            took_s = time.monotonic() - began
            self._metrics.request(scope["method"], status[0], took_s)
            _log_request(scope, status[0], took_s, request_id, token)

    # -- what is looked at ------------------------------------------------------------------------------------------------

    def _headers(self, scope: Scope) -> dict[str, list[str]]:
        raw = scope["headers"]
        size = sum(len(name) + len(value) for name, value in raw)
        if len(raw) > self._limits.headers or size > self._limits.header_bytes:
            raise RefusedError(431, "headers", "the headers are too large", {"Connection": "close"})
        found: dict[str, list[str]] = {}
        for name, value in raw:
            found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return found

    def _check_host(self, headers: dict[str, list[str]]) -> None:
        hosts = headers.get("host", [])
        if len(hosts) != 1:
            raise RefusedError(400, "host", "a request names one Host")
        name = host_name(hosts[0])
        if "*" in self._hosts or name in self._hosts:
            return
        shown = escape(name)[:100]
        raise RefusedError(
            421,
            "host",
            f"this server does not answer to the name {shown!r}: if it is its own, start it with `--allow-host {shown}` "
            "(this keeps web pages from reaching it under a name of theirs)",
        )

    def _check_origin(self, scope: Scope, headers: dict[str, list[str]]) -> None:
        """Browsers say which page asks: no page but our own has business here."""
        origin = headers.get("origin", [None])[0]
        own = {f"{scheme}://{headers['host'][0]}" for scheme in ("http", "https")}
        if origin is not None and origin not in own | self._origins:
            shown = escape(origin)[:200]
            raise RefusedError(403, "origin", f"pages of {shown} may not ask here: `--allow-origin {shown}` lets them")
        site = headers.get("sec-fetch-site", ["none"])[0]
        if origin is None and site not in ("none", "same-origin") and scope["method"] not in ("GET", "HEAD"):
            raise RefusedError(403, "origin", "pages of other sites may not ask here")

    def _admit(self, scope: Scope, headers: dict[str, list[str]]) -> Token | None:
        role = self._role(scope)
        if role == PUBLIC or self._tokens is None:
            return None
        token = self._tokens.check(_secret(scope["method"], headers))
        if token is None:
            raise self._unauthorised(scope)
        if role is None:
            raise RefusedError(404, "no_route", "there is no such page")
        if not token.may(_as_role(role)):
            raise RefusedError(403, "role", f"this needs a token with the role {role}; this one's is {token.role}")
        return token

    def _role(self, scope: Scope) -> str | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._root_path and path.startswith(f"{self._root_path}/"):
            path = path.removeprefix(self._root_path)
        for route in self._routes:
            matched = route.path_regex.match(path)  # type: ignore[attr-defined]
            if matched and scope["method"] in route.methods:  # type: ignore[attr-defined]
                return ROLES[scope["method"], route.path]  # type: ignore[attr-defined]
        return None

    def _unauthorised(self, scope: Scope) -> RefusedError:
        address = (scope.get("client") or ("",))[0]
        now = time.monotonic()
        failures = self._failures.setdefault(address, deque(maxlen=self._limits.failures))
        failures.append(now)
        if len(self._failures) > 10_000:
            self._failures.clear()
        if len(failures) == self._limits.failures and now - failures[0] < self._limits.failures_s:
            wait_s = str(int(self._limits.failures_s))
            return RefusedError(429, "too_many_failures", "too many wrong tokens", {"Retry-After": wait_s})
        return RefusedError(
            401,
            "token",
            "a valid token is needed: set MLOPS_TOKEN to one that `mlops token create` printed on the server",
            {"WWW-Authenticate": 'Basic realm="mlops", charset="UTF-8"'},
        )


def _check_table(routes: Iterable[Any]) -> None:
    served = {(method, route.path) for route in routes for method in route.methods}
    missing, spare = served - set(ROLES), set(ROLES) - served
    assert not missing, f"routes without a role in ROLES: {sorted(missing)}"
    assert not spare, f"roles without a route: {sorted(spare)}"


def _as_role(text: str) -> Role:
    from mlops_sdk.server.tokens import ROLES as KNOWN

    return next(role for role in KNOWN if role == text)


def host_name(host: str) -> str:
    """The name in a Host header, without its port, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _secret(method: str, headers: dict[str, list[str]]) -> str:
    """The token that a request brings; of HTTP Basic, which browsers speak, the password, for reading only."""
    given = headers.get("authorization", [])
    if len(given) != 1:
        return ""
    scheme, _, rest = given[0].partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic" and method in ("GET", "HEAD"):
        try:
            return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


async def refuse(send: Send, error: RefusedError, request_id: str) -> None:
    """Answer with an error: a fixed code, a text that gives nothing away, the id that finds it in the log."""
    body = json.dumps({"error": {"code": error.code, "message": error.message}, "request_id": request_id}).encode()
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _log_request(scope: Scope, status: int, took_s: float, request_id: str, token: Token | None) -> None:
    level = logging.WARNING if status >= 500 else logging.INFO
    if not _log.isEnabledFor(level):
        return
    said = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "request_id": request_id,
        "client": (scope.get("client") or ("",))[0],
        "token": token.id if token else None,
        "method": scope["method"],
        "path": escape(scope["path"])[:200],
        "status": status,
        "took_ms": round(took_s * 1000, 1),
    }
    _log.log(level, "%s", json.dumps(said))
