"""What to read first: differences in the order in which they are likely to explain a result.

Other data, other code and other params come before other packages, those before another machine. Within a kind: the size
of the step, for packages also whether they do the arithmetic of machine learning. A seed, a path, a host name stand at
the end: they differ between runs that are the same otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from mlops_sdk.comparison.difference import Difference
from mlops_sdk.comparison.metrics import MetricDifference
from mlops_sdk.comparison.sections import is_same_data

_BASE = {"datasets": 100.0, "code": 90.0, "params": 80.0, "packages": 45.0, "environment": 20.0, "system": 30.0}
_CODE = {"commit": 5.0, "uncommitted": 6.0, "branch": -60.0, "remote": -40.0, "untracked": -50.0}
_ENVIRONMENT = {"python": 40.0, "implementation": 45.0, "platform": 15.0, "entry_point": 35.0, "argv": 10.0}
_SYSTEM = {"gpus": 20.0, "cpu": 10.0, "machine": 15.0, "os": 10.0, "container": 4.0, "hostname": -15.0, "user": -20.0}
_STEPS = {"major": 15.0, "minor": 8.0, "patch": 2.0}
_NUMERIC = frozenset(
    {
        "numpy", "scipy", "scikit-learn", "pandas", "polars", "torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib",
        "xgboost", "lightgbm", "catboost", "transformers", "accelerate", "datasets", "tokenizers", "lightning",
        "pytorch-lightning", "statsmodels", "flax", "optax", "timm", "peft", "sentence-transformers",
    }
)  # fmt: skip
SEEDS = frozenset({"seed", "random_state", "random_seed"})
_SAME_DATA, _SEED, _MACHINE_VARIABLES = 12.0, 15.0, 8.0


def ranked(differences: Iterable[Difference]) -> list[Difference]:
    """Differences, the most telling first; those of one weight stay in their order. Metrics are results: left out."""
    return sorted((each for each in differences if each.section in _BASE), key=weight, reverse=True)


def weight(difference: Difference) -> float:
    """How likely a difference explains a result: about 100 for other data, about 0 for another host name."""
    section, key = difference.section, difference.key
    base = _BASE.get(section, 0.0)
    if section == "datasets":
        return _SAME_DATA if is_same_data(difference) else base
    if section == "params":
        return _SEED if key.rpartition(".")[2].lower() in SEEDS else base + _step(difference.values)
    if section == "packages":
        return base + _STEPS.get(difference.note.partition(",")[0], 5.0) + (15.0 if key in _NUMERIC else 0.0)
    if section == "system":
        return _MACHINE_VARIABLES if key.startswith("variables.") else base + _SYSTEM.get(key, 0.0)
    table = _CODE if section == "code" else _ENVIRONMENT
    return base + table.get(key, 0.0)


def _step(values: tuple[Any, ...]) -> float:
    """0 to 9: by how many powers of ten numbers differ; 5 for everything else."""
    numbers = [abs(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not all(0 < number < math.inf for number in numbers):
        return 5.0
    return min(9.0, 3.0 * (math.log10(max(numbers)) - math.log10(min(numbers))))


def ranked_metrics(metrics: Iterable[MetricDifference]) -> list[MetricDifference]:
    """Metrics: those of known direction first, then by the size of the change; what one side lacks comes last."""

    def order(each: MetricDifference) -> tuple[bool, bool, float]:
        is_whole = math.isfinite(each.change)
        return not is_whole, each.direction is None, -each.change if is_whole else 0.0

    return sorted(metrics, key=order)
