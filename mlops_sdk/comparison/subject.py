"""What is compared: a run, or a group of runs, as plain data.

This package knows no store and no query: whoever has runs hands over their heads and parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_sdk.comparison.difference import MISSING, common
from mlops_sdk.entities import Part, RunHead, RunParts

if TYPE_CHECKING:
    from mlops_sdk.comparison.predictions import Predictions

PARTS: tuple[Part, ...] = ("params", "tags", "metrics", "datasets", "environment")
"""What a comparison needs of each run."""


def _no_predictions() -> Predictions | None:
    return None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it was read.

    Attributes
    ----------
    head : RunHead
    parts : RunParts
        At least `PARTS`.
    predictions : callable
        Reads the logged predictions, or gives None; called only when they are asked for.
    """

    head: RunHead
    parts: RunParts
    predictions: Callable[[], Predictions | None] = _no_predictions

    @property
    def duration_s(self) -> float:
        """Seconds from start to end, or to the newest record."""
        end_ns = self.head.heard_ns if self.head.end_ns is None else self.head.end_ns
        return max(0, end_ns - self.head.start_ns) / 1e9

    def value(self, key: str, summary: str = "last") -> float | None:
        """A summary of a metric; None without it."""
        found = self.parts.metrics.get(key)
        return None if found is None else float(getattr(found, summary))

    def labelled(self, names: Sequence[str]) -> Any:
        """A param, or else a tag, of one of these names, or a nested param that ends in one; `MISSING` without."""
        for mapping in (self.parts.params, self.parts.tags):
            for name in names:
                if name in mapping:
                    return mapping[name]
        for key, value in self.parts.params.items():
            if key.rpartition(".")[2] in names:
                return value
        return MISSING


class Subject:
    """A run, or a group whose runs are taken together.

    Parameters
    ----------
    label : str
        What it is called in tables.
    records : sequence of RunRecord
        One for a run; several for a group.
    is_group : bool
        Whether it was given as a group, even of one.
    """

    def __init__(self, label: str, records: Sequence[RunRecord], *, is_group: bool = False) -> None:
        self.label = label
        self.records = tuple(records)
        self.is_group = is_group or len(self.records) > 1

    def __repr__(self) -> str:
        return f"<Subject {self.label!r} of {len(self.records)}>"

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """Params that all its runs share, `Varies` where they differ."""
        return common([record.parts.params for record in self.records])

    @cached_property
    def datasets(self) -> Mapping[str, Mapping[str, Any]]:
        """Datasets by context, and by context and name where a context has several."""
        by_run = [_datasets(record.parts.datasets) for record in self.records]
        keys = dict.fromkeys(key for datasets in by_run for key in datasets)
        return {key: common([datasets.get(key, {}) for datasets in by_run]) for key in keys}

    @cached_property
    def git(self) -> Mapping[str, Any]:
        """What was captured of the code."""
        return self._captured(_git)

    @cached_property
    def packages(self) -> Mapping[str, Any]:
        """Versions by name."""
        return self._captured(_packages)

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Interpreter, arguments, directory, seeds."""
        return self._captured(_environment)

    @cached_property
    def system(self) -> Mapping[str, Any]:
        """Machine and operating system."""
        return self._captured(lambda environment: dict(_flat(_mapping(environment.get("system")), skip=("errors",))))

    def _captured(self, part: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Mapping[str, Any]:
        return common([part(record.parts.environment) for record in self.records])


def _mapping(value: Any) -> Mapping[str, Any]:
    """Stored data may be of any shape: what is no mapping is an empty one."""
    return value if isinstance(value, Mapping) else {}


def _datasets(logged: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    known = [dataset for dataset in logged if isinstance(dataset, Mapping)]
    contexts = [str(dataset.get("context") or "") for dataset in known]
    named: dict[str, Mapping[str, Any]] = {}
    for context, dataset in zip(contexts, known, strict=True):
        name = str(dataset.get("name") or "")
        key = context if context and contexts.count(context) == 1 else "/".join(filter(None, (context, name)))
        named[key or "dataset"] = _identity(dataset)  # logged again under one name: the last stands
    return named


_BULK = ("version", "profile", "lookup", "smallest", "lanes", "secure", "unf", "artifact", "parts", "files")
"""What a fingerprint is made of, or tells of the data, besides what identifies it: long, and no difference of its own."""


def _identity(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What tells data apart; columns by name and digest."""
    kept = {str(key): value for key, value in dataset.items() if key not in _BULK}
    if columns := _columns(dataset.get("columns")):
        kept["columns"] = columns
    return kept


def _columns(columns: Any) -> dict[str, Any]:
    """Digests by name, whether columns are listed or named; nothing where they were not recorded so."""
    if isinstance(columns, Mapping):
        return {str(name): _column(value) for name, value in columns.items()}
    if isinstance(columns, Sequence) and not isinstance(columns, str):
        return {str(each["name"]): _column(each) for each in columns if isinstance(each, Mapping) and "name" in each}
    return {}


def _column(value: Any) -> Any:
    return value.get("digest", value) if isinstance(value, Mapping) else value


def _git(environment: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_mapping(environment.get("git")))


def _packages(environment: Mapping[str, Any]) -> dict[str, Any]:
    listed = _mapping(environment.get("packages")).get("packages")
    pairs = (str(each).partition("==") for each in (listed if isinstance(listed, Sequence) else ()))
    return {name: version for name, _, version in pairs}


_OUTCOMES = ("output", "traceback", "signals", "git", "system", "packages", "errors")
"""What came of a run, and what has a section of its own."""


def _environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    python = {key: value for key, value in _mapping(environment.get("python")).items() if key != "errors"}
    rest = {key: value for key, value in environment.items() if key not in (*_OUTCOMES, "python")}
    return python | dict(_flat(rest, skip=("errors",)))


def _flat(mapping: Mapping[str, Any], *, skip: Sequence[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Two levels of names with dots; what lies deeper is one value."""
    for key, value in mapping.items():
        if key in skip:
            continue
        if isinstance(value, Mapping) and not prefix:
            yield from _flat(value, skip=skip, prefix=f"{key}.")
        else:
            yield f"{prefix}{key}", value


def labels(heads: Sequence[RunHead]) -> list[str]:
    """What runs are called side by side: their names, with the end of the id where a name occurs twice."""
    names = [cut(head.name) for head in heads]
    return [
        name if names.count(name) == 1 else f"{name} ({head.run_id[-8:]})"
        for name, head in zip(names, heads, strict=True)
    ]


def cut(label: str) -> str:
    """A label of at most 60 characters: a name may be megabytes long."""
    return label if len(label) <= _MOST_LABEL else label[: _MOST_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"


_MOST_LABEL = 60
