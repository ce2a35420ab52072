"""Runs in groups: by params, tags or attributes, or all runs that differ in their seed only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from mlops_sdk.comparison.difference import MISSING
from mlops_sdk.comparison.group_table import GroupTable
from mlops_sdk.comparison.question import SEEDS
from mlops_sdk.comparison.report import shown
from mlops_sdk.comparison.subject import Subject
from mlops_sdk.comparison.verdict import summarise
from mlops_sdk.entities import Part, RunHead, RunParts
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.query.comparing import Options, compare, records, refuse_text
from mlops_sdk.query.filtering.names import ATTRIBUTES
from mlops_sdk.query.runs import Runs
from mlops_sdk.query.view import derived_status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk.comparison.comparison import Comparison
    from mlops_sdk.stores.protocol import Store

_TABLE_PARTS: tuple[Part, ...] = ("params", "tags", "metrics", "datasets")
_KINDS = ("params", "tags", "datasets", "attributes")


class RunGroup(Runs):
    """The runs of one group.

    Attributes
    ----------
    group_label : str
        ``model=svm``.
    group_key : tuple
        Values of the keys it was made by.
    """

    def __init__(self, store: Store, heads: Sequence[RunHead], label: str, key: tuple[Any, ...]) -> None:
        super().__init__(store, heads)
        self.group_label = label
        self.group_key = key

    def __repr__(self) -> str:
        return f"<RunGroup {self.group_label!r}: {len(self)}>"


class RunGroups(Sequence[RunGroup]):
    """Groups of runs, in the order of their values; made by `Runs.group_by` and `Runs.group_seeds`.

    Parameters
    ----------
    groups : sequence of RunGroup
    seed : sequence of str
        Params (or tags) that number repetitions: groups with the same are compared in pairs.
    """

    def __init__(self, groups: Sequence[RunGroup], seed: Sequence[str] = SEEDS) -> None:
        self._groups = tuple(groups)
        self._seed = tuple(seed)

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int | str) -> RunGroup: ...
    @overload
    def __getitem__(self, index: slice) -> RunGroups: ...
    def __getitem__(self, index: int | str | slice) -> RunGroup | RunGroups:
        if isinstance(index, slice):
            return RunGroups(self._groups[index], self._seed)
        if isinstance(index, str):
            return self._groups[self.labels.index(index)] if index in self.labels else self._refuse(index)
        return self._groups[index]

    def _refuse(self, label: str) -> RunGroup:
        raise KeyError(f"{label!r} is none of {', '.join(map(repr, self.labels[:10]))}")

    def __iter__(self) -> Iterator[RunGroup]:
        return iter(self._groups)

    @property
    def labels(self) -> list[str]:
        """What each group is called."""
        return [group.group_label for group in self._groups]

    def __repr__(self) -> str:
        shown_here = ", ".join(f"{group.group_label!r}: {len(group)}" for group in self._groups[:10])
        return f"<RunGroups of {len(self)}: {shown_here}{', ...' if len(self) > 10 else ''}>"

    def table(
        self, metric: str, *, by: str = "last", mode: str = "auto", alpha: float = 0.05, test_size: float | None = None
    ) -> GroupTable:
        """n, mean, standard deviation and the interval of the mean of each group.

        Parameters
        ----------
        metric : str
        by : {"last", "best", "min", "max", "mean", "first"}
            Which summary is the value of a run.
        mode : {"auto", "max", "min"}
            Which way the metric gets better; needed for ``by="best"`` where it is not known.
        alpha : float
            The interval is that of 1 - alpha.
        test_size : float, optional
            Share of the data that each split tests on, for splits whose runs do not say it.

        Raises
        ------
        InvalidValueError
            If no run has the metric.
        MissingDependencyError
            If scipy is not installed.
        """
        options = Options(metric=metric, by=by, mode=mode, alpha=alpha, seed=self._seed, test_size=test_size)
        (question,) = options.questions()
        read = iter(records([run for group in self._groups for run in group], _TABLE_PARTS))
        subjects = [Subject(group.group_label, [next(read) for _ in group], is_group=True) for group in self._groups]
        return GroupTable(summarise(subjects, question))

    def compare(self, metric: str | Sequence[str], **options: Any) -> Comparison:
        """Whether groups differ by more than noise, every pair of them.

        Parameters
        ----------
        metric : str or sequence of str
        **options
            ``mode test alpha by test_size`` of `mlops_sdk.compare`.

        Raises
        ------
        InvalidValueError
            If there are fewer than two groups, or no run has the metric.
        MissingDependencyError
            If scipy is not installed.
        """
        asked = Options(metric=metric, **({"seed": self._seed} | options))
        return compare(self._groups, asked, refuse_text)

    def plot(self, metric: str, *, ax: Axes | None = None, **options: Any) -> Axes:
        """The table as a picture: means with their intervals and the runs behind them.

        Parameters
        ----------
        metric : str
        ax : matplotlib.axes.Axes, optional
        **options
            As `table`.

        Raises
        ------
        InvalidValueError, MissingDependencyError
        """
        return self.table(metric, **options).plot(ax=ax)


# -- making groups ---------------------------------------------------------------------------------------------------------


def group_by(runs: Runs, keys: Sequence[str]) -> RunGroups:
    """See `Runs.group_by`."""
    if not keys:
        raise InvalidValueError("name what to group by: 'params.KEY', 'tags.KEY', 'datasets.CONTEXT' or an attribute")
    parts = _parts(runs)
    getters = [_getter(key, runs, parts) for key in keys]
    short = [key.removeprefix("attributes.").removeprefix("params.").strip("`") for key in keys]
    by_key = _collect(runs, lambda head: tuple(get(head, parts[head.run_id]) for get in getters))
    return RunGroups(
        [
            RunGroup(runs.store, heads, ", ".join(f"{n}={shown(v)}" for n, v in zip(short, key, strict=True)), key)
            for key, heads in by_key
        ]
    )


def group_seeds(runs: Runs, seed: str | Sequence[str] = SEEDS) -> RunGroups:
    """See `Runs.group_seeds`."""
    seeds = (seed,) if isinstance(seed, str) else tuple(seed)
    parts = _parts(runs)
    every = sorted({key for part in parts.values() for key in part.params if not _is_seed(key, seeds)})
    by_key = _collect(runs, lambda head: tuple(parts[head.run_id].params.get(key, MISSING) for key in every))
    varied = [at for at in range(len(every)) if len({_identity(key[at]) for key, _ in by_key}) > 1]
    groups = [RunGroup(runs.store, heads, _seed_label(every, key, varied), key) for key, heads in by_key]
    return RunGroups(groups, seeds)


def _is_seed(key: str, seeds: Sequence[str]) -> bool:
    return key in seeds or key.rpartition(".")[2] in seeds


def _seed_label(names: Sequence[str], key: Sequence[Any], varied: Sequence[int]) -> str:
    return ", ".join(f"{names[at]}={shown(key[at])}" for at in varied) or "all"


def _parts(runs: Runs) -> dict[str, RunParts]:
    ids = [head.run_id for head in runs.heads]
    return dict.fromkeys(ids, RunParts()) | runs.store.load(ids, ("params", "tags", "datasets"))


def _collect(runs: Runs, key_of: Callable[[RunHead], tuple[Any, ...]]) -> list[tuple[tuple[Any, ...], list[RunHead]]]:
    """Heads by key, in the order of the keys: numbers by value, then text; what is missing comes last."""
    groups: dict[tuple[Any, ...], tuple[tuple[Any, ...], list[RunHead]]] = {}
    for head in runs.heads:
        key = key_of(head)
        groups.setdefault(tuple(map(_identity, key)), (key, []))[1].append(head)
    return [groups[identity] for identity in sorted(groups)]


def _identity(value: Any) -> tuple[int, float, str]:
    """What makes two values one group, and their order; True is no 1, NaN is one value."""
    if value is MISSING:
        return (3, 0.0, "")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value:
            return (1, 0.0, "")
        try:
            return (0, float(value), "" if float(value) == value else str(value))
        except OverflowError:
            return (1, 1.0, str(value))
    return (2, 0.0, f"{type(value).__name__} {value}")


Getter = Callable[[RunHead, RunParts], Any]


def _getter(key: str, runs: Runs, parts: dict[str, RunParts]) -> Getter:
    """How the value of a key is had from a run.

    Raises
    ------
    InvalidValueError
        If it is no key, or no run has it.
    """
    kind, _, name = key.partition(".")
    name = name.strip("`")
    get = _of_kind(kind, name) if name and kind in _KINDS else _attribute(key)
    if get is None and any(key in part.params for part in parts.values()):
        get = _of_kind("params", key)  # a bare key is a param's
    if get is None:
        raise InvalidValueError(
            f"cannot group by {key!r}: use params.KEY, tags.KEY, datasets.CONTEXT, {', '.join(sorted(ATTRIBUTES))}",
            key=key,
        )
    if runs.heads and all(get(head, parts[head.run_id]) is MISSING for head in runs.heads):
        raise InvalidValueError(f"none of these {len(runs)} runs has {key}", key=key)
    return get


def _of_kind(kind: str, name: str) -> Getter | None:
    if kind == "params":
        return lambda head, parts: parts.params.get(name, MISSING)
    if kind == "tags":
        return lambda head, parts: parts.tags.get(name, MISSING)
    if kind == "datasets":
        return lambda head, parts: _dataset(parts, name)
    return _attribute(name)


def _dataset(parts: RunParts, context: str) -> Any:
    found = [dataset.get("digest") for dataset in parts.datasets if dataset.get("context") == context]
    return str(found[-1]) if found and found[-1] else MISSING


def _attribute(name: str) -> Getter | None:
    if name == "status":
        return lambda head, parts: derived_status(head)
    field = ATTRIBUTES[name].name if name in ATTRIBUTES else ""
    if field not in RunHead.__slots__:  # the root of nested runs is found by the store
        return None

    def get(head: RunHead, parts: RunParts) -> Any:
        value = getattr(head, field)
        return MISSING if value is None else value

    return get
