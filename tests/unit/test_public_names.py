"""The public names: what `import mlops_sdk` promises is there, and nothing else."""

from __future__ import annotations

import inspect

import pytest

import mlops_sdk
from mlops_sdk import api, errors
from mlops_sdk.run.run import Run

# api.md, "Module level"; what later issues bring is added with them.
CONTRACT = [
    "start_run",
    "attach_run",
    "active_run",
    "autolog",
    "end_run",
    "last_run",
    "get_run",
    "search_runs",
    "load_model",
    "delete_run",
    "restore_run",
    "list_experiments",
    "delete_experiment",
    "set_experiment",
    "set_tracking_uri",
    "get_tracking_uri",
    "open_store",
    "__version__",
]
RUN = [
    "log_param",
    "log_params",
    "log_metric",
    "log_metrics",
    "log",
    "log_artifact",
    "log_artifacts",
    "log_text",
    "log_dict",
    "log_figure",
    "log_image",
    "log_table",
    "log_model",
    "define_metric",
    "set_tag",
    "set_tags",
    "delete_tag",
    "set_description",
    "rename",
    "flush",
    "finish",
    "health",
    "child",
    "artifact_path",
    "run_id",
    "name",
    "experiment",
    "status",
    "start_time",
    "end_time",
    "duration_s",
    "url",
    "description",
    "params",
    "config",
    "metrics",
    "tags",
    "datasets",
    "artifacts",
    "environment",
    "git",
    "system",
    "children",
    "parent",
    "summary",
    "metric",
    "plot",
    "live",
    "artifact",
    "load_model",
    "move",
    "fit",
    "sklearn",
    "map",
    "cv_results",
]


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_is_there(name: str) -> None:
    assert getattr(mlops_sdk, name) is not None


def test_what_is_listed_is_what_is_there() -> None:
    assert set(mlops_sdk._FUNCTIONS) == set(api.__all__)
    assert set(mlops_sdk._ERRORS) == set(errors.__all__)
    assert dir(mlops_sdk) == sorted(mlops_sdk.__all__)
    for name in mlops_sdk.__all__:
        assert getattr(mlops_sdk, name) is not None


@pytest.mark.parametrize("name", RUN)
def test_a_run_has_every_member(name: str) -> None:
    assert hasattr(Run, name)


@pytest.mark.parametrize("name", [name for name in dir(Run) if name.startswith(("log_", "set_", "define_", "delete_"))])
def test_the_active_runs_methods_are_functions_too(name: str) -> None:
    ours, theirs = (list(inspect.signature(f).parameters) for f in (getattr(mlops_sdk, name), getattr(Run, name)))
    assert ours == theirs[1:]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        mlops_sdk.no_such_name  # noqa: B018 - the access is the subject


@pytest.mark.parametrize("name", mlops_sdk.__all__)
def test_public_things_are_documented(name: str) -> None:
    assert name == "__version__" or inspect.getdoc(getattr(mlops_sdk, name))
