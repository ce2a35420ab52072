"""Metrics of rankers: NDCG and mean reciprocal rank, query by query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlops_sdk.integrations.sklearn.describing import final_of

_CUT = 10

Pairs = Iterator[tuple[str, Callable[[], Any]]]


def is_ranker(estimator: Any) -> bool:
    """Whether it learns to rank: by its own word, or by its name (XGBRanker, LGBMRanker, CatBoostRanker)."""
    final = final_of(estimator)
    return getattr(final, "_estimator_type", None) == "ranker" or type(final).__name__.endswith("Ranker")


def groups_of(given: Mapping[str, Any]) -> Any:
    """The query of each row, from what a fit was given: ``qid`` or ``group_id`` a row, or ``group`` sizes."""
    import numpy as np

    for name, value in given.items():
        if value is not None and name.rpartition("__")[2] in ("qid", "group_id", "groups"):
            return np.asarray(value)
    for name, value in given.items():
        if value is not None and name.rpartition("__")[2] == "group":
            sizes = np.asarray(value)
            return np.repeat(np.arange(len(sizes)), sizes)
    return None


def pairs(estimator: Any, X: Any, y: Any, groups: Any) -> Pairs:
    """Metrics of what a ranker predicts; without `groups` all rows are of one query.

    Notes
    -----
    Queries of one row, and such as have no relevant row, have no NDCG: they are left out.
    """
    import numpy as np

    relevance, scores = np.asarray(y, dtype=float).ravel(), np.asarray(estimator.predict(X), dtype=float).ravel()
    queries = np.zeros(len(relevance), dtype=int) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(queries, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(queries[order])) + 1)
    judged = [(relevance[rows], scores[rows]) for rows in parts if len(rows) > 1 and relevance[rows].max() > 0]
    if not judged:
        return
    yield "ndcg", lambda: _mean_ndcg(judged, None)
    yield f"ndcg_at_{_CUT}", lambda: _mean_ndcg(judged, _CUT)
    yield "mean_reciprocal_rank", lambda: np.mean([_reciprocal_rank(*each) for each in judged])


def _mean_ndcg(judged: list[tuple[Any, Any]], k: int | None) -> float:
    import numpy as np
    from sklearn.metrics import ndcg_score

    return float(np.mean([ndcg_score([relevance], [scores], k=k) for relevance, scores in judged]))


def _reciprocal_rank(relevance: Any, scores: Any) -> float:
    """One over the place of the first relevant row; rows of equal score share the later place."""
    best = scores[relevance > 0].max()
    return float(1.0 / (scores >= best).sum())
