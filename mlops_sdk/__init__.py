"""Experiment tracking that costs nothing to log, loses nothing, and says what changed.

>>> import mlops_sdk
>>> with mlops_sdk.start_run(params={"lr": 0.1}) as run:  # doctest: +SKIP
...     for step in range(100):
...         run.log_metric("loss", 1 / (1 + step), step=step)

Importing this package loads no third-party module, reads no setting and touches no file.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for True; the module `typing` costs more than this whole package
__version__ = "0.1.0"

if TYPE_CHECKING:
    from typing import Any

    from mlops_sdk.api import *  # noqa: F403 - what `__getattr__` finds
    from mlops_sdk.comparison.comparison import Comparison
    from mlops_sdk.entities import ArtifactRef, Experiment, MetricSeries, MetricSummary
    from mlops_sdk.errors import *  # noqa: F403 - what `__getattr__` finds
    from mlops_sdk.fingerprint.diff import Diff
    from mlops_sdk.fingerprint.fingerprint import Fingerprint
    from mlops_sdk.query.cv import CVResults
    from mlops_sdk.query.groups import RunGroups
    from mlops_sdk.query.runs import Runs
    from mlops_sdk.query.view import RunView
    from mlops_sdk.run.run import Run

_FUNCTIONS = (
    "active_run", "attach_run", "autolog", "compare", "define_metric", "delete_experiment", "delete_run", "delete_tag", "end_run",
    "fingerprint", "get_run", "get_tracking_uri", "last_run", "list_experiments", "load_model", "log", "log_artifact",
    "log_artifacts", "log_dataset", "log_dict", "log_figure", "log_image", "log_input", "log_metric", "log_metrics",
    "log_model", "log_param",
    "log_params", "log_table", "log_text", "open_store", "restore_experiment", "restore_run", "search_runs",
    "set_description", "set_experiment", "set_tag", "set_tags", "set_tracking_uri", "start_run",
    "track_dataset",
)  # fmt: skip
_CLASSES = {
    "ArtifactRef": "mlops_sdk.entities",
    "CVResults": "mlops_sdk.query.cv",
    "Comparison": "mlops_sdk.comparison.comparison",
    "Diff": "mlops_sdk.fingerprint.diff",
    "Experiment": "mlops_sdk.entities",
    "Fingerprint": "mlops_sdk.fingerprint.fingerprint",
    "MetricSeries": "mlops_sdk.entities",
    "MetricSummary": "mlops_sdk.entities",
    "Run": "mlops_sdk.run.run",
    "RunGroups": "mlops_sdk.query.groups",
    "RunView": "mlops_sdk.query.view",
    "Runs": "mlops_sdk.query.runs",
}
_ERRORS = (
    "AccessDeniedError", "AmbiguousRunError", "ArtifactNotFoundError", "DivergedError", "ExperimentNotFoundError", "FilterSyntaxError",
    "ForeignStoreError", "IntegrityError", "InvalidValueError", "MetricNotFoundError", "MissingDependencyError",
    "MlopsError", "NoActiveRunError", "NotDurableError", "NotFoundError", "ParamConflictError", "QueryTimeoutError", "RunActiveError",
    "RunExistsError", "RunFinishedError", "RunNotFoundError", "SequenceGapError", "StateError", "StoreCorruptError",
    "StoreError", "StoreUnavailableError", "StoreVersionError", "UntrustedModelError",
)  # fmt: skip
_HOMES = dict.fromkeys(_FUNCTIONS, "mlops_sdk.api") | _CLASSES | dict.fromkeys(_ERRORS, "mlops_sdk.errors")

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Public names load when they are first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mlops_sdk' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
