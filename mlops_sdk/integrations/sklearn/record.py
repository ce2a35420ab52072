"""One fit or cross-validation, written to its run."""

from __future__ import annotations

import copy
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING, Any, Literal

from mlops_sdk.integrations.sklearn import curves, describing, scores
from mlops_sdk.integrations.sklearn.contexts import Known
from mlops_sdk.integrations.sklearn.randomness import untouched
from mlops_sdk.integrations.sklearn.warned import Warned, quiet
from mlops_sdk.integrations.sklearn.watching import inside
from mlops_sdk.run import active
from mlops_sdk.run.start import attach_run
from mlops_sdk.run.trouble import words_of

if TYPE_CHECKING:
    from mlops_sdk.integrations.sklearn.options import Options
    from mlops_sdk.run.run import Run

_EXAMPLE_ROWS = 5
_MAX_EXAMPLE_COLUMNS = 1000
QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


class Record:
    """Writes what belongs to one fit.

    Parameters
    ----------
    run : Run
    estimator : estimator
    options : Options
    prefix : str
        Of a fit that only prepares data: its name.
    is_ours : bool
        The run is a child made for this fit: it fails when the fit fails.

    Notes
    -----
    No method raises: what goes wrong is counted in the run's health.
    """

    def __init__(self, run: Run, estimator: Any, options: Options, *, prefix: str = "", is_ours: bool = False) -> None:
        self.run = run
        self.estimator = estimator
        self.options = options
        self.known = Known()
        self.prefix = prefix
        self.is_ours = is_ours
        self.has_predicted = False
        self.reported: set[str] = set()
        self.judged: set[int] = set()
        self._train: Callable[[], Any] | None = None
        self._uri = run._recorder.place.uri

    # -- plumbing --------------------------------------------------------------------------------------------------------

    def attempt(self, what: str, action: Callable[[], object]) -> None:
        """Run `action`; what it raises is counted, whether the run is strict or not: it is not the user's mistake."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - nothing of the tracker may reach the user's fit
            self.run._troubles.count(f"sklearn:{type(error).__name__}", f"{what}: {words_of(error)}")

    def apart(self) -> AbstractContextManager[Any]:
        """What is called in the block is the tracker's: unrecorded, without warnings, random states put back."""
        import numpy as np

        stack = ExitStack()
        stack.enter_context(inside())
        stack.enter_context(quiet())
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(untouched(self.estimator))
        return stack

    def _key(self, name: str) -> str:
        return f"{self.prefix}_{name}" if self.prefix else name

    def _file(self, name: str) -> str:
        return f"preparation/{self.prefix}/{name}" if self.prefix else name

    def log_metrics(self, values: Mapping[str, float], *, context: str = "", step: int | None = None) -> None:
        """Log metrics under ``<context>_<name>``, also when the run has ended since."""
        named = {f"{context}_{name}" if context else self._key(name): value for name, value in values.items()}
        if not named:
            return
        if not self.run._is_over:
            self._write(self.run, named, step)
            return
        with active.aside():
            late = attach_run(self.run.run_id, tracking_uri=self._uri)
            try:
                self._write(late, named, step)
            finally:
                late.finish()

    def _write(self, run: Run, named: Mapping[str, float], step: int | None) -> None:
        for key in named:
            run.define_metric(key, mode=_mode(key))
        run.log_metrics(named, step)

    # -- before ----------------------------------------------------------------------------------------------------------

    def begin(self, data: Mapping[str, Any], data_name: str | None) -> None:
        """Write what is known before the fit: params, the tree, the data."""
        changed = describing.changed_params(self.estimator)
        params = {f"{self.prefix}.{name}": value for name, value in changed.items()} if self.prefix else changed
        for key, value in params.items():  # one by one: a name that is taken costs only itself
            self.attempt("params", lambda key=key, value=value: self.run.log_param(key, value))  # type: ignore[misc]
        if not self.prefix:
            kind = type(self.estimator)
            title = {
                "estimator": describing.title_of(self.estimator),
                "estimator_class": f"{kind.__module__}.{kind.__qualname__}",
            }
            self.attempt("tags", lambda: self.run.set_tags(title))
        tree = describing.tree_of(self.estimator)
        self.attempt("estimator.json", lambda: self.run.log_dict(tree, self._file("estimator.json")))
        html = describing.html_of(self.estimator)
        if html is not None:
            self.attempt("estimator.html", lambda: self.run.log_text(html, self._file("estimator.html")))
        if self.options.log_datasets and not self.prefix:
            self.attempt("data set", lambda: self._log_dataset(data, data_name))

    def _log_dataset(self, data: Mapping[str, Any], name: str | None) -> None:
        log_dataset = getattr(self.run, "log_dataset", None)
        if log_dataset is None or data.get("X") is None or self._is_logged(data):
            return
        y = data.get("y")
        if getattr(y, "ndim", 1) == 2 and y is not None:  # several outputs are a data set of their own
            log_dataset(data["X"], name=name, context="train")
            log_dataset(y, name=f"{name or 'X'} target", context="train_target")
            return
        log_dataset(data["X"], name=name, context="train", target=y)

    def _is_logged(self, data: Mapping[str, Any]) -> bool:
        from mlops_sdk.integrations.sklearn.contexts import logged_context

        return logged_context(self.run, data["X"], data.get("y")) is not None

    # -- after -----------------------------------------------------------------------------------------------------------

    def finish(self, data: Mapping[str, Any], fit_s: float, warned: list[Warned]) -> None:
        """Write what a fit left behind."""
        self.attempt("fit time", lambda: self.log_metrics({"fit_time_s": fit_s}))
        self.attempt("warnings", lambda: self.write_warnings(warned))
        for part in ("X", "y"):
            self.attempt("training data", lambda part=part: self.known.remember(data.get(part), "train"))  # type: ignore[misc]
        with suppress(TypeError):  # what cannot be referred to weakly is not compared with later data
            self._train = weakref.ref(data.get("X"))
        with self.apart():
            copied = _shallow(self.estimator)
            if not self.prefix:
                self.attempt("training metrics", lambda: self._write_training(copied, data, fit_s))
                self.attempt("curves", lambda: self._write_curves(copied))
            if self.options.log_models:
                self.attempt("model", lambda: self._write_model(copied, data))

    def training_data(self) -> Any:
        """What the model was fitted on, while the user keeps it; else None."""
        return None if self._train is None else self._train()

    def write_warnings(self, warned: list[Warned]) -> None:
        """Warnings as the run's warnings by class, and each with its text in a file."""
        if not warned:
            return
        counts = Counter(each.category for each in warned)
        first = {each.category: each.message for each in reversed(warned)}
        for category, count in counts.items():
            self.run._record_trouble(category, count, first[category])
        rows = [{"category": c, "message": m, "count": n} for (c, m), n in Counter(warned).items()]
        self.run.log_dict(rows, self._file("warnings.json"))

    def _write_training(self, estimator: Any, data: Mapping[str, Any], fit_s: float) -> None:
        wanted, X = self.options.training_metrics, data.get("X")
        if wanted is False or X is None:
            return
        if wanted == "auto" and scores.would_take_long(estimator, X, fit_s):
            self.run._record_trouble(
                "TrainingMetricsSkipped",
                1,
                "predicting the training data would take longer than the fit: training_metrics=True",
            )
            return
        y, weight = data.get("y"), data.get("sample_weight")
        self.log_metrics(scores.scores_of(estimator, X, y, weight, data.get("groups")), context="train")
        self.write_stages(estimator, X, y, "train", weight)
        if self.options.figures:
            self.write_figures(estimator, X, y, "train")
        if self.options.learning_curve and y is not None:
            self._write_learning_curve(estimator, X, y)

    def write_figures(self, estimator: Any, X: Any, y: Any, context: str) -> None:
        """Figures that fit the task, as ``figures/<context>_<name>.png``."""
        from mlops_sdk.integrations.sklearn.figures import figures_of

        for name, figure in figures_of(estimator, X, y):
            self.run.log_figure(figure, f"figures/{context}_{name}.png")

    def write_judgement(self, estimator: Any, X: Any, y: Any, context: str, sample_weight: Any = None) -> None:
        """What is drawn of data that the model was not fitted on."""
        self.attempt("stages", lambda: self.write_stages(estimator, X, y, context, sample_weight))
        if self.options.figures:
            self.attempt("figures", lambda: self.write_figures(estimator, X, y, context))
        self.attempt("importance", lambda: self.write_importance(estimator, X, y, context))

    def write_importance(self, estimator: Any, X: Any, y: Any, context: str) -> None:
        """Permutation importance on this data, as a table and a figure."""
        from mlops_sdk.integrations.sklearn import importances

        if self.options.importance and y is not None and hasattr(X, "shape") and hasattr(estimator, "predict"):
            table = importances.permutation_table(estimator, X, y)
            self.run.log_dict(table, f"{context}_permutation_importance.json")
            self.run.log_figure(importances.permutation_figure(table), f"figures/{context}_permutation_importance.png")

    def _write_learning_curve(self, estimator: Any, X: Any, y: Any) -> None:
        from mlops_sdk.integrations.sklearn import importances

        table = importances.learning_table(estimator, X, y)
        self.run.log_dict(table, "learning_curve.json")
        self.run.log_figure(importances.learning_figure(table), "figures/learning_curve.png")

    def write_stages(self, estimator: Any, X: Any, y: Any, context: str, sample_weight: Any = None) -> None:
        """How good each stage of boosting is on this data: ``<context>_staged_<metric>``, a point a stage."""
        for name, values in curves.stages_of(estimator, X, y, sample_weight):
            key = f"{context}_staged_{name}"
            if not self.run._is_over:
                self.run.define_metric(key, mode=scores.mode_of(name))
                for step, value in enumerate(values):
                    self.run.log_metric(key, value, step)

    def _write_curves(self, estimator: Any) -> None:
        for name, values in curves.curves_of(describing.final_of(estimator)):
            for step, value in enumerate(values):
                self.run.log_metric(name, value, step)

    def _write_model(self, estimator: Any, data: Mapping[str, Any]) -> None:
        model = vars(estimator).get("best_estimator_", estimator) if hasattr(estimator, "__dict__") else estimator
        X = data.get("X")
        example = scores.rows(X, _EXAMPLE_ROWS) if X is not None and hasattr(X, "shape") else None
        name = self._file("model") if self.prefix else "model"
        self.run.log_model(model, name, input_example=example)
        shape: tuple[int, ...] = getattr(example, "shape", None) or ()
        if len(shape) == 2 and shape[1] <= _MAX_EXAMPLE_COLUMNS and not hasattr(example, "tocsr"):
            self.run.log_table(example, f"{name}/input_example.json")

    def failed(self, error: BaseException, warned: list[Warned]) -> None:
        """The fit raised."""
        self.attempt("warnings", lambda: self.write_warnings(warned))
        self.attempt("failure", lambda: self.run._record_trouble("FitFailed", 1, words_of(error)))
        if self.is_ours:
            from mlops_sdk.run import endings

            self.attempt("ending", lambda: self.run._finish(endings.of_exception(error)))


def _mode(key: str) -> Literal["max", "min"] | None:
    if key.endswith(("_s", "_std", "n_clusters", "_fraction", "n_candidates")):
        return "min" if key.endswith("_s") else None
    return scores.mode_of(key.partition("_")[2] or key)


def _shallow(estimator: Any) -> Any:
    """A copy whose attributes are its own: what predicting sets does not stay on the user's estimator."""
    try:
        return copy.copy(estimator)
    except Exception:  # noqa: BLE001 - one that cannot be copied is used as it is
        return estimator
