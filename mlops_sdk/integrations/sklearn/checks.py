"""Methodology: what makes a good score worth nothing. Each check says what it saw, why that matters, and where to read on.

The checks look at data and params only; they raise nothing, change nothing and predict nothing.

References
----------
.. [1] https://scikit-learn.org/stable/common_pitfalls.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_PITFALLS = "https://scikit-learn.org/stable/common_pitfalls.html"
_LINKS = {
    "TestRowsInTraining": f"{_PITFALLS}#data-leakage",
    "TargetAmongFeatures": f"{_PITFALLS}#data-leakage",
    "PreparedBeforeSplit": f"{_PITFALLS}#data-leakage-during-pre-processing",
    "BestParamAtEdge": "https://scikit-learn.org/stable/modules/grid_search.html#tips-for-parameter-search",
    "MisleadingMetric": "https://scikit-learn.org/stable/modules/model_evaluation.html#balanced-accuracy-score",
    "UnseededShuffle": f"{_PITFALLS}#controlling-randomness",
}
_MAX_ROWS = 1_000_000
_MAX_COLUMNS = 2_000
_HEAD = 2_000
_MIN_ROWS = 10
_OVERLAP = 0.05
_MAJORITY = 0.8
_NEAR = 0.02
_BOUNDED = ("l1_ratio", "subsample", "colsample_bytree", "max_features", "max_samples", "momentum", "ccp_alpha")
_LEAST_COUNT = {"min_samples_split": 2}
_STATELESS = (
    "FunctionTransformer", "Normalizer", "Binarizer", "PolynomialFeatures", "HashingVectorizer", "FeatureHasher",
    "LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer", "OrdinalEncoder", "OneHotEncoder", "CountVectorizer",
    "DictVectorizer", "AdditiveChi2Sampler", "SkewedChi2Sampler", "GaussianRandomProjection", "SparseRandomProjection",
)  # fmt: skip
"""They learn nothing of the values' distribution that a score could profit from; encoders only which values there are."""


class Finding(NamedTuple):
    """What a check found.

    Attributes
    ----------
    check : str
        Name of the check, the cause of the warning.
    reason : str
        What was seen and why it matters.
    """

    check: str
    reason: str

    @property
    def text(self) -> str:
        """The reason and the link."""
        return f"{self.reason}. See {_LINKS[self.check]}"


# -- rows ----------------------------------------------------------------------------------------------------------------


def row_hashes(data: Any) -> Any:
    """A 64-bit hash of each row, equal for equal values of any numeric type.

    Returns
    -------
    array of uint64, shape (n_samples,), or None
        None for what is neither an array nor a frame of such a size.
    """
    import numpy as np

    shape: tuple[int, ...] = getattr(data, "shape", ())
    if len(shape) != 2 or not 0 < shape[0] <= _MAX_ROWS or not 0 < shape[1] <= _MAX_COLUMNS or hasattr(data, "tocsr"):
        return None
    values = data.to_numpy() if hasattr(data, "to_numpy") else np.asarray(data)
    if values.dtype.kind not in "biuf":
        return np.array([hash(tuple(row)) & 0xFFFFFFFFFFFFFFFF for row in values.tolist()], dtype=np.uint64)
    bits = np.ascontiguousarray(values.astype(np.float64) + 0.0).view(np.uint64)  # + 0.0: -0.0 is 0.0
    with np.errstate(over="ignore"):
        mixed = (bits ^ (bits >> np.uint64(29))) * _odd_numbers(shape[1])
        return (mixed ^ (mixed >> np.uint64(32))).sum(axis=1, dtype=np.uint64)


def _odd_numbers(n: int) -> Any:
    """Multipliers of the columns: odd, so that no bit is lost, and different."""
    import numpy as np

    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        return (np.arange(1, n + 1, dtype=np.uint64) * golden) | np.uint64(1)


def rows_shared(train: Any, test: Any) -> Iterator[Finding]:
    """Rows of the test data that are training rows too.

    Notes
    -----
    Data that repeats rows by itself (few columns, few values) shares some by chance: only a share that is twice as great
    as the training data's own share of repeated rows, and 5 %, is reported.
    """
    import numpy as np

    trained, tested = row_hashes(train), row_hashes(test)
    if trained is None or tested is None or train.shape[1] != test.shape[1]:
        return
    n_shared = int(np.isin(tested, trained).sum())
    repeated = 1 - len(np.unique(trained)) / len(trained)
    if n_shared / len(tested) >= max(_OVERLAP, 2 * repeated):
        yield Finding(
            "TestRowsInTraining",
            f"{n_shared:,} of {len(tested):,} rows that the model is judged on are rows it was trained on: the score says how "
            "well it remembers, not how well it predicts",
        )


def is_drawn_from(rows: Any, pool: Any, n: int = 50) -> bool:
    """Whether the first rows are all among those of `pool` (hashes)."""
    import numpy as np

    hashes = row_hashes(rows[:n] if not hasattr(rows, "iloc") else rows.iloc[:n])
    return hashes is not None and len(hashes) > 0 and bool(np.isin(hashes, pool).all())


# -- target --------------------------------------------------------------------------------------------------------------


def target_among(X: Any, y: Any, *, is_classification: bool) -> Iterator[Finding]:
    """Features that are the target: equal to it, a straight line of it, or another name for each class."""
    import numpy as np

    shape: tuple[int, ...] = getattr(X, "shape", ())
    if y is None or len(shape) != 2 or shape[0] < _MIN_ROWS or shape[1] > _MAX_COLUMNS or hasattr(X, "tocsr"):
        return
    truth = np.asarray(y)
    if truth.ndim != 1 or len(truth) != shape[0]:
        return
    telling = _names_class if is_classification else _is_line_of
    found = [
        _column_name(X, i)
        for i in range(shape[1])
        if telling(_column(X, i)[:_HEAD], truth[:_HEAD]) and telling(_column(X, i), truth)
    ]
    if found:
        yield Finding(
            "TargetAmongFeatures",
            f"the target can be read off {', '.join(found[:5])}{' and others' if len(found) > 5 else ''}: if that is "
            "not known when the model is used, the score is worth nothing",
        )


def _column(X: Any, i: int) -> Any:
    import numpy as np

    return np.asarray(X.iloc[:, i] if hasattr(X, "iloc") else X[:, i])


def _column_name(X: Any, i: int) -> str:
    columns = getattr(X, "columns", None)
    return f"column {i}" if columns is None else f"column {str(columns[i])!r}"


def _is_line_of(column: Any, target: Any) -> bool:
    import numpy as np

    if column.dtype.kind not in "iuf" or target.dtype.kind not in "iuf":
        return False
    a, b = column.astype(float) - column.mean(), target.astype(float) - target.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return bool(size > 0 and abs(a @ b) / size > 1 - 1e-12)


def _names_class(column: Any, target: Any) -> bool:
    """Whether each class has one value, and each value one class."""
    import numpy as np

    if column.dtype.kind not in "biufUO" or (column.dtype.kind == "f" and not np.isfinite(column).all()):
        return False
    try:
        values = np.unique(column)
        classes = np.unique(target)
        if not 1 < len(classes) == len(values) or len(values) > len(column) // 3:
            return False
        pairs = {(a, b) for a, b in zip(column.tolist(), target.tolist(), strict=True)}
    except TypeError:  # values that cannot be ordered
        return False
    return len(pairs) == len(values)


# -- preparation ---------------------------------------------------------------------------------------------------------


def learns_values(transformer: Any) -> bool:
    """Whether fitting it on test rows lets their values into the training."""
    return type(transformer).__name__ not in _STATELESS


def prepared_before(transformer: str, how: str) -> Finding:
    """A transformer was fitted on what became test rows."""
    return Finding(
        "PreparedBeforeSplit",
        f"{transformer} was fitted on rows that {how}: it knows the test data. Put it in a pipeline with the model, so "
        "that it is fitted on the training rows alone",
    )


# -- params --------------------------------------------------------------------------------------------------------------


def best_at_edge(grid: Any, best: Mapping[str, Any]) -> Iterator[Finding]:
    """Params of a grid whose best value is the least or the greatest that was tried."""
    for part in grid if isinstance(grid, (list, tuple)) else [grid]:
        if not isinstance(part, Mapping) or not all(name in part for name in best):
            continue
        for name, value in best.items():
            tried = sorted({each for each in part[name] if _is_number(each)})
            if len(tried) < 3 or not _is_number(value) or value not in (tried[0], tried[-1]):
                continue
            if name.rpartition("__")[2] in _BOUNDED and value in (0, 1):
                continue
            if value == tried[0] and isinstance(value, int) and value <= _LEAST_COUNT.get(name.rpartition("__")[2], 1):
                continue  # a count: nothing lies below
            side = "least" if value == tried[0] else "greatest"
            yield Finding(
                "BestParamAtEdge",
                f"the best {name} is {value:g}, the {side} of {len(tried)} values that were tried: a better one may lie beyond",
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def misleading(metric: str, value: float | None, y: Any) -> Iterator[Finding]:
    """Accuracy where one class is most of the data."""
    import numpy as np

    if metric != "accuracy" or y is None or getattr(y, "ndim", 1) != 1 or len(y) < _MIN_ROWS:
        return
    classes, counts = np.unique(np.asarray(y), return_counts=True)
    share = counts.max() / counts.sum()
    if len(classes) < 2 or share < _MAJORITY:
        return
    always = f"always answering {classes[counts.argmax()]!s} is right in {share:.1%}"
    seen = "accuracy is the score" if value is None else f"accuracy is {value:.1%}"
    yield Finding(
        "MisleadingMetric",
        f"{seen}, and {always}: look at balanced accuracy, average precision or the recall of the rare class too",
    )


def unseeded(splitter: Any, name: str = "") -> Iterator[Finding]:
    """A splitter that shuffles, each time differently."""
    if isinstance(splitter, (int, str, list, tuple)) or splitter is None:
        return
    kind = type(splitter).__name__
    shuffles = bool(getattr(splitter, "shuffle", False)) or "Shuffle" in kind or kind.startswith("Repeated")
    if shuffles and getattr(splitter, "random_state", None) is None and hasattr(splitter, "random_state"):
        yield unseeded_call(name or kind)


def unseeded_call(what: str) -> Finding:
    """Something shuffles without `random_state`."""
    return Finding(
        "UnseededShuffle",
        f"{what} shuffles without random_state: the next run has other folds, and its score cannot be compared with this one",
    )
