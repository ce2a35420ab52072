"""What is recorded, and what is not."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from mlops_sdk.errors import InvalidValueError

_CHOICES: dict[str, tuple[Any, ...]] = {
    "training_metrics": (True, False, "auto"),
    "children": ("none", "best", "all"),
    "progress": (True, False, "auto"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `run.sklearn` and `mlops_sdk.autolog`; described there.

    Raises
    ------
    InvalidValueError
        If a value is none of the possible ones.
    """

    log_models: bool = True
    log_datasets: bool = True
    training_metrics: bool | str = "auto"
    children: str = "none"
    figures: bool = False
    checks: bool = True
    progress: bool | str = "auto"
    importance: bool = False
    learning_curve: bool = False
    exclude: tuple[Any, ...] = ()
    include: tuple[str, ...] = ()
    experiment: str | None = None
    tracking_uri: Any = None
    start: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if not any(value is choice or (isinstance(choice, str) and value == choice) for choice in choices):
                allowed = ", ".join(repr(choice) for choice in choices)
                raise InvalidValueError(f"{name} is {value!r}; use one of {allowed}", key=name)

    def excludes(self, estimator: object) -> bool:
        """Whether fits of this estimator are left alone."""
        names = {name for kind in type(estimator).__mro__ for name in (kind, kind.__name__, _path(kind))}
        return any(item in names for item in self.exclude)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def options_of(given: dict[str, Any]) -> Options:
    """Options from keywords.

    Raises
    ------
    InvalidValueError
        If one is unknown.
    """
    known = [each.name for each in fields(Options)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InvalidValueError(f"unknown option {unknown[0]!r}; there are {', '.join(known)}", key=unknown[0])
    for name in ("exclude", "include"):
        value = given.get(name)
        if value is not None:
            given[name] = (value,) if isinstance(value, (str, type)) else tuple(value)
    return Options(**given)
