"""From runs to what `mlops_sdk.compare` works on: their parts are read, a run to compare with is found.

References
----------
.. [1] ``docs/adr/0007-comparison-below-query.md``
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops_sdk.comparison.comparison import Comparison
from mlops_sdk.comparison.difference import Varies, same
from mlops_sdk.comparison.predictions import FILES, MAX_BYTES, Predictions, parse
from mlops_sdk.comparison.question import SEEDS, Question
from mlops_sdk.comparison.subject import PARTS, RunRecord, Subject, cut, labels
from mlops_sdk.entities import Part, RunHead, RunParts, RunQuery
from mlops_sdk.errors import InvalidValueError, RunNotFoundError
from mlops_sdk.query.search import find_run
from mlops_sdk.query.view import RunView

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

_PAGE = 500
_MOST_LOOKED_AT = 20_000
_MOST_IN_LABEL = 3


@dataclass(frozen=True, slots=True)
class Options:
    """How to compare; see `mlops_sdk.compare`."""

    metric: str | Sequence[str] | None = None
    mode: str = "auto"
    test: str = "auto"
    alpha: float = 0.05
    by: str = "last"
    seed: str | Sequence[str] = SEEDS
    test_size: float | None = None

    def questions(self) -> list[Question]:
        """One for each metric; one without a metric where the test needs none."""
        seed = (self.seed,) if isinstance(self.seed, str) else tuple(self.seed)
        asked = Question("", self.by, self.mode, self.test, self.alpha, seed, self.test_size)
        if self.metric is None:
            return [asked] if self.test == "mcnemar" else []
        metrics = [self.metric] if isinstance(self.metric, str) else list(self.metric)
        return [replace(asked, metric=metric.removeprefix("metrics.")) for metric in metrics]


def compare(items: Sequence[Any], options: Options, resolve: Callable[[str], RunView]) -> Comparison:
    """See `mlops_sdk.compare`.

    Parameters
    ----------
    items : sequence
        Runs, ids, groups (sequences of runs); a lone sequence is taken for its items.
    options : Options
    resolve : callable
        Takes an id, a name, or ``@1``.

    Raises
    ------
    RunNotFoundError, AmbiguousRunError, InvalidValueError, MissingDependencyError
    """
    if len(items) == 1 and not isinstance(items[0], str | RunView):
        items = list(_iterated(items[0]))
    named = [getattr(item, "group_label", "") for item in items]
    groups = [[_as_view(each, resolve) for each in _members(item)] for item in items]
    if any(not group for group in groups):
        raise InvalidValueError("a group without runs cannot be compared")
    is_group = [not isinstance(item, str | RunView) for item in items]
    return Comparison(subjects(groups, is_group, named), options.questions())


def compare_views(views: Sequence[RunView], **options: Any) -> Comparison:
    """Runs beside each other; see `Runs.compare`."""
    return compare(views, Options(**options), refuse_text)


def compare_with(view: RunView, others: Sequence[Any], **options: Any) -> Comparison:
    """A run beside others, or the previous one; see `RunView.compare`."""
    if not others:
        return compare_with_previous(view, Options(**options))
    store = view._store
    return compare([*others, view], Options(**options), lambda text: RunView(store, find_run(store, text)))


def compare_with_previous(view: RunView, options: Options) -> Comparison:
    """A run beside the previous run of the same entry point.

    Raises
    ------
    RunNotFoundError
        If there is none.
    """
    return compare([RunView(view._store, previous_run(view._store, view._head())), view], options, refuse_text)


def refuse_text(text: str) -> RunView:
    """Where runs are given, text is none.

    Raises
    ------
    InvalidValueError
        Always.
    """
    raise InvalidValueError(f"{text!r} is no run")


def _iterated(item: Any) -> Iterable[Any]:
    if not hasattr(item, "__iter__"):
        raise InvalidValueError(f"a {type(item).__name__} cannot be compared: give runs, ids, or sequences of them")
    return item  # type: ignore[no-any-return]


def _members(item: Any) -> list[Any]:
    return [item] if isinstance(item, str | RunView) else list(_iterated(item))


def _as_view(item: Any, resolve: Callable[[str], RunView]) -> RunView:
    if isinstance(item, RunView):
        return item
    if isinstance(item, str):
        return resolve(item)
    raise InvalidValueError(f"a {type(item).__name__} cannot be compared: give runs, ids, or sequences of them")


# -- reading ---------------------------------------------------------------------------------------------------------------


def subjects(groups: Sequence[Sequence[RunView]], is_group: Sequence[bool], named: Sequence[str]) -> list[Subject]:
    """Runs and groups as plain data, read together.

    Parameters
    ----------
    groups : sequence of sequence of RunView
    is_group : sequence of bool
        False for a run, which stands alone in its sequence.
    named : sequence of str
        Labels of groups; empty ones are made up from the params in which they differ.
    """
    read = iter(records([view for group in groups for view in group]))
    of_groups = [[next(read) for _ in group] for group in groups]
    singles = iter(labels([group[0].head for group, each in zip(of_groups, is_group, strict=True) if not each]))
    made = [
        Subject(label if each else next(singles), group, is_group=each)
        for group, each, label in zip(of_groups, is_group, named, strict=True)
    ]
    unnamed = [subject for subject in made if not subject.label]
    for number, (subject, label) in enumerate(zip(unnamed, group_labels(unnamed), strict=True)):
        subject.label = label or f"group {number + 1}"
    for subject in made:
        subject.label = cut(subject.label)
    return made


def group_labels(groups: Sequence[Subject], seed: Sequence[str] = SEEDS) -> list[str]:
    """Names made of the params in which groups differ and their runs agree: ``lr=0.1, depth=3``; empty where none do."""
    keys = dict.fromkeys(key for group in groups for key in group.params)
    telling = [
        key
        for key in keys
        if key.rpartition(".")[2] not in seed
        and not any(isinstance(group.params.get(key), Varies) for group in groups)
        and not all(same(groups[0].params.get(key), group.params.get(key)) for group in groups[1:])
    ]
    shown = telling[:_MOST_IN_LABEL]
    return [", ".join(f"{key}={_short(group.params.get(key))}" for key in shown) for group in groups]


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:60]


def records(views: Sequence[RunView], parts: Sequence[Part] = PARTS) -> list[RunRecord]:
    """Runs as they are now; runs of one store are read together."""
    heads = [view._head() for view in views]  # of a run being recorded it delivers what waits
    loaded: dict[tuple[int, str], RunParts] = {}
    for store in {id(view._store): view._store for view in views}.values():
        ids = list(dict.fromkeys(view.run_id for view in views if view._store is store))
        loaded |= {(id(store), run_id): part for run_id, part in store.load(ids, parts).items()}
    return [
        RunRecord(head, loaded.get((id(view._store), head.run_id), RunParts()), _reader(view))
        for head, view in zip(heads, views, strict=True)
    ]


def _reader(view: RunView) -> Callable[[], Predictions | None]:
    def read() -> Predictions | None:
        """The logged predictions of the run; None without any."""
        for ref in view.artifacts:
            if ref.path in FILES:
                if ref.size_bytes > MAX_BYTES:
                    raise InvalidValueError(f"{ref.path} is larger than {MAX_BYTES:,} bytes")
                return parse(ref.path, view.artifact(ref.path).read_bytes())
        return None

    return read


# -- the run to compare with -----------------------------------------------------------------------------------------------


def previous_run(store: Store, head: RunHead) -> RunHead:
    """The latest run before that one with the same entry point: nested if that one is, else not.

    Raises
    ------
    RunNotFoundError
        If there is none among the 20,000 runs before it.
    """
    for offset in range(0, _MOST_LOOKED_AT, _PAGE):
        page = store.find(RunQuery(limit=_PAGE, offset=offset))
        for other in page:
            if _is_before(other, head) and _is_alike(other, head):
                return other
        if len(page) < _PAGE:
            break
    raise RunNotFoundError(
        head.run_id,
        f"there is no earlier run of {head.entry_point or 'the same script'!r} to compare {head.name!r} with: name one",
    )


def _is_before(other: RunHead, head: RunHead) -> bool:
    return (other.start_ns, other.run_id) < (head.start_ns, head.run_id) and other.run_id != head.run_id


def _is_alike(other: RunHead, head: RunHead) -> bool:
    return other.entry_point == head.entry_point and (other.parent is None) == (head.parent is None)
