"""Objects of third-party libraries, recognised without importing one."""

from __future__ import annotations

import sys
from typing import Any


def comes_from(value: object, module: str, *names: str) -> bool:
    """Whether `value` is an instance of one of the named classes of `module`.

    Parameters
    ----------
    value : object
    module : str
        Looked up among the loaded modules: an object can only come from a module that is there already.
    *names : str
        Names of classes; those that the installed release lacks are passed over.
    """
    loaded = sys.modules.get(module)
    classes = (getattr(loaded, name, None) for name in names) if loaded is not None else ()
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in classes)


def array_shape(value: object) -> tuple[int, ...] | None:
    """Shape of a scalar, array, tensor or series of numpy, torch, jax, cupy, pandas or polars; None for anything else.

    Notes
    -----
    Told by what the class offers, so that an object that answers to every attribute is not taken for one.
    """
    kind: Any = type(value)
    if not (hasattr(kind, "shape") and hasattr(kind, "dtype") and hasattr(kind, "item")):
        return None
    shape = getattr(value, "shape", None)
    is_known = isinstance(shape, tuple) and (not shape or all(isinstance(n, int) for n in shape))
    return shape if is_known else None
