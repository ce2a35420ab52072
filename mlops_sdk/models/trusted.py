"""scikit-learn's models by skops: every type in a file is known before anything of it is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import MissingDependencyError

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_MAX_NAMED = 8


def _skops() -> Any:
    try:
        from skops import io
    except ImportError as error:
        raise MissingDependencyError("skops", extra="skops", purpose="models in the format skops") from error
    return io


def dump(model: Any) -> tuple[bytes, JsonDict]:
    """The model as skops writes it.

    Raises
    ------
    MissingDependencyError
        If skops is not installed.
    Exception
        Whatever skops raises for what it cannot write.
    """
    io = _skops()
    data: bytes = io.dumps(model)
    return data, {"untrusted_types": sorted(io.get_untrusted_types(data=data))}


def load(file: Path, _details: Mapping[str, Any]) -> Any:
    """What was dumped; the caller has decided about the types."""
    io = _skops()
    data = file.read_bytes()
    return io.loads(data, trusted=io.get_untrusted_types(data=data))


def dangers(file: Path) -> str | None:
    """The types in the file that skops does not know to be harmless; told from the file, not from what is said of it."""
    unknown = sorted(_skops().get_untrusted_types(data=file.read_bytes()))
    if not unknown:
        return None
    rest = f" and {len(unknown) - _MAX_NAMED} more" if len(unknown) > _MAX_NAMED else ""
    return f"it holds types that skops does not vouch for: {', '.join(unknown[:_MAX_NAMED])}{rest}"
