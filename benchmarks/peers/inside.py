"""The program of a child: `python -m benchmarks.peers.inside REQUEST`, in the environment of the system that it measures.

Standard library only. The answer is a file, since trackers write to stdout: `{"figures": {...}}`, `{"missing": reason}`
where the system has no such thing, or `{"failed": reason}`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers import histories, measuring
from benchmarks.peers.adapters.base import Adapter, MissingError

Request = dict[str, Any]
PROBES: dict[str, Callable[[Adapter, Request], dict[str, Any]]] = {
    "session": measuring.session,
    "calls": measuring.calls,
    "writer": histories.writer,
    "fill": histories.fill,
    "read": histories.read,
    "survivors": histories.survivors,
    "build": histories.build,
    "table": histories.table,
    "dataset": histories.dataset,
    "victim": histories.victim,
}


def adapter_of(request: Request) -> Adapter:
    """The adapter that the request names."""
    module, _, name = request["adapter"].partition(":")
    made: Adapter = getattr(importlib.import_module(module), name)(request["place"], request.get("url"))
    return made


def answer(request: Request) -> dict[str, Any]:
    """Do what is asked for; whatever goes wrong is an answer too."""
    try:
        return {"figures": PROBES[request["probe"]](adapter_of(request), request)}
    except MissingError as missing:
        return {"missing": str(missing)}
    except BaseException as error:  # noqa: BLE001 - a peer's failure is a result, SystemExit included
        traceback.print_exc()
        return {"failed": _words(error)[:300]}


def _words(error: BaseException) -> str:
    """In one line; of an error without a text, where it was raised."""
    text = " ".join(str(error).split())
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text or f'in {where.name}, {Path(where.filename).name}:{where.lineno}'}"


def main(path: str) -> None:
    """Answer the request in a file with a file beside it, renamed into place when it is whole."""
    request = json.loads(Path(path).read_text(encoding="utf-8"))
    unfinished = Path(request["answer"] + ".part")
    unfinished.write_text(json.dumps(answer(request)), encoding="utf-8")
    os.replace(unfinished, request["answer"])


if __name__ == "__main__":
    main(sys.argv[1])
