"""Anything that pickles, by joblib: fast, faithful, and as dangerous to load as any pickle."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict


def dump(model: Any) -> tuple[bytes, JsonDict]:
    """The model as joblib writes it.

    Raises
    ------
    Exception
        Whatever pickling the model raises.
    """
    import joblib

    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=0)
    return buffer.getvalue(), {}


def load(file: Path, _details: Mapping[str, Any]) -> Any:
    """What was dumped."""
    import joblib

    return joblib.load(file)


def dangers(_file: Path) -> str:
    """A pickle is a program."""
    return "loading it runs code from the file"
