"""The methods of a run that stand on other frameworks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from mlops_sdk.run.integrations import load

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run


class Integrated:
    """What `Run` offers around other people's code; mixed into it."""

    def fit(self, estimator: Any, X: Any, y: Any = None, *, validation: Any = None, **fit_params: Any) -> Any:
        """Fit an estimator and record all of it.

        Parameters
        ----------
        estimator : estimator
            With scikit-learn's `fit`; a search is recorded with all its candidates and folds.
        X : array or frame of shape (n_samples, n_features)
        y : array of shape (n_samples,) or (n_samples, n_outputs), optional
        validation : tuple (X, y) or mapping of str to such tuples, optional
            Scored after the fit; the metrics begin with ``val_``, or with the name in the mapping.
        **fit_params
            Handed to `estimator.fit`.

        Returns
        -------
        estimator
            What `estimator.fit` returned.

        Raises
        ------
        MissingDependencyError
            If scikit-learn is not installed.
        Exception
            What `estimator.fit` raises, nothing else.
        """
        return load("fit")(self, estimator, X, y, validation, fit_params)

    def sklearn(self, **options: Any) -> AbstractContextManager[Run]:
        """Record what scikit-learn does in a ``with`` block, which stays as it is.

        Parameters
        ----------
        **options
            As of `mlops_sdk.autolog`: ``log_models``, ``log_datasets``, ``training_metrics``, ``children``, ``figures``,
            ``importance``, ``learning_curve``, ``checks``, ``progress``, ``exclude``, ``include``.

        Returns
        -------
        context manager
            Gives the run. At its end everything is as it was before.

        Raises
        ------
        MissingDependencyError
            If scikit-learn is not installed.
        InvalidValueError
            If an option is unknown.

        Notes
        -----
        The outermost call counts: what a pipeline, a search or a library fits inside is not recorded by itself. The first
        fit goes to the run, each later one to a child (``fit-2``, ...). Only this context (thread, task) is watched.
        """
        return load("sklearn")(self, **options)  # type: ignore[no-any-return]

    def map(
        self,
        function: Callable[..., Any],
        grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
        *,
        n_jobs: int | None = None,
        **options: Any,
    ) -> Iterator[Any]:
        """Call a function for every point of a grid, each in a child run, on any joblib backend.

        Parameters
        ----------
        function : callable
            Called as ``function(**point)``; if it has a parameter ``run``, that is the trial's run, which is the active
            one besides. Numbers that it returns (one, or a mapping) become metrics of the trial.
        grid : mapping of str to iterable, or iterable of mappings
            All combinations of the values, or the points themselves.
        n_jobs : int, optional
            As of `joblib.Parallel`; the backend is chosen by `joblib.parallel_config`.
        **options
            ``name`` (of the sweep, when one run has several), ``backend``, ``retries`` (how often a trial whose worker died
            is tried again; 1).

        Yields
        ------
        Trial
            ``point``, ``value``, ``status``, ``error``, ``run_id``, ``is_resumed``; in the order they end.

        Notes
        -----
        A trial that raises is FAILED and does not stop the sweep. Trials that had finished are not run again when the
        sweep is started again in the same run (``start_run(run_id=..., resume="allow")``): their value comes from the
        store, as JSON.
        """
        return load("map")(self, function, grid, n_jobs=n_jobs, **options)  # type: ignore[no-any-return]
