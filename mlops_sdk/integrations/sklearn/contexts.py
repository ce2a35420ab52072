"""What data is: the training data of a model, a data set that was logged, or what the caller's variables call it."""

from __future__ import annotations

import contextlib
import re
import weakref
from types import FrameType
from typing import Any

_WORDS = {
    "train": "train", "training": "train", "tr": "train", "trn": "train",
    "test": "test", "te": "test", "tst": "test",
    "val": "val", "valid": "val", "validation": "val",
    "dev": "dev", "holdout": "holdout", "oot": "oot", "calib": "calib", "calibration": "calib", "eval": "eval",
}  # fmt: skip
UNKNOWN = "eval"


class Known:
    """Data of one model that was seen, told again by identity and then by content."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[Any, str]] = {}
        self._by_digest: dict[str, str] = {}

    def remember(self, data: Any, context: str) -> None:
        """`data` is of this context."""
        if data is None:
            return
        with contextlib.suppress(TypeError):  # a list, say, is told by content only
            self._by_id[id(data)] = (weakref.ref(data), context)
        digest = digest_of(data)
        if digest is not None:
            self._by_digest[digest] = context

    def find(self, data: Any) -> str | None:
        """Context of data that was seen before; None when it was not."""
        if data is None:
            return None
        known = self._by_id.get(id(data))
        if known is not None and known[0]() is data:
            return known[1]
        if not self._by_digest:
            return None
        digest = digest_of(data)
        return self._by_digest.get(digest) if digest is not None else None


def digest_of(data: Any) -> str | None:
    """A digest of content, for this process: equal arrays and frames have one; None for what has none."""
    import numpy as np

    try:
        if isinstance(data, np.ndarray) and not data.dtype.hasobject:
            from blake3 import blake3

            head = f"{data.shape} {data.dtype.str}".encode()
            content = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
            return str(blake3(head).update(content).hexdigest(length=16))
        import joblib

        return str(joblib.hash(data))
    except Exception:  # noqa: BLE001 - what cannot be hashed is told by identity
        return None


def logged_context(run: Any, data: Any, target: Any) -> str | None:
    """Context that the user logged this data under; None when there is none, or the data has no fingerprint."""
    logged = [each for each in getattr(run, "_seen_datasets", ()) if each.context]
    if not logged:
        return None
    from importlib import import_module

    fingerprint = getattr(import_module("mlops_sdk"), "fingerprint", None)
    if not callable(fingerprint):
        return None
    for given in ({}, {"target": target}) if target is not None else ({},):
        try:
            made = fingerprint(data, profile=False, **given)
        except Exception:  # noqa: BLE001, S112 - data without a fingerprint is told by other means
            continue
        for each in logged:
            if each.digest == made.digest:
                return str(each.context)
    return None


def name_in(frame: FrameType | None, data: Any) -> str | None:
    """The variable of the caller that holds `data`."""
    if frame is None or data is None:
        return None
    for names in (frame.f_locals, frame.f_globals):
        for name, value in list(names.items()):
            if value is data and not name.startswith("_"):
                return name
    return None


def word_in(name: str | None) -> str | None:
    """The context that a variable's name says: ``X_valid`` is ``val``."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name or "").lower())
    return next((_WORDS[word] for word in words if word in _WORDS), None)
