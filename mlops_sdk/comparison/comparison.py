"""The result of `mlops_sdk.compare`: what differs, what to read first, and whether it is more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_sdk.comparison import sections
from mlops_sdk.comparison.code import CommitRange, code_diff, code_differences, find_range
from mlops_sdk.comparison.difference import Difference
from mlops_sdk.comparison.metrics import MetricDifference, metric_differences
from mlops_sdk.comparison.question import Question
from mlops_sdk.comparison.ranking import ranked, ranked_metrics
from mlops_sdk.comparison.subject import Subject
from mlops_sdk.comparison.verdict import GroupSummary, Verdict, judge, summarise
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.frames import pandas_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LINES = 24
"""Differences on one screen."""


class Comparison:
    """What differs between runs or groups, the most telling first.

    Parameters
    ----------
    subjects : sequence of Subject
        Two or more; the first is the reference.
    questions : sequence of Question
        For each metric that is judged by statistics.

    Raises
    ------
    InvalidValueError
        If there are fewer than two, or groups without a question, or no run has a metric that is asked for.
    MissingDependencyError
        If there is a question and scipy is not installed.

    Attributes
    ----------
    subjects : tuple of Subject
    verdicts : tuple of Verdict
        One for each pair and metric; empty without a question.
    groups : tuple of GroupSummary
        n, mean, standard deviation and interval of each group and metric; empty without a question.

    Notes
    -----
    Plain data of the moment it was made: what is logged afterwards does not change it. Sections are worked out when they
    are first looked at.

    References
    ----------
    .. [1] ``docs/adr/0007-comparison-below-query.md``
    """

    def __init__(self, subjects: Sequence[Subject], questions: Sequence[Question] = ()) -> None:
        if len(subjects) < 2:
            raise InvalidValueError("one run is nothing to compare: give two or more runs or groups")
        if not questions and any(subject.is_group for subject in subjects):
            raise InvalidValueError("groups are compared in a metric: pass metric=")
        self.subjects = tuple(subjects)
        self.questions = tuple(questions)
        self.verdicts: tuple[Verdict, ...] = tuple(judge(subjects, questions)) if questions else ()
        self.groups: tuple[GroupSummary, ...] = ()
        if self.is_of_groups:
            self.groups = tuple(row for each in questions for row in summarise(subjects, each))

    @property
    def is_of_groups(self) -> bool:
        """Whether one of what is compared is a group."""
        return any(subject.is_group for subject in self.subjects)

    @property
    def labels(self) -> list[str]:
        """What each run or group is called."""
        return [subject.label for subject in self.subjects]

    # -- what differs ----------------------------------------------------------------------------------------------

    @cached_property
    def params(self) -> Mapping[str, Difference]:
        """Params that differ, by flat key."""
        return _by_key(sections.param_differences(self.subjects))

    @cached_property
    def metrics(self) -> Mapping[str, MetricDifference]:
        """Metrics that differ in any summary; empty for groups, whose metrics are judged by statistics."""
        if self.is_of_groups:
            return {}
        return {each.key: each for each in metric_differences(self.subjects)}

    @cached_property
    def datasets(self) -> Mapping[str, Difference]:
        """Datasets that differ, by context."""
        return _by_key(sections.dataset_differences(self.subjects))

    @cached_property
    def code(self) -> Mapping[str, Difference]:
        """``commit branch remote uncommitted untracked``, as far as they differ."""
        return _by_key(code_differences(self.subjects, self.commit_range))

    @cached_property
    def commit_range(self) -> CommitRange | None:
        """From the first's commit to the last's; None where they have one, or none was captured."""
        return find_range(self.subjects)

    @cached_property
    def code_diff(self) -> str:
        """Unified diff from the first's code to the last's, as far as it was captured or stands in the repository here."""
        return code_diff(self.subjects, self.commit_range)

    @cached_property
    def packages(self) -> Mapping[str, Difference]:
        """Packages added, removed and changed, by name; part of `environment`."""
        return _by_key(sections.package_differences(self.subjects))

    @cached_property
    def environment(self) -> Mapping[str, Difference]:
        """Interpreter, arguments, directory, seeds, and packages (``packages.NAME``)."""
        named = {f"packages.{key}": each for key, each in self.packages.items()}
        return _by_key(sections.environment_differences(self.subjects)) | named

    @cached_property
    def system(self) -> Mapping[str, Difference]:
        """Machine and operating system."""
        return _by_key(sections.system_differences(self.subjects))

    @cached_property
    def duration(self) -> Difference | None:
        """Seconds from start to end; None where all are the same."""
        return next(iter(sections.duration_differences(self.subjects)), None)

    # -- what to read first ----------------------------------------------------------------------------------------

    @cached_property
    def changes(self) -> Sequence[Difference]:
        """Everything that differs besides the results, most telling first; see `mlops_sdk.comparison.ranking`."""
        parts = (self.datasets, self.code, self.params, self.environment, self.system)
        return ranked(each for part in parts for each in part.values())

    @cached_property
    def results(self) -> Sequence[MetricDifference]:
        """Metrics that differ, those that changed most first."""
        return ranked_metrics(self.metrics.values())

    @cached_property
    def notes(self) -> Sequence[str]:
        """What could not be compared, and why; what statistics take for granted."""
        notes = dict.fromkeys(sections.not_captured(self.subjects))
        for verdict in self.verdicts:
            notes |= dict.fromkeys(verdict.notes)
            if verdict.finding is not None:
                taken = "; ".join(verdict.finding.assumptions)
                notes[f"{verdict.finding.test} takes for granted: {taken}"] = None
        n_tested = sum(verdict.finding is not None for verdict in self.verdicts)
        if n_tested > 1:
            notes[f"{n_tested} comparisons: p-values corrected by Holm, intervals are each for itself"] = None
        return list(notes)

    # -- forms -----------------------------------------------------------------------------------------------------

    def summary(self, *, limit: int | None = LINES, width: int = 120) -> str:
        """What changed, on one screen, as plain text; stored text is made harmless.

        Parameters
        ----------
        limit : int or None
            At most about so many differences; None: all.
        width : int
            Of a line, in cells of a terminal.
        """
        from mlops_sdk.comparison.report import blocks, plain_lines

        return "\n".join(plain_lines(blocks(self, limit), width))

    def to_pandas(self) -> pd.DataFrame:
        """The verdicts as a table, one row a pair and metric; without verdicts everything that differs, one row each.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        from mlops_sdk.comparison.report import difference_rows, verdict_rows

        return pandas_frame(verdict_rows(self) if self.verdicts else difference_rows(self))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        from mlops_sdk.comparison.report import difference_rows, group_rows, metric_rows, verdict_rows

        return {
            "labels": self.labels,
            "run_ids": [[record.head.run_id for record in subject.records] for subject in self.subjects],
            "verdicts": verdict_rows(self),
            "groups": group_rows(self.groups),
            "metrics": metric_rows(self.results),
            "differences": difference_rows(self),
            "notes": list(self.notes),
        }

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Groups: means with intervals and the runs behind them. Runs: how much each metric changed.

        Raises
        ------
        InvalidValueError
            If there is nothing to draw: no metric differs.
        """
        from mlops_sdk.comparison.drawing import draw

        return draw(self, ax=ax)

    def _repr_html_(self) -> str:
        """Static HTML for notebooks, every stored text escaped."""
        from mlops_sdk.comparison.pages import page

        return page(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.subjects)}: {len(self.changes)} changes, {len(self.metrics)} metrics differ>"


def _by_key(differences: Any) -> dict[str, Difference]:
    return {each.key: each for each in differences}
