"""Experiment tracking that costs nothing to log, loses nothing, and says what changed.

>>> import mlops_sdk
>>> with mlops_sdk.start_run(params={"lr": 0.1}) as run:  # doctest: +SKIP
...     for step in range(100):
...         run.log_metric("loss", 1 / (1 + step), step=step)

Importing this package loads no third-party module, reads no setting and touches no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mlops_sdk.api import *  # noqa: F403 - what `__getattr__` finds
    from mlops_sdk.entities import ArtifactRef as ArtifactRef
    from mlops_sdk.entities import Experiment as Experiment
    from mlops_sdk.entities import MetricSeries as MetricSeries
    from mlops_sdk.entities import MetricSummary as MetricSummary
    from mlops_sdk.errors import *  # noqa: F403 - what `__getattr__` finds
    from mlops_sdk.query.runs import Runs as Runs
    from mlops_sdk.query.view import RunView as RunView
    from mlops_sdk.run.run import Run as Run

_CLASSES = {
    "ArtifactRef": "mlops_sdk.entities",
    "Experiment": "mlops_sdk.entities",
    "MetricSeries": "mlops_sdk.entities",
    "MetricSummary": "mlops_sdk.entities",
    "Run": "mlops_sdk.run.run",
    "RunView": "mlops_sdk.query.view",
    "Runs": "mlops_sdk.query.runs",
}


def __getattr__(name: str) -> Any:
    """Public names load when they are first used."""
    from importlib import import_module

    if name in _CLASSES:
        found = getattr(import_module(_CLASSES[name]), name)
    else:
        errors = import_module("mlops_sdk.errors")
        if name in errors.__all__:
            found = getattr(errors, name)
        else:
            api = import_module("mlops_sdk.api")
            if name not in api.__all__:
                raise AttributeError(f"module 'mlops_sdk' has no attribute {name!r}")
            found = getattr(api, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    from mlops_sdk import api, errors

    return sorted({"__version__", *_CLASSES, *errors.__all__, *api.__all__})
