"""The formats models are kept in, and which one fits a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.models import boosters, pickled, tensors, trusted

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

Dumped = tuple[bytes, "JsonDict"]
"""The bytes of a model, and what else its loader needs to know, as JSON."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way to keep a model.

    Attributes
    ----------
    name : str
    file : str
        Name of the file below the model's own name.
    is_taken : callable
        Whether this is the format that a model is kept in when none is asked for.
    dump : callable
        Gives bytes and details; raises whatever the library raises.
    load : callable
        Of a file and the details; may run code that the file holds only when `dangers` saw none or the user trusts it.
    dangers : callable
        Why a file must be trusted before it is loaded; None: loading it runs no code of its own.
    packages : tuple of str
        Packages that take part in loading, besides that of the model's class.
    """

    name: str
    file: str
    is_taken: Callable[[Any], bool]
    dump: Callable[[Any], Dumped]
    load: Callable[[Path, Mapping[str, Any]], Any]
    dangers: Callable[[Path], str | None]
    packages: tuple[str, ...]


JOBLIB = Format(
    "joblib", "model.joblib", lambda _: True, pickled.dump, pickled.load, pickled.dangers, ("joblib", "numpy")
)
FORMATS = {
    each.name: each
    for each in (
        Format(
            "xgboost",
            "model.ubj",
            boosters.is_xgboost,
            boosters.dump_xgboost,
            boosters.load_xgboost,
            boosters.no_dangers,
            ("xgboost",),
        ),
        Format(
            "lightgbm",
            "model.txt",
            boosters.is_lightgbm,
            boosters.dump_lightgbm,
            boosters.load_lightgbm,
            boosters.no_dangers,
            ("lightgbm",),
        ),
        Format(
            "catboost",
            "model.cbm",
            boosters.is_catboost,
            boosters.dump_catboost,
            boosters.load_catboost,
            boosters.no_dangers,
            ("catboost",),
        ),
        Format("torch", "model.pt", tensors.is_torch, tensors.dump, tensors.load, tensors.dangers, ("torch",)),
        Format(
            "skops", "model.skops", lambda _: False, trusted.dump, trusted.load, trusted.dangers, ("skops", "numpy")
        ),
        JOBLIB,
    )
}
"""By name, in the order in which they are asked whether a model is theirs; joblib takes what nobody else took."""

FILES = {each.file: each for each in FORMATS.values()}
"""By the name of the file."""


def chosen(model: Any, name: str) -> Format:
    """The format to keep a model in.

    Parameters
    ----------
    model : object
    name : str
        Of a format, or "auto": the native format that gives the same model back, where the library has one; else joblib.

    Raises
    ------
    InvalidValueError
        If there is no such format.
    """
    if name == "auto":
        return next(each for each in FORMATS.values() if each.is_taken(model))
    if not isinstance(name, str) or name not in FORMATS:
        raise InvalidValueError(f"format is {name!r}; use one of 'auto', {', '.join(map(repr, FORMATS))}")
    return FORMATS[name]
