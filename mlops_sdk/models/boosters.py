"""XGBoost, LightGBM and CatBoost in their own formats, which other versions and languages read and which hold no code."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, MissingDependencyError

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_XGBOOST_CLASSES = frozenset(
    {"Booster", "XGBModel", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor"}
)
_CATBOOST_CLASSES = frozenset({"CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"})


def no_dangers(_file: Path) -> None:
    """Trees and numbers, read by the library's own parser."""
    return


def _is_of(model: Any, package: str, classes: frozenset[str]) -> bool:
    """Whether a model is of one of the package's own classes: a subclass may hold more than the format does."""
    kind = type(model)
    return kind.__module__.partition(".")[0] == package and kind.__name__ in classes


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependencyError(name, purpose=f"models in the format {name}") from error


# -- XGBoost -----------------------------------------------------------------------------------------------------------


def is_xgboost(model: Any) -> bool:
    """Whether it is a booster, or a fitted estimator all of whose params can be written down."""
    if not _is_of(model, "xgboost", _XGBOOST_CLASSES):
        return False
    return type(model).__name__ == "Booster" or (model.__sklearn_is_fitted__() and _changed_params(model) is not None)


def dump_xgboost(model: Any) -> tuple[bytes, JsonDict]:
    """As UBJSON; of an estimator, its class and params beside it."""
    kind = type(model)
    if kind.__name__ == "Booster":
        return bytes(model.save_raw("ubj")), {"loads_as": "Booster"}
    if not _is_of(model, "xgboost", _XGBOOST_CLASSES):
        raise InvalidValueError(f"the format xgboost is for XGBoost's own models, not {kind.__name__}")
    params = _changed_params(model)
    if params is None:
        raise InvalidValueError(f"a param of this {kind.__name__} is an object, which the format xgboost does not hold")
    with tempfile.TemporaryDirectory() as place:  # an estimator adds its classes only when it writes a file
        file = Path(place) / "model.ubj"
        model.save_model(file)
        return file.read_bytes(), {"loads_as": kind.__name__, "params": params}


def load_xgboost(file: Path, details: Mapping[str, Any]) -> Any:
    """A booster, or the estimator, one of XGBoost's own classes whatever the details say."""
    xgboost = _library("xgboost")
    name, params = details.get("loads_as"), details.get("params") or {}
    model = getattr(xgboost, name if name in _XGBOOST_CLASSES else "Booster")()
    model.load_model(bytearray(file.read_bytes()))
    if name != "Booster" and hasattr(model, "set_params"):
        unset = {key: value for key, value in type(model)().get_params().items() if key not in params}
        model.set_params(**unset, **params)  # loading sets some to what the booster made of them
    return model


def _changed_params(model: Any) -> JsonDict | None:
    """Params that differ from their defaults, as JSON; None if one cannot be JSON."""
    defaults = type(model)().get_params()
    changed: JsonDict = {}
    for key, given in model.get_params().items():
        if repr(given) == repr(defaults.get(key)):
            continue
        value = given.item() if hasattr(given, "dtype") and getattr(given, "ndim", None) == 0 else given
        if not _is_plain(value):
            return None
        changed[key] = list(value) if isinstance(value, tuple) else value
    return changed


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, str, type(None))) or (isinstance(value, float) and math.isfinite(value))


# -- LightGBM ----------------------------------------------------------------------------------------------------------


def is_lightgbm(model: Any) -> bool:
    """Whether it is a booster; its scikit-learn estimators know classes that the format does not hold."""
    return _is_of(model, "lightgbm", frozenset({"Booster"}))


def dump_lightgbm(model: Any) -> tuple[bytes, JsonDict]:
    """As LightGBM's text; of an estimator, its booster."""
    booster = model if is_lightgbm(model) else getattr(model, "booster_", None)
    if booster is None or not is_lightgbm(booster):
        raise InvalidValueError(f"the format lightgbm is for fitted LightGBM models, not {type(model).__name__}")
    best = booster.best_iteration
    text: str = booster.model_to_string(num_iteration=-1)
    return text.encode(), {"best_iteration": int(best)}


def load_lightgbm(file: Path, details: Mapping[str, Any]) -> Any:
    """A booster."""
    booster = _library("lightgbm").Booster(model_str=file.read_text(encoding="utf-8"))
    best = details.get("best_iteration")
    booster.best_iteration = best if isinstance(best, int) else -1
    return booster


# -- CatBoost ----------------------------------------------------------------------------------------------------------


def is_catboost(model: Any) -> bool:
    """Whether it is a fitted CatBoost model."""
    return _is_of(model, "catboost", _CATBOOST_CLASSES) and bool(model.is_fitted())


def dump_catboost(model: Any) -> tuple[bytes, JsonDict]:
    """As CatBoost's binary format, which holds the params too."""
    if not is_catboost(model):
        raise InvalidValueError(f"the format catboost is for fitted CatBoost models, not {type(model).__name__}")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "model.cbm"
        model.save_model(str(file), format="cbm")
        return file.read_bytes(), {"loads_as": type(model).__name__}


def load_catboost(file: Path, details: Mapping[str, Any]) -> Any:
    """The model, of one of CatBoost's own classes whatever the details say."""
    name = details.get("loads_as")
    model = getattr(_library("catboost"), name if name in _CATBOOST_CLASSES else "CatBoost")()
    model.load_model(str(file), format="cbm")  # a blob would lose the params
    return model
