"""What stands beside a logged model: enough to judge it before it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from mlops_sdk.models import signature

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.models.formats import Format

_OTHER_NAMES = {"sklearn": "scikit-learn"}
"""Packages whose distributions are called otherwise."""


def describe(model: Any, kept_in: Format, details: JsonDict, input_example: Any, extra: JsonDict | None) -> JsonDict:
    """Format, class, package versions, signature, the user's own metadata."""
    kind = type(model)
    described: JsonDict = {
        "format": kept_in.name,
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "python": sys.version.split()[0],
        "packages": _packages_of(model, kept_in.packages),
        "signature": signature.infer(model, input_example),
    }
    if details:
        described["details"] = details
    return described | ({"metadata": extra} if extra else {})


def _packages_of(model: Any, of_format: tuple[str, ...]) -> dict[str, str]:
    """Versions of the packages that the model's class, and what reads its format, come from."""
    from importlib import metadata

    roots = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    for step in getattr(model, "steps", None) or ():  # a pipeline's parts come from elsewhere
        roots |= {type(part).__module__.partition(".")[0] for part in step if not isinstance(part, str)}
    roots |= {name for name in of_format if name != "numpy" or "numpy" in sys.modules}
    found = {name for root in roots - sys.stdlib_module_names - {"__main__"} for name in _distributions_of(root)}
    return {name: metadata.version(name) for name in sorted(found)}


@cache
def _distributions_of(root: str) -> tuple[str, ...]:
    """Distributions that a package comes from: of its own name as a rule, for which one file is read and not all of them."""
    from importlib import metadata

    name = _OTHER_NAMES.get(root, root)
    try:
        return (metadata.distribution(name).metadata["Name"],)
    except metadata.PackageNotFoundError:
        return tuple(_distributions().get(root, ()))


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Distributions by the packages they hold; reading this takes tenths of a second, so once."""
    from importlib import metadata

    return metadata.packages_distributions()
