"""The application: routes over a store.

Whatever names a client gives travel in bodies, never in paths: a URL holds nothing but digests.
"""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mlops_sdk import __version__
from mlops_sdk._logging import escape
from mlops_sdk.conditions import FieldKind
from mlops_sdk.entities import PARTS, RunQuery
from mlops_sdk.errors import (
    ArtifactNotFoundError,
    InvalidValueError,
    MissingDependencyError,
    MlopsError,
)
from mlops_sdk.server import quarantine
from mlops_sdk.server.access import Access
from mlops_sdk.server.answers import answer, answer_bytes
from mlops_sdk.server.audit import Audit
from mlops_sdk.server.bodies import RefusedError, pieces
from mlops_sdk.server.guard import API, Guard
from mlops_sdk.server.ingest import BusyError, Ingest
from mlops_sdk.server.limits import Limits
from mlops_sdk.server.metrics import Metrics
from mlops_sdk.server.noting import note
from mlops_sdk.server.quarantine import Quarantine
from mlops_sdk.server.questions import Readers, asked, in_thread, text_of, token_of
from mlops_sdk.server.streams import read_ahead, receive
from mlops_sdk.server.transfers import Uploads, check_digest
from mlops_sdk.server.writing import add_writing
from mlops_sdk.stores.http import faults, wire

try:
    import anyio.to_thread
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import StreamingResponse
    from starlette.requests import ClientDisconnect
except ImportError as error:
    raise MissingDependencyError("fastapi", extra="server", purpose="mlops server") from error

if TYPE_CHECKING:
    from mlops_sdk.server.tokens import Tokens
    from mlops_sdk.stores.protocol import Store

_log = logging.getLogger("mlops_sdk.server")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


class Service:
    """A store, and what the routes need beside it."""

    def __init__(self, store: Store, tokens: Tokens | None, limits: Limits, uploads: Path) -> None:
        self.store = store
        self.limits = limits
        self.metrics = Metrics()
        self.ingest = Ingest(store, limits.waiting_bytes)
        self.uploads = Uploads(uploads, store.blobs)
        self.readers = Readers(limits)
        self.access = Access(store, tokens)
        self.audit = Audit(uploads.parent)
        self.quarantine = Quarantine(
            uploads.parent / quarantine.DIRECTORY, limits.quarantine_bytes, limits.quarantine_batches
        )

    def close(self) -> None:
        """Apply what waits."""
        self.ingest.close()
        self.uploads.sweep()


def make_app(
    store: Store,
    *,
    tokens: Tokens | None,
    uploads: Path,
    hosts: Iterable[str] = LOOPBACK,
    origins: Iterable[str] = (),
    limits: Limits | None = None,
    root_path: str = "",
) -> Guard:
    """The ASGI application that serves `store`.

    Parameters
    ----------
    store : Store
    tokens : Tokens or None
        None: no authentication.
    uploads : Path
        Directory for artifacts that are not complete yet; beside it are the audit log and the quarantine.
    hosts, origins : iterable of str
        See `Guard`.
    limits : Limits, optional
    root_path : str
        Prefix that a reverse proxy serves it under.

    Raises
    ------
    MissingDependencyError
        Without the extra ``server``.
    """
    limits = limits or Limits()
    service = Service(store, tokens, limits, uploads)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title="mlops server",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        root_path=root_path,
        redirect_slashes=False,
    )
    for route in app.router.routes:
        methods = getattr(route, "methods", None)
        if methods is not None:
            methods.discard("HEAD")
    _add_state(app, service)
    _add_reading(app, service)
    _add_reading_more(app, service)
    add_writing(app, service)
    _add_blobs(app, service)
    _add_errors(app)
    return Guard(
        app,
        app.router.routes,
        tokens=tokens,
        hosts=hosts,
        origins=origins,
        limits=limits,
        metrics=service.metrics,
        audit=service.audit,
        root_path=root_path,
    )


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return _problem(request, error.status, error.code, error.message, {}, error.headers)

    @app.exception_handler(MlopsError)
    async def ours(request: Request, error: MlopsError) -> Response:
        if isinstance(error, BusyError):
            return _problem(request, 429, "busy", str(error), {}, {"Retry-After": "1"})
        code, data = faults.describe(error)
        return _problem(request, faults.STATUS[code], code, _TEXTS.get(code, code.replace("_", " ")), data, {})

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: Exception) -> Response:
        return _problem(request, 400, "disconnected", "the client went away in the middle of a body", {}, {})

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def no_route(request: Request, _: Exception) -> Response:
        return _problem(request, 404, "no_route", "there is no such page", {}, {})

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        request_id = request.scope.get("state", {}).get("request_id", "")
        trace = escape("".join(traceback.format_exception(error))[-4000:])
        _log.error("%s", wire.dumps({"request_id": request_id, "error": trace}).decode())
        return _problem(request, 500, "internal", "the server met an error; its log says which", {}, {})


_TEXTS = {
    "unavailable": "the store cannot be written or read just now",
    "corrupt": "the bytes are damaged, here or on the way",
    "version": "the store is of another version than the server",
}


def _problem(
    request: Request, status: int, code: str, message: str, data: dict[str, Any], headers: dict[str, str]
) -> Response:
    request_id = request.scope.get("state", {}).get("request_id", "")
    body = {"error": {"code": code, "message": message, "data": data}, "request_id": request_id}
    return Response(wire.dumps(body), status, {**headers, "Content-Type": "application/json"})


# -- routes --------------------------------------------------------------------------------------------------------------


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Whether the process lives")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", summary="Whether the store answers")
    async def ready() -> Response:
        await in_thread(lambda: service.store.acknowledged(""))
        return Response('{"status":"ready"}', media_type="application/json")

    @app.get("/metrics", summary="Counts, for Prometheus")
    async def metrics() -> Response:
        text = service.metrics.text(waiting_bytes=service.ingest.waiting_bytes)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get(f"{API}/hello", summary="What this server is")
    async def hello(request: Request) -> Response:
        token = token_of(request)
        store_id = await in_thread(lambda: service.store.store_id)
        role = token.role if token else "admin"
        bound = {"experiments": token.experiments} if token and token.experiments is not None else {}
        return await answer(
            request, {"protocol": wire.PROTOCOL, "version": __version__, "store_id": store_id, "role": role, **bound}
        )


def _add_reading(app: FastAPI, service: Service) -> None:
    store, limits, access = service.store, service.limits, service.access

    @app.post(f"{API}/find", summary="Runs that fit, in order")
    async def find(request: Request) -> Response:
        query = (await asked(request, service)).get("query")
        if not isinstance(query, RunQuery):
            raise InvalidValueError("query is missing, or no RunQuery", key="query")
        token = token_of(request)
        return await answer(
            request,
            await service.readers.run(
                lambda: _sensible(lambda: store.find(access.query(token, _bounded(query, limits))))
            ),
        )

    @app.post(f"{API}/keys", summary="Names that runs have values under")
    async def keys(request: Request) -> Response:
        kind: Any = (await asked(request, service)).get("kind")
        if kind not in get_args(FieldKind):
            raise InvalidValueError(f"kind is one of {', '.join(get_args(FieldKind))}", key="kind")
        return await answer(
            request, await service.readers.run(lambda: _sensible(lambda: access.keys(token_of(request), kind)))
        )

    @app.post(f"{API}/load", summary="Parts of runs")
    async def load(request: Request) -> Response:
        body = await asked(request, service)
        run_ids: Any = body.get("run_ids")
        parts: Any = body.get("parts")
        if not _are_texts(run_ids) or not _are_texts(parts) or len(run_ids) > limits.runs or len(parts) > len(PARTS):
            raise InvalidValueError(f"run_ids are up to {limits.runs} texts, parts are of {', '.join(PARTS)}")
        return await answer(
            request,
            await service.readers.run(lambda: _sensible(lambda: access.load(token_of(request), run_ids, parts))),
        )

    @app.post(f"{API}/series", summary="Every point of a metric, as columns")
    async def series(request: Request) -> Response:
        body = await asked(request, service)
        run_id, key = text_of(body, "run_id", limits), text_of(body, "key", limits)
        rank, attempt = body.get("rank"), body.get("attempt")
        for name, value in (("rank", rank), ("attempt", attempt)):
            if value not in (None, "all") and type(value) is not int:
                raise InvalidValueError(f'{name} is a number, "all" or null', key=name)

        def read() -> bytes:
            access.need_run(token_of(request), run_id)
            return wire.encode_series(_sensible(lambda: store.series(run_id, key, rank=rank, attempt=attempt)))

        return await answer_bytes(request, await service.readers.run(read), "application/octet-stream")


def _add_reading_more(app: FastAPI, service: Service) -> None:
    store, limits, access = service.store, service.limits, service.access

    @app.post(f"{API}/experiments", summary="Experiments by name")
    async def experiments(request: Request) -> Response:
        deleted = (await asked(request, service)).get("deleted")
        if deleted not in (None, True, False):
            raise InvalidValueError("deleted is true, false or null", key="deleted")
        return await answer(
            request,
            await service.readers.run(
                lambda: access.experiments(token_of(request), store.experiments(deleted=deleted))
            ),
        )

    @app.post(f"{API}/acknowledged", summary="What is stored of a writer")
    async def acknowledged(request: Request) -> Response:
        writer_id = text_of(await asked(request, service), "writer_id", limits)
        token = token_of(request)
        return await answer(
            request,
            await service.readers.run(
                lambda: access.acknowledged(token, _sensible(lambda: store.acknowledged(writer_id)))
            ),
        )

    @app.get(f"{API}/quarantine", summary="Batches that could not be applied, and why")
    async def quarantined(request: Request) -> Response:
        return await answer(request, await service.readers.run(service.quarantine.listed))


def _bounded(query: RunQuery, limits: Limits) -> RunQuery:
    """The same query, which may take no longer than the server lets it."""
    timeout_s = limits.query_s if query.timeout_s is None else min(float(query.timeout_s), limits.query_s)
    return replace(query, timeout_s=timeout_s)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _sensible(work: Callable[[], Any]) -> Any:
    """What a request asks for may be of a wrong type deep inside: that is its fault, not the server's."""
    try:
        return work()
    except MlopsError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        raise InvalidValueError(f"that cannot be asked for: {type(error).__name__}") from error


def _add_blobs(app: FastAPI, service: Service) -> None:
    blobs, limits, access = service.store.blobs, service.limits, service.access

    @app.get(f"{API}/blobs", summary="Digests of all artifacts' bytes, a line each")
    def digests(request: Request) -> Response:
        token = token_of(request)
        found = (each for each in blobs.digests() if access.has_blob(token, each))
        return StreamingResponse((f"{digest}\n" for digest in found), media_type="text/plain")

    @app.head(f"{API}/blobs/{{sha256}}", summary="Whether the bytes are there")
    async def has(sha256: str, request: Request) -> Response:
        check_digest(sha256)
        token = token_of(request)
        is_there = await in_thread(lambda: blobs.has(sha256) and access.has_blob(token, sha256))
        return Response(status_code=200 if is_there else 404)

    @app.get(f"{API}/blobs/{{sha256}}", summary="The bytes of an artifact")
    async def get(sha256: str, request: Request) -> Response:
        check_digest(sha256)
        if not await in_thread(lambda: access.has_blob(token_of(request), sha256)):
            raise ArtifactNotFoundError(sha256)
        path = await in_thread(lambda: blobs.path(sha256, verify=False))
        return _file(path, request.headers.get("range"))

    @app.get(f"{API}/blobs/{{sha256}}/upload", summary="How much of an upload is there")
    async def upload(sha256: str, request: Request) -> Response:
        return await answer(request, {"offset": await in_thread(lambda: service.uploads.offset(sha256))})

    @app.put(f"{API}/blobs/{{sha256}}", summary="A piece of an artifact, or all of it")
    async def put(sha256: str, request: Request) -> Response:
        check_digest(sha256)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/octet-stream":
            raise RefusedError(415, "type", "an artifact is application/octet-stream")
        offset = _number(request, "offset", 0, limits.blob_bytes)
        announced = request.headers.get("content-length", "")
        total = _number(request, "total", offset + int(announced) if announced.isdigit() else 0, limits.blob_bytes)
        there = await receive(service.uploads, sha256, offset, total, pieces(request, limits, limits.chunk_bytes))
        is_kept = await in_thread(lambda: service.uploads.keep(sha256, total))
        return await answer(request, {"offset": there, "is_kept": is_kept})

    @app.delete(f"{API}/blobs/{{sha256}}", summary="Delete the bytes of an artifact")
    async def delete(sha256: str, request: Request) -> Response:
        check_digest(sha256)
        freed = await in_thread(lambda: blobs.remove(sha256))
        await in_thread(lambda: note(service.audit, request.scope, "blob.delete", sha256, {"freed": freed}))
        return await answer(request, {"freed": freed})


def _number(request: Request, name: str, default: int, most: int) -> int:
    said = request.query_params.get(name)
    if said is None:
        return default
    if not (said.isascii() and said.isdigit() and len(said) < 20) or int(said) > most:
        raise InvalidValueError(f"{name} is a number up to {most}", key=name)
    return int(said)


def _file(path: Path, wanted: str | None) -> Response:
    """A file, or what is behind some offset of it; one range a request."""
    size = path.stat().st_size
    first, last = 0, size - 1
    if wanted is not None:
        found = _RANGE.fullmatch(wanted.strip())
        if found is None or int(found.group(1)) >= max(size, 1):
            raise RefusedError(
                416, "range", "one range, bytes=FIRST- or bytes=FIRST-LAST", {"Content-Range": f"bytes */{size}"}
            )
        first, last = int(found.group(1)), min(int(found.group(2) or last), last)
    headers = {
        "Content-Length": str(last - first + 1),
        "Accept-Ranges": "bytes",
        "Content-Disposition": "attachment",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"

    status = 200 if wanted is None else 206
    return StreamingResponse(read_ahead(path, first, last + 1), status, headers, "application/octet-stream")
