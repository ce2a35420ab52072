"""Changes from outside a run (a tag set later, the trash, a writer found dead) as one-record journals."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlops_sdk.journal import liveness
from mlops_sdk.journal.records import Batch, WriterHeader, encode_frame

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict


def edit(run_id: str, *events: tuple[int, JsonDict]) -> Batch:
    """A batch of a writer that exists for these events only.

    Parameters
    ----------
    run_id : str
        The run to change; "" for events that belong to none.
    *events : (kind, payload)
    """
    who = asdict(liveness.identity())
    header = WriterHeader(run_id, os.urandom(16).hex(), clock_offset_ns=time.time_ns(), role="editor", **who)
    return Batch(header, 1, b"".join(encode_frame(kind, 0, payload, header.seed) for kind, payload in events))
