"""Routes that write: batches of records, and the end of a writer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from mlops_sdk.errors import InvalidValueError, MlopsError, StoreCorruptError
from mlops_sdk.server.answers import answer
from mlops_sdk.server.bodies import RefusedError, read_body
from mlops_sdk.server.guard import API
from mlops_sdk.server.noting import note_batch
from mlops_sdk.server.questions import asked, in_thread, text_of, token_of
from mlops_sdk.stores.http import faults, wire

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Batch
    from mlops_sdk.server.app import Service
    from mlops_sdk.server.tokens import Token


def add_writing(app: FastAPI, service: Service) -> None:
    """Add them to an application."""

    @app.post(f"{API}/batches", summary="Apply a batch of journal records; answers once they are durable")
    async def batches(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/octet-stream":
            raise RefusedError(415, "type", "a batch is application/octet-stream")
        body, token = await read_body(request, service.limits), token_of(request)
        with _quarantining(service, token, body) as keeping:
            batch = wire.decode_batch(body)
            keeping.append(batch)
            if batch.count > service.limits.batch_slots:
                raise RefusedError(413, "too_large", f"a batch has at most {service.limits.batch_slots} slots")
            is_new = await in_thread(lambda: service.access.check_batch(token, batch))
            sequence = await asyncio.wrap_future(service.ingest.submit(batch))
        service.access.forget()
        if is_new or batch.writer.role == "editor":
            await in_thread(lambda: note_batch(service.audit, request.scope, batch))
        service.metrics.add("batches")
        service.metrics.add("record_slots", batch.count)
        return await answer(request, {"sequence": sequence})

    @app.post(f"{API}/settle", summary="A writer of the run has ended")
    async def settle(request: Request) -> Response:
        run_id = text_of(await asked(request, service), "run_id", service.limits)
        token = token_of(request)
        await in_thread(lambda: service.access.need_run(token, run_id))
        await in_thread(lambda: service.store.settle(run_id))
        return await answer(request, {})


@contextlib.contextmanager
def _quarantining(service: Service, token: Token | None, body: bytes) -> Iterator[list[Batch]]:
    """Keep a batch that can never be applied, whoever sends it again."""
    decoded: list[Batch] = []
    try:
        yield decoded
    except (InvalidValueError, StoreCorruptError, RefusedError) as error:
        service.metrics.add("refused_batches")
        if not (isinstance(error, RefusedError) and error.status == 403):
            code = error.code if isinstance(error, RefusedError) else faults.describe(error)[0]
            about = {"run_id": decoded[0].writer.run_id, "writer_id": decoded[0].writer.writer_id} if decoded else {}
            who = token.principal if token else ""
            service.quarantine.keep(body, principal=who, code=code, reason=str(error), **about)
        raise
    except MlopsError:
        service.metrics.add("refused_batches")
        raise
