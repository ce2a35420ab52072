"""The demo: a few scikit-learn models on the digits data that scikit-learn brings along, tracked from end to end.

It is written the way a training script of a user would be: only public functions record anything.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk import config
from mlops_sdk.api import get_run, start_run
from mlops_sdk.errors import MissingDependencyError
from mlops_sdk.plots.curves import curves
from mlops_sdk.query.view import RunView
from mlops_sdk.stores.opening import locate, open_place

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from mlops_sdk._types import FloatArray, IntArray
    from mlops_sdk.stores.location import Location
    from mlops_sdk.stores.opening import Place

EXPERIMENT = "digits-demo"
ACCURACY, LOSS = "test/accuracy", "train/loss"
SQL = """\
SELECT run, last AS accuracy, max AS best, max_step AS at_step
FROM v_metrics WHERE experiment = 'digits-demo' AND metric = 'test/accuracy'
ORDER BY best DESC, run LIMIT 8"""

_N_ROUNDS = 40
_SEED = 0
_TEST_FRACTION = 0.25
_DATABASE = "store.db"


@dataclass(frozen=True, slots=True)
class Digits:
    """1,797 pictures of handwritten digits, 8 x 8, in two parts of the same mix of classes.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray of float64, shape (n, 64)
        Pixels, 0 to 1.
    y_train, y_test : numpy.ndarray of int64, shape (n,)
        The digit.
    """

    x_train: FloatArray
    x_test: FloatArray
    y_train: IntArray
    y_test: IntArray


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model and how it gets one round further.

    Attributes
    ----------
    name : str
        Of the run.
    model : estimator
        With its params as they are after the last round.
    advance : callable
        Takes (model, digits, round from 0).
    """

    name: str
    model: Any
    advance: Callable[[Any, Digits, int], None]


def run_demo(output: Path, tracking_uri: str | None = None) -> None:
    """Train four models, each a run of the experiment ``digits-demo``; show the runs and where everything went.

    Parameters
    ----------
    output : Path
        Directory for ``comparison.png`` and the test data, made when it is not there.
    tracking_uri : str, optional
        Where runs are kept; default as for `start_run`.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    StoreUnavailableError
        If the store was named and cannot be written.
    OSError
        If `output` cannot be written.
    """
    digits, recipes = _load()
    from rich.console import Console

    place = open_place(config.resolve(tracking_uri=tracking_uri).tracking_uri, make=True)
    output.mkdir(parents=True, exist_ok=True)
    _write_csv(digits, output / "test-split.csv")
    run_ids = _train_all(recipes, digits, output / "test-split.csv", place.uri)
    runs = [get_run(run_id, tracking_uri=place.uri) for run_id in run_ids]
    _draw_comparison(runs, output / "comparison.png")
    console = Console(markup=False, highlight=False, soft_wrap=True)
    _show_runs(console, runs)
    _show_places(console, place, output)
    _show_next(console, place, runs)


# -- data and models -----------------------------------------------------------------------------------------------------


def _load() -> tuple[Digits, tuple[Recipe, ...]]:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", extra="sklearn", purpose="the demo") from error
    bundle = load_digits()
    parts = train_test_split(
        bundle.data / 16, bundle.target, test_size=_TEST_FRACTION, stratify=bundle.target, random_state=_SEED
    )
    return Digits(*parts), _recipes()


def _recipes() -> tuple[Recipe, ...]:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    sgd = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.03, random_state=_SEED)
    mlp = MLPClassifier((64,), learning_rate_init=2e-3, batch_size=64, random_state=_SEED)
    forest = RandomForestClassifier(2 * _N_ROUNDS, warm_start=True, random_state=_SEED)
    boosting = GradientBoostingClassifier(
        learning_rate=0.3, n_estimators=_N_ROUNDS, max_features=8, warm_start=True, random_state=_SEED
    )
    return (
        Recipe("linear-sgd", sgd, _train_epoch),
        Recipe("mlp", mlp, _train_epoch),
        Recipe("random-forest", forest, lambda model, digits, n: _grow(model, digits, n_estimators=2 * (n + 1))),
        Recipe("boosting", boosting, lambda model, digits, n: _grow(model, digits, n_estimators=n + 1)),
    )


def _train_epoch(model: Any, digits: Digits, n: int) -> None:
    model.partial_fit(digits.x_train, digits.y_train, classes=range(10) if n == 0 else None)


def _grow(model: Any, digits: Digits, **size: int) -> None:
    """Add trees to an ensemble that starts warm."""
    model.set_params(**size).fit(digits.x_train, digits.y_train)


def _write_csv(digits: Digits, file: Path) -> None:
    import numpy as np

    titles = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)] + ["digit"]
    rows = np.column_stack([digits.x_test * 16, digits.y_test])
    np.savetxt(file, rows, fmt="%d", delimiter=",", header=",".join(titles), comments="")


# -- training ------------------------------------------------------------------------------------------------------------


def _train_all(recipes: Sequence[Recipe], digits: Digits, split: Path, uri: str) -> list[str]:
    """Train every model, with a progress bar; returns the ids of the runs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    # The stream is named: rich would otherwise look for it each time, and find what a run puts there to keep the output.
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        tasks = {recipe.name: progress.add_task(recipe.name, start=False, total=_N_ROUNDS) for recipe in recipes}
        run_ids = []
        for recipe in recipes:
            task = tasks[recipe.name]
            progress.start_task(task)
            run_ids.append(_train(recipe, digits, split, uri, partial(progress.advance, task)))
        return run_ids


def _train(recipe: Recipe, digits: Digits, split: Path, uri: str, tick: Callable[[], None]) -> str:
    """Train one model as one run; returns its id."""
    model = recipe.model
    about = {"model": type(model).__name__, "rounds": _N_ROUNDS, "test_fraction": _TEST_FRACTION}
    with start_run(experiment=EXPERIMENT, name=recipe.name, params=about, tags=["demo"], tracking_uri=uri) as run:
        run.log_params(model)
        run.define_metric(ACCURACY, mode="max")
        run.define_metric(LOSS, mode="min")
        for step in range(_N_ROUNDS):
            recipe.advance(model, digits, step)
            run.log_metrics(_scores(model, digits), step=step)
            tick()
        run.log_figure(_draw_confusion(recipe.name, model, digits), "confusion-matrix.png")
        run.log_model(model, input_example=digits.x_test[:5])
        run.log_artifact(split, "data")
    return run.run_id


def _scores(model: Any, digits: Digits) -> dict[str, float]:
    from sklearn.metrics import log_loss

    odds = model.predict_proba(digits.x_train)
    return {
        LOSS: log_loss(digits.y_train, odds),
        "train/accuracy": float((odds.argmax(axis=1) == digits.y_train).mean()),
        ACCURACY: model.score(digits.x_test, digits.y_test),
    }


# -- pictures ------------------------------------------------------------------------------------------------------------


def _draw_confusion(name: str, model: Any, digits: Digits) -> Figure:
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(digits.y_test, model.predict(digits.x_test))
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    ax = figure.add_subplot(xlabel="predicted", ylabel="digit", title=name, xticks=range(10), yticks=range(10))
    ax.imshow(counts, cmap="Blues")
    for row, column in zip(*counts.nonzero(), strict=True):
        is_dark = counts[row, column] > counts.max() / 2
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", color="white" if is_dark else "black")
    return figure


def _draw_comparison(runs: Sequence[RunView], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    ax = curves(runs, [ACCURACY], ax=figure.add_subplot(title="Handwritten digits: accuracy on the test set"))
    ax.set_xlabel("round: an epoch, two more trees, or a boosting iteration")
    ax.set_ylim(0.85, 1.0)  # where they differ; the first rounds begin lower
    figure.savefig(file, dpi=120)


# -- what it says at the end ---------------------------------------------------------------------------------------------


def _show_runs(console: Console, runs: Sequence[RunView]) -> None:
    rows = []
    for run in sorted(runs, key=lambda run: -run.summary(ACCURACY).max):
        accuracy, seconds = run.summary(ACCURACY), f"{run.duration_s:.1f}"
        rows.append([run.short_id, run.name, run.status, accuracy.max, accuracy.max_step, run.metrics[LOSS], seconds])
    _show_table(
        console,
        f"The runs, in experiment {EXPERIMENT}",
        ("id", "name", "status", "best accuracy", "at step", "loss", "seconds"),
        rows,
    )


def _show_table(console: Console, heading: str, titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.table import Table

    table = Table(*titles, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(f"\n{heading}", style="bold")
    console.print(table, soft_wrap=False)


def _show_places(console: Console, place: Place, output: Path) -> None:
    console.print("\nWhere it went", style="bold")
    console.print(f"  {output / 'comparison.png'}  the curves of all four")
    if place.location is None:
        console.print(f"  {place.uri}  the runs")
        return
    database = place.location.path / _DATABASE
    console.print(f"  {database}  params, metrics, environment: plain SQLite")
    console.print(f"  {place.location.path / 'blobs'}  figures, models, data: what is the same is there once")
    if database.is_file():
        console.print("\nThe SQL that reads it", style="bold")
        console.print("  " + SQL.replace("\n", "\n  "))
        _show_table(console, "and what it says, of all demos so far", *_read_with_sql(database))


def _read_with_sql(database: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Titles and rows of the answer to `SQL`, by nothing but the standard library."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        cursor = connection.execute(SQL)
        return [column[0] for column in cursor.description], cursor.fetchall()


def _show_next(console: Console, place: Place, runs: Sequence[RunView]) -> None:
    if place.location is None:
        return
    best = max(runs, key=lambda run: run.summary(ACCURACY).max)
    mlops, store = _command(), _store_option(place.location)
    commands = {
        f"runs -e {EXPERIMENT} -c params.model -c metrics.{ACCURACY}.max": "the runs again",
        f"show {best.short_id}": "all about the best of them",
        f"artifacts ls {best.short_id}": "its files",
        "doctor": "where the store is and why, and whether it is well",
    }
    console.print("\nWhat next", style="bold")
    for command, what in commands.items():
        console.print(f"  # {what}\n  {mlops} {command}{store}")


def _command() -> str:
    """How `mlops` is called here: in a virtual environment that is not active, by its path."""
    if shutil.which("mlops"):
        return "mlops"
    beside = Path(sys.executable).parent / "mlops"
    return _quoted(os.path.relpath(beside)) if beside.is_file() else f"{_quoted(sys.executable)} -m mlops_sdk.cli"


def _store_option(location: Location) -> str:
    """What `mlops` has to be told to find the store; nothing where it finds it by itself."""
    found = locate(config.resolve().tracking_uri)
    return "" if found is not None and found.path == location.path else f" --store {_quoted(str(location.path))}"


def _quoted(path: str) -> str:
    return subprocess.list2cmdline([path]) if os.name == "nt" else shlex.quote(path)
