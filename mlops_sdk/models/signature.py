"""What a model takes and gives: read from an example, compared with what it is given later."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_MAX_NAMED = 8
_KINDS = (
    ("time", re.compile(r"date|time|duration")),
    ("number", re.compile(r"int|float|bool|double|half|decimal|^[biuf]\d")),
    ("complex", re.compile("complex")),
    ("text", re.compile(r"obj|str|utf8|cat|enum|dict|^<?u\d+$|^<?s\d+$")),
)


def infer(model: Any, input_example: Any) -> JsonDict | None:
    """Columns and types of the example, and of what the model predicts for it.

    Parameters
    ----------
    model : object
        Asked for a prediction if it has `predict`, or if it is a PyTorch module.
    input_example : array, frame or None
        None: the inputs are what the fitted model says of itself (``n_features_in_``, ``feature_names_in_``).

    Returns
    -------
    dict or None
        ``inputs``, ``outputs``, or ``error`` where the prediction failed; None where nothing is known.
    """
    if input_example is None:
        inputs = _of_fitted(model)
        return None if inputs is None else {"inputs": inputs}
    described: JsonDict = {"inputs": shape_of(input_example)}
    predict = _predict_of(model)
    if predict is not None:
        try:
            described["outputs"] = shape_of(predict(input_example))
        except Exception as error:  # noqa: BLE001 - a wrong example must not cost the model
            described["error"] = f"predict(input_example) failed: {type(error).__name__}: {error}"[:500]
    return described


def _predict_of(model: Any) -> Any:
    from mlops_sdk.models.tensors import is_module

    if is_module(model):
        return lambda example: _detached(model, example)
    predict = getattr(model, "predict", None)
    return predict if callable(predict) else None


def _detached(module: Any, example: Any) -> Any:
    """What a module gives, in the mode for predicting, which is put back."""
    import torch

    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            return module(example)
    finally:
        module.train(was_training)


def _of_fitted(model: Any) -> JsonDict | None:
    try:
        names, n = getattr(model, "feature_names_in_", None), getattr(model, "n_features_in_", None)
        if names is not None:
            return {"columns": [[str(name), None] for name in names]}
        return None if n is None else {"shape": [None, int(n)], "dtype": None}
    except Exception:  # noqa: BLE001 - properties of other people's classes; without them there is no signature
        return None


def shape_of(data: Any) -> JsonDict:
    """``columns`` of a frame as pairs of name and type, ``shape`` and ``dtype`` of an array, else its ``type``."""
    columns, dtypes = getattr(data, "columns", None), getattr(data, "dtypes", None)
    if columns is not None and dtypes is not None:
        return {"columns": [[str(name), str(kind)] for name, kind in zip(columns, dtypes, strict=False)]}
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        return {"shape": [None, *map(int, data.shape[1:])], "dtype": str(data.dtype).removeprefix("torch.")}
    if callable(getattr(data, "num_col", None)):  # XGBoost's DMatrix
        return {"shape": [None, int(data.num_col())], "dtype": None}
    return {"type": type(data).__qualname__}


def differences(inputs: Mapping[str, Any], data: Any) -> str | None:
    """What of the data is not as the signature says; None if nothing is, or if nothing can be said.

    Parameters
    ----------
    inputs : mapping
        As `shape_of` gave it.
    data : object
        What is to be predicted; of what is neither a frame nor an array nor a list of rows, nothing is said.

    Notes
    -----
    Numbers are numbers: whole ones where fractions were, or the other way around, are no difference; nor is a frame where an
    array was, if its width is right.
    """
    given = _given(data)
    expected_columns, expected_shape = inputs.get("columns"), inputs.get("shape")
    if given is None:
        return None
    if expected_columns is not None:
        if "columns" in given:
            return _columns_differ(expected_columns, given["columns"])
        return _width_differs([None, len(expected_columns)], given["shape"])
    if expected_shape is not None:
        shape = given.get("shape") or [None, len(given["columns"])]
        kind = given.get("dtype")
        return _width_differs(expected_shape, shape) or _kind_differs("the values", inputs.get("dtype"), kind)
    return None


def _given(data: Any) -> Mapping[str, Any] | None:
    if isinstance(data, (list, tuple)):
        import numpy as np

        try:
            return shape_of(np.asarray(data))
        except ValueError:  # ragged
            return None
    found = shape_of(data)
    return None if "type" in found else found


def _columns_differ(expected: Sequence[Sequence[Any]], given: Sequence[Sequence[Any]]) -> str | None:
    wanted, there = [name for name, _ in expected], [name for name, _ in given]
    missing = [name for name in wanted if name not in set(there)]
    if missing:
        return f"columns are missing: {_listed(missing)}"
    extra = [name for name in there if name not in set(wanted)]
    if extra:
        return f"columns are there that the model was not given: {_listed(extra)}"
    if wanted != there:
        first = next(i for i, (a, b) in enumerate(zip(wanted, there, strict=False)) if a != b)
        return f"columns are in another order: {wanted[first]!r} was column {first}, now it is {there[first]!r}"
    kinds: dict[str, Any] = {str(name): kind for name, kind in given}
    found = (_kind_differs(f"column {name!r}", kind, kinds[name]) for name, kind in expected)
    return next((each for each in found if each), None)


def _width_differs(expected: Sequence[Any], given: Sequence[Any]) -> str | None:
    if list(expected[1:]) == list(given[1:]):
        return None
    return f"shape is {_shape(given)}, the model was given {_shape(expected)}"


def _kind_differs(what: str, expected: Any, given: Any) -> str | None:
    a, b = _kind(expected), _kind(given)
    return None if a == b or None in (a, b) else f"{what} should be {a} ({expected}), not {b} ({given})"


def _kind(dtype: Any) -> str | None:
    if dtype is None:
        return None
    text = str(dtype).lower()
    return next((name for name, pattern in _KINDS if pattern.search(text)), None)


def _shape(shape: Sequence[Any]) -> str:
    return f"({', '.join('n' if size is None else str(size) for size in shape)})"


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(map(repr, names[:_MAX_NAMED])) + rest


def require(inputs: Mapping[str, Any], data: Any, method: str) -> None:
    """Raise if data is not what a model was logged with.

    Raises
    ------
    InvalidValueError
    """
    found = differences(inputs, data)
    if found:
        raise InvalidValueError(f"{method}: {found} (load_model(check=True) compares with the logged signature)")
