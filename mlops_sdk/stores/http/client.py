"""One client of a server: its connections, its token, its patience.

Notes
-----
Every call has a timeout. What failed before the server can have done anything, and every call that may be repeated (all of
them may: batches have numbers, bytes have digests), is tried again within a budget of time, after a pause that is random
between nothing and a bound that doubles ("full jitter").

References
----------
.. [1] Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog (2015).
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_sdk import config
from mlops_sdk.errors import InvalidValueError, MlopsError, StoreError, StoreUnavailableError
from mlops_sdk.stores.http import credentials, faults, wire
from mlops_sdk.stores.http.pieces import BLOCK_BYTES, Piece

if TYPE_CHECKING:
    import requests

API = "/api/v1"
_LONGEST_WAIT_S = 30.0
_MOST_BYTES = 4 << 30
"""Of an answer; a server that sends more has lost its way."""
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client waits.

    Attributes
    ----------
    connect_s, read_s : float
        For a connection, and for each piece of an answer.
    budget_s : float
        For a call with all that is tried again; 0: once.
    first_pause_s : float
        Bound of the first pause.
    """

    connect_s: float = 3.05
    read_s: float = 30.0
    budget_s: float = 10.0
    first_pause_s: float = 0.1


class Client:
    """Speaks to one server.

    Parameters
    ----------
    uri : str
        ``http://host:port``, with a path where a proxy serves it under one.
    token : str, optional
        Default: the one kept for that address.
    patience : Patience, optional

    Notes
    -----
    Thread-safe; the connections of a process are shared, a forked child has its own. Proxies and certificate authorities are
    found as `requests` does (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``). Redirects are refused: a token goes to
    the server that was named and to no other.
    """

    def __init__(self, uri: str, token: str | None = None, patience: Patience | None = None) -> None:
        credentials.address(uri)
        self.uri = uri.rstrip("/")
        self.patience = patience or Patience()
        self._token = token
        self._opened: tuple[int, requests.Session] | None = None
        self._lock = threading.Lock()

    def call(self, name: str, body: Mapping[str, Any], *, patience: Patience | None = None) -> Any:
        """Ask with a JSON object, and return what the answer holds."""
        answer = self.request(
            "POST", f"{API}/{name}", wire.dumps(dict(body)), {"Content-Type": "application/json"}, patience=patience
        )
        return self.understand(answer)

    def understand(self, answer: requests.Response, *fields: str) -> Any:
        """What an answer says; with `fields`, an object that has them.

        Raises
        ------
        StoreError
            If it is not what a server of ours says.
        """
        try:
            said = wire.loads(answer.content)
        except InvalidValueError:
            said = None
        if said is None and answer.content != b"null":
            raise StoreError(f"what answers at {self.uri} is no mlops server: check the address")
        if fields and not (isinstance(said, dict) and all(type(said.get(each)) in (int, str, bool) for each in fields)):
            raise StoreError(f"what answers at {self.uri} does not speak as this mlops_sdk does")
        return said

    def request(
        self,
        method: str,
        path: str,
        data: bytes | Piece | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        patience: Patience | None = None,
        missing_is_fine: bool = False,
    ) -> requests.Response:
        """One request, tried again while that makes sense.

        Raises
        ------
        StoreUnavailableError
            If the server cannot be reached, or has no time.
        AccessDeniedError
            If it refuses the token.
        MlopsError
            What the store of the server raised.
        """
        patience = patience or self.patience
        deadline, bound_s = time.monotonic() + patience.budget_s, patience.first_pause_s
        while True:
            wait_s: float | None = None
            try:
                answer = self._once(method, path, data, headers, patience)
                self._read(answer)
                if answer.status_code < 400 or (missing_is_fine and answer.status_code == 404):
                    return answer
                wait_s = _retry_after(answer)
                error: MlopsError = faults.restore(answer.status_code, _content(answer), self.uri)
                may_repeat = answer.status_code in (408, 425, 429, 502, 503, 504)
            except StoreUnavailableError as unreachable:
                error, may_repeat = unreachable, True
            pause_s = random.uniform(0, bound_s) if wait_s is None else wait_s
            if not may_repeat or time.monotonic() + pause_s > deadline:
                raise error
            time.sleep(pause_s)
            bound_s *= 2

    def _once(
        self,
        method: str,
        path: str,
        data: bytes | Piece | None,
        headers: Mapping[str, str] | None,
        patience: Patience,
    ) -> requests.Response:
        """One request, its body not read yet."""
        import requests

        if isinstance(data, Piece):
            data.rewind()
        try:
            return self._session().request(
                method,
                f"{self.uri}{path}",
                data=data,
                headers={**(headers or {}), **self._authorisation()},
                timeout=(patience.connect_s, patience.read_s),
                allow_redirects=False,
                stream=True,
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise InvalidValueError(f"{self.uri!r} is no address of a server: {error}") from error
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            raise StoreUnavailableError(f"{self.uri} cannot be reached: {_reason(error)}") from error

    def _read(self, answer: requests.Response) -> None:
        """Read the body, up to a bound: an answer that never ends must not fill the memory of whoever asked."""
        import requests

        parts, size = [], 0
        try:
            for part in answer.iter_content(_PIECE_BYTES):
                parts.append(part)
                size += len(part)
                if size > _MOST_BYTES:
                    raise StoreError(f"{self.uri} sends more than {_MOST_BYTES} bytes: that is no answer")
        except (requests.exceptions.RequestException, OSError) as error:
            raise StoreUnavailableError(f"{self.uri}: the answer broke off: {_reason(error)}") from error
        finally:
            if size > _MOST_BYTES:
                answer.close()
        answer._content = b"".join(parts)

    @contextlib.contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """A GET whose body is read piece by piece; tried once. Raises as `request` does."""
        answer = self._once("GET", path, None, headers, self.patience)
        try:
            if answer.status_code >= 400:
                self._read(answer)
                raise faults.restore(answer.status_code, _content(answer), self.uri)
            yield answer
        finally:
            answer.close()

    def _authorisation(self) -> dict[str, str]:
        token = self._token or config.resolve().token or credentials.find(self.uri)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _session(self) -> requests.Session:
        """The session of this process: a child of a fork must not speak on its parent's connections."""
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = (os.getpid(), _new_session())
            return self._opened[1]

    def close(self) -> None:
        """Close every connection; the next call opens what it needs."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()


def _new_session() -> requests.Session:
    """A session that threads may share: it keeps connections, and no cookies."""
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter

    class _Adapter(HTTPAdapter):
        """Sends files in large blocks: 16 KiB, the default, cost more calls than bytes."""

        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options, blocksize=BLOCK_BYTES)

        def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
            return super().proxy_manager_for(*args, **{**options, "blocksize": BLOCK_BYTES})

    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "mlops_sdk"
    session.auth = _no_netrc
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_connections=2, pool_maxsize=32))
    return session


def _no_netrc(request: Any) -> Any:
    """`requests` would replace our token by what ``~/.netrc`` says."""
    return request


def _content(answer: requests.Response) -> Any:
    try:
        return wire.loads(answer.content)
    except MlopsError:
        return None


def _retry_after(answer: requests.Response) -> float | None:
    said = answer.headers.get("Retry-After", "")
    return min(float(said), _LONGEST_WAIT_S) if said.isdigit() and len(said) < 10 else None


def _reason(error: Exception) -> str:
    text = str(error)
    for sign, words in (
        ("Connection refused", "nobody listens there"),
        ("timed out", "it does not answer in time"),
        ("Name or service not known", "there is no host of that name"),
        ("certificate verify failed", "its certificate cannot be verified"),
    ):
        if sign in text:
            return words
    return f"{type(error).__name__}: {text[:200]}"
