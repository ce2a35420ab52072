"""Examples in docstrings run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import mlops_sdk


def module_names() -> Iterator[str]:
    yield "mlops_sdk"
    for module in pkgutil.walk_packages(mlops_sdk.__path__, "mlops_sdk."):
        # Integrations import frameworks that need not be here; `__main__` would run the program.
        if not module.name.startswith("mlops_sdk.integrations.") and not module.name.endswith("__main__"):
            yield module.name


@pytest.mark.parametrize("name", list(module_names()))
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0, f"{outcome.failed} of {outcome.attempted} examples of {name} failed; see the output"
