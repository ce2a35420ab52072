"""Objects that are mappings in disguise: dataclasses, models, namespaces, configs, estimators."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from mlops_sdk.values.describing import Refusing
from mlops_sdk.values.foreign import comes_from

_ABSENT = object()


def unwrap(value: Any) -> Any:
    """Give what a container of another library holds: an OmegaConf config resolved, the root of a pydantic root model.

    Raises
    ------
    InvalidValueError
        If an interpolation of the config cannot be resolved.
    """
    if comes_from(value, "omegaconf", "DictConfig", "ListConfig"):
        with Refusing(
            "the OmegaConf config could not be resolved; OmegaConf.to_container(config) leaves it as it is", value
        ):
            return sys.modules["omegaconf"].OmegaConf.to_container(value, resolve=True, throw_on_missing=False)
    if getattr(type(value), "__pydantic_root_model__", False) is True:
        return value.root
    if _is_pydantic_v1(type(value)) and list(vars(value)) == ["__root__"]:
        return vars(value)["__root__"]
    return value


def is_estimator(value: object) -> bool:
    """Whether `value` is an object with scikit-learn's `get_params`."""
    return callable(getattr(type(value), "get_params", None)) and not isinstance(value, type)


def estimator_text(value: object) -> str:
    """``LogisticRegression(...)``: of its arguments some may be data, so none are shown."""
    return f"{type(value).__name__}(...)"


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """Read an object's named values, one level deep.

    Parameters
    ----------
    value : object
        Mapping, instance of a dataclass or attrs class, pydantic model (v1 or v2), argparse or simple namespace, named
        tuple, scikit-learn estimator (all its params, deep, nested estimators as text); any of them wrapped as `unwrap`
        knows.

    Returns
    -------
    Mapping or None
        Values untouched; None where the object is none of these.

    Raises
    ------
    InvalidValueError
        If the object's own code raises.
    """
    value = unwrap(value)
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type) or value is None or isinstance(value, (str, int, float)):
        return None
    with Refusing("an object of type {} could not be read", value):
        for read in (_named_tuple, _fields, _pydantic, _namespace, _estimator):
            found = read(value)
            if found is not None:
                return found
    return None


def _named_tuple(value: Any) -> dict[str, Any] | None:
    names = getattr(type(value), "_fields", None)
    if not (isinstance(value, tuple) and isinstance(names, tuple)):
        return None
    return dict(zip(names, value, strict=False))


def _fields(value: Any) -> dict[str, Any] | None:
    if dataclasses.is_dataclass(value):
        return _present(value, [field.name for field in dataclasses.fields(value)])
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else _present(value, [attribute.name for attribute in attributes])


def _pydantic(value: Any) -> dict[str, Any] | None:
    kind = type(value)
    if hasattr(kind, "model_dump") and isinstance(getattr(kind, "model_fields", None), dict):
        return _present(value, list(kind.model_fields)) | (getattr(value, "__pydantic_extra__", None) or {})
    return dict(vars(value)) if _is_pydantic_v1(kind) else None


def _is_pydantic_v1(kind: Any) -> bool:
    # v2 answers to __fields__ too, with a warning
    is_v2 = hasattr(kind, "model_dump")
    return not is_v2 and hasattr(kind, "__validators__") and isinstance(getattr(kind, "__fields__", None), dict)


def _namespace(value: Any) -> dict[str, Any] | None:
    if isinstance(value, SimpleNamespace) or comes_from(value, "argparse", "Namespace"):
        return dict(vars(value))
    return None


def _estimator(value: Any) -> dict[Any, Any] | None:
    if not is_estimator(value):
        return None
    params = value.get_params(deep=True)
    if not isinstance(params, Mapping):
        return None
    return {name: estimator_text(param) if is_estimator(param) else param for name, param in params.items()}


def _present(value: Any, names: list[str]) -> dict[str, Any]:
    """Attributes that are there: a field with init=False may never have been set."""
    found = {name: getattr(value, name, _ABSENT) for name in names}
    return {name: item for name, item in found.items() if item is not _ABSENT}
