"""`Run.log`: what a value is decides where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.media import classify, extension_of
from mlops_sdk.values.params import check_key

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_METHODS = {
    "figure": "log_figure",
    "image": "log_image",
    "table": "log_table",
    "text": "log_text",
    "json": "log_dict",
}


def log_by_type(run: Run, mapping: Mapping[str, Any], step: int | None) -> None:
    """See `Run.log`; one bad value costs only itself."""
    if not isinstance(mapping, Mapping):
        raise InvalidValueError(f"log() takes a mapping of names to values, not {type(mapping).__name__}")
    metrics: dict[str, Any] = {}
    for key, value in list(mapping.items()):
        try:
            check_key(key, "value")
            kind = classify(value)
        except InvalidValueError as error:
            run._troubles.report(error, key=key)
            continue
        if kind == "metric":
            metrics[key] = value
            continue
        name = key if "." in key.rpartition("/")[2] else key + extension_of(value)
        getattr(run, _METHODS[kind])(value, name, step=step)
    if metrics:
        run.log_metrics(metrics, step)
