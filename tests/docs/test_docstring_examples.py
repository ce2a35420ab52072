"""Examples in docstrings run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlops_sdk


def module_names() -> Iterator[str]:
    """By the files that there are: nothing is imported while tests are collected (`mlops_sdk.testing` has its asserts rewritten)."""
    root = Path(mlops_sdk.__file__).parent
    for path in sorted(root.rglob("*.py")):
        parts = ("mlops_sdk", *path.relative_to(root).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        # Integrations import frameworks that need not be here; `__main__` would run the program.
        if not name.startswith("mlops_sdk.integrations.") and parts[-1] != "__main__":
            yield name


@pytest.mark.parametrize("name", list(module_names()))
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0, f"{outcome.failed} of {outcome.attempted} examples of {name} failed; see the output"
