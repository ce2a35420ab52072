"""The one registry through which a run reaches `mlops_sdk.integrations`: by name, when first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
    "live": ("mlops_sdk.integrations.live", "start"),
    "fit": ("mlops_sdk.integrations.sklearn.tracking", "fit"),
    "sklearn": ("mlops_sdk.integrations.sklearn.tracking", "tracking"),
    "autolog": ("mlops_sdk.integrations.sklearn.tracking", "autolog"),
    "sklearn callback": ("mlops_sdk.integrations.sklearn.callback", "RunCallback"),
    "map": ("mlops_sdk.integrations.parallel.sweep", "sweep"),
    "trial": ("mlops_sdk.integrations.parallel.trial", "Trial"),
}
"""By name: the module, and what of it is called."""


def load(name: str) -> Any:
    """What that name stands for, its module loaded now."""
    module, attribute = HOMES[name]
    return getattr(import_module(module), attribute)
