"""Pictures of a search: score against a param or a time, the marginal effect of a param, parallel coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.axes import dress, new_axes, plain
from mlops_sdk.plots.palette import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("marginal", "parallel", "scatter", "time")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A candidate in the form in which a run is drawn."""

    run_id: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    experiment: str = ""
    status: str = "FINISHED"
    start_time: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.run_id


def parallel(params: Sequence[Mapping[str, Any]], scores: Sequence[Any], label: str, *, ax: Axes | None) -> Axes:
    """A line a candidate, through its params to its mean score."""
    from mlops_sdk.plots.parallel import parallel as draw

    candidates = [
        _Candidate(f"candidate-{i}", {name: _drawable(each) for name, each in of.items()}, {label: float(score)})
        for i, (of, score) in enumerate(zip(params, scores, strict=True))
        if isinstance(score, (int, float))
    ]
    return draw(candidates, (), label, ax=ax)  # type: ignore[arg-type]  # what is drawn is read, the rest of a run is not


def _drawable(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def marginal(
    params: Sequence[Mapping[str, Any]], name: str, scores: Sequence[Any], label: str, *, ax: Axes | None
) -> Axes:
    """Score against a param: a grey dot a candidate, and per value the mean and the best over all other params."""
    import numpy as np

    tried = [
        (each[name], float(score))
        for each, score in zip(params, scores, strict=True)
        if name in each and isinstance(score, (int, float)) and np.isfinite(score)
    ]
    if not tried:
        raise InvalidValueError(f"no candidate has a param {name!r} and a score", key=name)
    are_numbers = _are_numbers([value for value, _ in tried])
    groups: dict[Any, list[float]] = {}
    for value, score in tried:
        groups.setdefault(value if are_numbers else str(value), []).append(score)
    values = sorted(groups) if are_numbers else list(groups)
    x = values if are_numbers else list(range(len(values)))
    axes = ax or new_axes()
    place = dict(zip(values, x, strict=True))
    spots = [place[value if are_numbers else str(value)] for value, _ in tried]
    axes.scatter(spots, [score for _, score in tried], s=14, color="0.7", linewidth=0, label="candidates")
    if len(values) <= max(len(tried) // 2, 1) or len(values) == len(tried):
        style = "o-" if are_numbers else "o"
        axes.plot(
            x, [np.mean(groups[value]) for value in values], style, color=PALETTE[0], label="mean over the other params"
        )
        axes.plot(
            x,
            [max(groups[value]) for value in values],
            style,
            color=PALETTE[1],
            label="best over the other params",
            markersize=4,
        )
    _scale_x(axes, values if are_numbers else None)
    if not are_numbers:
        axes.set_xticks(x, [plain(value, 20) for value in values])
        axes.set_xlim(-0.5, len(x) - 0.5)
    dress(axes, x=plain(name), y=label)
    axes.legend(frameon=False, fontsize="small")
    return axes


def scatter(
    x: Sequence[Any], y: Sequence[Any], x_label: str, y_label: str, *, best: int | None, ax: Axes | None
) -> Axes:
    """A dot a candidate; the one that won stands out."""
    are_numbers = _are_numbers(x)
    axes = ax or new_axes()
    values = list(x) if are_numbers else [plain(value, 20) for value in x]
    axes.scatter(values, list(y), s=18, color=PALETTE[0], alpha=0.7, linewidth=0)
    if best is not None and 0 <= best < len(values):
        axes.scatter(
            [values[best]], [y[best]], s=70, facecolor="none", edgecolor=PALETTE[1], linewidth=1.8, label="best"
        )
        axes.legend(frameon=False, fontsize="small")
    _scale_x(axes, list(x) if are_numbers else None)
    dress(axes, x=plain(x_label), y=y_label)
    return axes


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _scale_x(axes: Axes, values: Sequence[float] | None) -> None:
    """Logarithmic where the values go over more than a factor of 50."""
    if values and min(values) > 0 and max(values) > 50 * min(values):
        axes.set_xscale("log")
