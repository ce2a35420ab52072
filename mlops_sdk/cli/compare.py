"""``mlops compare``: what differs between runs, and whether it is more than noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, json_option, need_place, store_option
from mlops_sdk.cli.text import escape
from mlops_sdk.errors import InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk.comparison.comparison import Comparison
    from mlops_sdk.query.comparing import Options
    from mlops_sdk.stores.opening import Place

_COLOURS: dict[str, dict[str, Any]] = {"title": {"bold": True}, "better": {"fg": "green"}, "worse": {"fg": "red"}}


@command(
    "compare",
    "mlops compare @1",
    "mlops compare baseline deeper --all",
    "mlops compare -e digits --group-by params.model -m val/acc",
)
@click.argument("runs", metavar="RUN...", nargs=-1)
@click.option("-m", "--metric", "metrics", metavar="KEY", multiple=True,
              help="Judge this metric by statistics: of groups, or of two runs with logged predictions; may be repeated.")  # fmt: skip
@click.option("-e", "--experiment", help="The runs of this experiment, instead of runs that are named.")
@click.option("--group-by", "keys", metavar="KEY", multiple=True,
              help="Compare groups of runs that agree in params.KEY, tags.KEY or an attribute; may be repeated.")  # fmt: skip
@click.option("--group-seeds", is_flag=True, help="Compare groups of runs whose params are the same but the seed.")
@click.option("--by", metavar="SUMMARY", default="last", show_default=True,
              help="Which summary of the metric is the value of a run: last, best, min, max, mean or first.")  # fmt: skip
@click.option("--mode", type=click.Choice(["auto", "max", "min"]), default="auto", show_default=True,
              help="Which way the metric gets better.")  # fmt: skip
@click.option("--test", metavar="TEST", default="auto", show_default=True,
              help="welch, paired_t, wilcoxon, bootstrap, corrected or mcnemar instead of what fits.")  # fmt: skip
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Level of significance.")
@click.option("--all", "has_all", is_flag=True, help="Every difference, not only those that fit a screen.")
@click.option("--diff", is_flag=True, help="The difference of the code as a unified diff, and nothing else.")
@json_option
@store_option
def compare(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    experiment: str | None,
    keys: tuple[str, ...],
    *,
    group_seeds: bool,
    by: str,
    mode: str,
    test: str,
    alpha: float,
    has_all: bool,
    diff: bool,
    as_json: bool,
    store: str | None,
) -> None:
    """What changed between runs, the most telling first; what is said is said of the last one.

    One RUN is compared with the previous run of the same entry point. RUN is an id, its beginning or end (4 characters or
    more), a name, or @1 for the latest.
    """
    from mlops_sdk.query.comparing import Options

    place = need_place(store)
    options = Options(metrics or None, mode, test, alpha, by)
    is_grouped = bool(keys) or group_seeds
    if experiment is None and not is_grouped:
        found = _of_runs(place, runs, options)
    else:
        found = _of_many(place, runs, experiment, (keys, group_seeds), options)
    if as_json:
        terminal.write(to_json(found.to_dict()))
    elif diff:
        terminal.write(escape(line) for line in found.code_diff.splitlines())
    else:
        _write(found, has_all=has_all)


def _of_runs(place: Place, runs: tuple[str, ...], options: Options) -> Comparison:
    from mlops_sdk.query import comparing
    from mlops_sdk.query.search import resolve

    if not runs:
        raise InvalidValueError("name a run, such as @1, or an experiment with -e")
    if len(runs) > 1:
        return comparing.compare(runs, options, lambda run: resolve(place, run))
    return comparing.compare_with_previous(resolve(place, runs[0]), options)


def _of_many(
    place: Place,
    runs: tuple[str, ...],
    experiment: str | None,
    grouping: tuple[tuple[str, ...], bool],
    options: Options,
) -> Comparison:
    from mlops_sdk.query import comparing
    from mlops_sdk.query.groups import group_by, group_seeds
    from mlops_sdk.query.runs import Runs
    from mlops_sdk.query.search import find_run, search

    if runs and experiment is not None:
        raise InvalidValueError("name runs, or an experiment with -e, not both")
    keys, is_by_seeds = grouping
    if keys and is_by_seeds:
        raise InvalidValueError("use --group-by or --group-seeds, not both")
    chosen = search(place, experiment=experiment)
    if runs:
        chosen = Runs(place.store, [find_run(place.store, run) for run in runs])
    groups = group_by(chosen, keys) if keys else group_seeds(chosen) if is_by_seeds else chosen
    return comparing.compare(groups, options, comparing.refuse_text)


def _write(found: Comparison, *, has_all: bool) -> None:
    from mlops_sdk.comparison.comparison import LINES
    from mlops_sdk.comparison.report import blocks, plain_lines

    tables = blocks(found, None if has_all else LINES)
    terminal.write(
        plain_lines(tables, terminal.width(), lambda line, tone: terminal.paint(line, **_COLOURS.get(tone, {})))
    )
    n_left_out = len(found.changes) + len(found.results) - sum(len(table.rows) for table in tables)
    if n_left_out > 0 and not has_all:
        terminal.say("--all shows every difference")
