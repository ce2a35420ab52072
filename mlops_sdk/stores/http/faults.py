"""Errors on the way: what the server says becomes the error that a local store would have raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlops_sdk.errors import (
    AccessDeniedError,
    ArtifactNotFoundError,
    DivergedError,
    IntegrityError,
    InvalidValueError,
    MetricNotFoundError,
    MlopsError,
    QueryTimeoutError,
    RunNotFoundError,
    SequenceGapError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    StoreVersionError,
)


class EncodingRefusedError(StoreError):
    """The server does not take bodies that are compressed like that."""


_FIELDS: dict[type[MlopsError], tuple[str, tuple[str, ...]]] = {
    SequenceGapError: ("gap", ("writer_id", "expected", "got")),
    RunNotFoundError: ("run_not_found", ("run",)),
    ArtifactNotFoundError: ("artifact_not_found", ("path",)),
    IntegrityError: ("integrity", ("expected", "found")),
    QueryTimeoutError: ("query_timeout", ("timeout_s",)),
}


def describe(error: MlopsError) -> tuple[str, dict[str, Any]]:
    """Code and data of an error that a client may hear of in full."""
    if isinstance(error, DivergedError):
        keys = [[key_id, name] for key_id, name in error.keys.items()]
        return "diverged", {"writer_id": error.writer_id, "common": error.common, "keys": keys}
    if isinstance(error, MetricNotFoundError):
        return "metric_not_found", {"key": error.key, "known": sorted(error.known)[:12]}
    if isinstance(error, InvalidValueError):
        return "invalid", {"message": str(error)[:1000], "key": error.key}
    for kind, (code, fields) in _FIELDS.items():
        if isinstance(error, kind):
            return code, {name: getattr(error, name) for name in fields}
    if isinstance(error, StoreVersionError):
        return "version", {}
    if isinstance(error, StoreCorruptError):
        return "corrupt", {}
    return "unavailable", {}


STATUS = {
    "gap": 409,
    "diverged": 409,
    "run_not_found": 404,
    "metric_not_found": 404,
    "artifact_not_found": 404,
    "integrity": 422,
    "invalid": 400,
    "query_timeout": 422,
    "corrupt": 422,
    "version": 503,
    "unavailable": 503,
}


def restore(status: int, answer: Any, server: str) -> MlopsError:
    """The error that an answer means.

    Parameters
    ----------
    status : int
    answer : object
        The body, None where it was not ours: a proxy's page, say.
    server : str
    """
    said_error = answer.get("error") if isinstance(answer, Mapping) else None
    error: Mapping[str, Any] = said_error if isinstance(said_error, Mapping) else {}
    code, data = str(error.get("code", "")), error.get("data") or {}
    said = str(error.get("message") or f"HTTP {status}")
    try:
        return _MAKERS[code](data, f"{server}: {said}")
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    if status in (401, 403, 421):
        return AccessDeniedError(f"{server}: {said}")
    if status in (408, 425, 429) or status >= 500:
        return StoreUnavailableError(f"{server} answered {said}: nothing was written, try again")
    return StoreError(f"{server} answered {said}")


_MAKERS: dict[str, Callable[[Mapping[str, Any], str], MlopsError]] = {
    "gap": lambda data, _: SequenceGapError(data["writer_id"], int(data["expected"]), int(data["got"])),
    "diverged": lambda data, _: DivergedError(data["writer_id"], int(data["common"]), dict(data["keys"])),
    "run_not_found": lambda data, _: RunNotFoundError(data["run"]),
    "metric_not_found": lambda data, _: MetricNotFoundError(data["key"], data["known"]),
    "artifact_not_found": lambda data, _: ArtifactNotFoundError(data["path"]),
    "integrity": lambda data, said: IntegrityError(said, data["expected"], data["found"]),
    "invalid": lambda data, _: InvalidValueError(data["message"], key=data.get("key")),
    "query_timeout": lambda data, _: QueryTimeoutError(float(data["timeout_s"])),
    "corrupt": lambda _, said: StoreCorruptError(said),
    "encoding": lambda _, said: EncodingRefusedError(said),
}
