"""PyTorch's state dicts: weights without the code that made them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, MissingDependencyError

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_SAFE = (2, 6)
"""The first release whose ``weights_only`` is no way to run code (CVE-2025-32434)."""


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch", purpose="models in the format torch") from error
    return torch


def is_module(model: Any) -> bool:
    """Whether it is a ``torch.nn.Module``, without importing torch; not if it is Keras' on that backend: that has its own."""
    kinds = type(model).__mro__
    if any(kind.__module__.partition(".")[0] == "keras" for kind in kinds):
        return False
    return any(kind.__module__ == "torch.nn.modules.module" and kind.__name__ == "Module" for kind in kinds)


def is_torch(model: Any) -> bool:
    """Whether it is a module, or a mapping of names to tensors."""
    if is_module(model):
        return True
    return isinstance(model, Mapping) and bool(model) and all(map(_is_tensor, model.values()))


def _is_tensor(value: Any) -> bool:
    return any(
        kind.__module__.partition(".")[0] == "torch" and kind.__name__ == "Tensor" for kind in type(value).__mro__
    )


def dump(model: Any) -> tuple[bytes, JsonDict]:
    """The state dict as ``torch.save`` writes it; of a module, how many weights it has beside it."""
    if not is_torch(model):
        raise InvalidValueError(f"the format torch is for modules and state dicts, not {type(model).__name__}")
    state = model.state_dict() if is_module(model) else dict(model)
    buffer = io.BytesIO()
    _torch().save(state, buffer)
    tensors = [value for value in state.values() if _is_tensor(value)]
    return buffer.getvalue(), {"n_tensors": len(tensors), "n_weights": sum(value.numel() for value in tensors)}


def load(file: Path, _details: Mapping[str, Any]) -> Any:
    """The state dict, on the CPU."""
    return _torch().load(file, map_location="cpu", weights_only=True)


def dangers(_file: Path) -> str | None:
    """None from 2.6 on: ``weights_only`` reads tensors and nothing else."""
    version = str(_torch().__version__)
    if tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".")[:2]) >= _SAFE:
        return None
    return f"PyTorch {version} can be made to run code by a file of weights, 2.6 and later cannot"
