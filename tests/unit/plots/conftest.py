"""Runs to draw, made through the API."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.query.runs import Runs

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Twelve runs: three models, four seeds, learning rates over two decades; every other one is a step shorter."""
    uri = tmp_path_factory.mktemp("sweep") / ".mlops"
    for index in range(12):
        params = {"model": f"m{index % 3}", "seed": index // 3, "lr": 10 ** (-3 + index / 4), "opt": {"name": "adam"}}
        with mlops_sdk.start_run(name=f"run-{index:02d}", params=params, tracking_uri=uri, **QUIET) as run:
            for step in range(20 - index % 2):
                acc = index % 3 / 10 + index / 1000 + (1 - math.exp(-step / 5)) / 2
                run.log_metrics({"val/acc": acc, "train/loss": 1 / (1 + step), "val/loss": 2 / (1 + step)}, step=step)
            load = {"system/cpu_percent": 50.0, "system/process_memory_bytes": 2.0**30, "system/load_average_1m": 1.0}
            run.log_metrics(load, step=0)
            run.log_metrics(load, step=1)
    return mlops_sdk.search_runs(tracking_uri=uri, order_by="name")


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Runs of which each has something odd about its metric ``m``, by name."""
    uri = tmp_path_factory.mktemp("odd") / ".mlops"
    nan, inf = math.nan, math.inf
    values: dict[str, list[float]] = {
        "gaps": [1.0, nan, 0.5, nan, 0.3, 0.2, inf, 0.1],
        "nan": [nan] * 5,
        "point": [0.5],
        "huge": [1.7e308, -1.7e308] * 5,
        "below": [-1.0, -2.0, -3.0],
        "mixed": [-1.0, 0.0, 10.0, 1000.0],
        "constant": [3.0] * 4,
        "tiny": [5e-324, 1e-310, 2e-308],
    }
    for name, series in values.items():
        with mlops_sdk.start_run(name=name, tracking_uri=uri, **QUIET) as run:
            for value in series:
                run.log_metric("m", value)
    return lambda name: mlops_sdk.get_run(name, tracking_uri=uri)


@pytest.fixture(autouse=True)
def no_pyplot() -> Iterator[None]:
    """No picture needs pyplot, or leaves a figure with it."""
    import sys

    before = "matplotlib.pyplot" in sys.modules
    yield
    assert before or "matplotlib.pyplot" not in sys.modules
