"""Serialising models: joblib by default, with what is needed to judge them before they are loaded."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_MAX_EXAMPLE_ROWS = 100

_OTHER_NAMES = {"sklearn": "scikit-learn"}
"""Packages whose distributions are called otherwise."""


def serialise(model: Any) -> bytes:
    """The model as joblib writes it.

    Raises
    ------
    Exception
        Whatever pickling the model raises.
    """
    import joblib

    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=0)
    return buffer.getvalue()


def describe(model: Any, input_example: Any, extra: JsonDict | None) -> JsonDict:
    """What stands beside the bytes: class, package versions, signature, the user's own metadata."""
    kind = type(model)
    described: JsonDict = {
        "format": "joblib",
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "python": sys.version.split()[0],
        "packages": _packages_of(model),
        "signature": signature(model, input_example),
    }
    return described | ({"metadata": extra} if extra else {})


def _packages_of(model: Any) -> dict[str, str]:
    """Versions of the packages the model's class, and joblib and numpy below it, come from."""
    from importlib import metadata

    roots = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    for step in getattr(model, "steps", None) or ():  # a pipeline's parts come from elsewhere
        roots |= {type(part).__module__.partition(".")[0] for part in step if not isinstance(part, str)}
    roots |= {"joblib"} | ({"numpy"} if "numpy" in sys.modules else set())
    found = {name for root in roots - sys.stdlib_module_names - {"__main__"} for name in _distributions_of(root)}
    return {name: metadata.version(name) for name in sorted(found)}


@cache
def _distributions_of(root: str) -> tuple[str, ...]:
    """Distributions that a package comes from: of its own name as a rule, for which one file is read and not all of them."""
    from importlib import metadata

    name = _OTHER_NAMES.get(root, root)
    try:
        return (metadata.distribution(name).metadata["Name"],)
    except metadata.PackageNotFoundError:
        return tuple(_distributions().get(root, ()))


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Distributions by the packages they hold; reading this takes tenths of a second, so once."""
    from importlib import metadata

    return metadata.packages_distributions()


def signature(model: Any, input_example: Any) -> JsonDict | None:
    """Columns and types of the example, and of what the model predicts for it; None without an example."""
    if input_example is None:
        return None
    described: JsonDict = {"inputs": _shape_of(input_example)}
    predict = getattr(model, "predict", None)
    if callable(predict):
        try:
            described["outputs"] = _shape_of(predict(input_example))
        except Exception as error:  # a wrong example must not cost the model
            described["error"] = f"predict(input_example) failed: {type(error).__name__}: {error}"[:500]
    return described


def _shape_of(data: Any) -> JsonDict:
    columns, dtypes = getattr(data, "columns", None), getattr(data, "dtypes", None)
    if columns is not None and dtypes is not None:
        return {"columns": [[str(name), str(kind)] for name, kind in zip(columns, dtypes, strict=False)]}
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        return {"shape": [None, *map(int, data.shape[1:])], "dtype": str(data.dtype)}
    return {"type": type(data).__qualname__}


def example_rows(input_example: Any) -> Any:
    """At most a hundred rows of the example, to be kept as a table."""
    return input_example[:_MAX_EXAMPLE_ROWS] if hasattr(input_example, "__getitem__") else input_example
