"""A loaded model that looks at what it is asked to predict."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mlops_sdk._logging import log
from mlops_sdk.models import signature
from mlops_sdk.models.tensors import is_module

_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "forward")


class CheckedMethod:
    """Stands in the place of a method, in the instance: its class stays what it is.

    Parameters
    ----------
    owner : object
        The model.
    name : str
        The method; found in the owner's class when it is called, so that copies and pickles check too.
    inputs : mapping
        Of the signature.
    """

    def __init__(self, owner: Any, name: str, inputs: Mapping[str, Any]) -> None:
        self.owner = owner
        self.name = name
        self.inputs = dict(inputs)

    @property
    def original(self) -> Any:
        """The method of the class, bound."""
        found = inspect.getattr_static(type(self.owner), self.name)
        return found.__get__(self.owner, type(self.owner)) if hasattr(found, "__get__") else found

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Compare the first argument with the signature, and go on.

        Raises
        ------
        InvalidValueError
            If it is not what the model was logged with.
        """
        data = args[0] if args else next(iter(options.values()), None)
        signature.require(self.inputs, data, self.name)
        return self.original(*args, **options)

    def __repr__(self) -> str:
        return f"<checked {self.original!r}>"


def checked(model: Any, inputs: Mapping[str, Any]) -> Any:
    """The same model, whose predicting methods raise InvalidValueError for what is not like `inputs`."""
    names = ("forward",) if is_module(model) else _METHODS[:-1]
    for name in names:
        if inspect.getattr_static(type(model), name, None) is None or not callable(getattr(model, name, None)):
            continue
        try:
            object.__setattr__(model, name, CheckedMethod(model, name, inputs))
        except (AttributeError, TypeError):
            log().warning(
                "mlops_sdk: %s takes no attributes: what it predicts is not checked", type(model).__qualname__
            )
            break
    return model
