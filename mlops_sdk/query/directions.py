"""Whether more or less of a metric is better, as far as its name tells.

What a run said with `define_metric(mode=...)` goes before. Known are scikit-learn's scorers (all of them are "more is
better", for those of errors are negated), and the names that training loops commonly give. A direction that is not known is
not guessed.

References
----------
.. [1] https://scikit-learn.org/stable/modules/model_evaluation.html#string-name-scorers
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Direction = Literal["max", "min"]

SCORERS = frozenset(
    [
        "accuracy",
        "balanced_accuracy",
        "top_k_accuracy",
        "average_precision",
        "f1",
        "f1_micro",
        "f1_macro",
        "f1_weighted",
        "f1_samples",
        "precision",
        "precision_micro",
        "precision_macro",
        "precision_weighted",
        "precision_samples",
        "recall",
        "recall_micro",
        "recall_macro",
        "recall_weighted",
        "recall_samples",
        "jaccard",
        "jaccard_micro",
        "jaccard_macro",
        "jaccard_weighted",
        "jaccard_samples",
        "roc_auc",
        "roc_auc_ovr",
        "roc_auc_ovo",
        "roc_auc_ovr_weighted",
        "roc_auc_ovo_weighted",
        "matthews_corrcoef",
        "positive_likelihood_ratio",
        "r2",
        "explained_variance",
        "d2_absolute_error_score",
        "d2_brier_score",
        "d2_log_loss_score",
        "adjusted_mutual_info_score",
        "adjusted_rand_score",
        "completeness_score",
        "fowlkes_mallows_score",
        "homogeneity_score",
        "mutual_info_score",
        "normalized_mutual_info_score",
        "rand_score",
        "v_measure_score",
    ]
)
"""Scorers of scikit-learn of which more is better; those that begin with ``neg_`` need no list."""

MORE = SCORERS | frozenset(
    [
        "acc",
        "top1",
        "top5",
        "top_1",
        "top_5",
        "top1_accuracy",
        "top5_accuracy",
        "score",
        "f1_score",
        "fbeta_score",
        "precision_score",
        "recall_score",
        "accuracy_score",
        "jaccard_score",
        "r2_score",
        "roc_auc_score",
        "average_precision_score",
        "balanced_accuracy_score",
        "explained_variance_score",
        "silhouette_score",
        "calinski_harabasz_score",
        "auc",
        "auroc",
        "auprc",
        "pr_auc",
        "prauc",
        "map",
        "map50",
        "map50_95",
        "map_50",
        "ap",
        "ap50",
        "ndcg",
        "ndcg_score",
        "mrr",
        "hit_rate",
        "iou",
        "miou",
        "mean_iou",
        "dice",
        "dice_score",
        "dice_coefficient",
        "mcc",
        "kappa",
        "cohen_kappa",
        "cohen_kappa_score",
        "sensitivity",
        "specificity",
        "bleu",
        "sacrebleu",
        "rouge",
        "rouge1",
        "rouge2",
        "rougel",
        "rouge_l",
        "meteor",
        "cider",
        "chrf",
        "bertscore",
        "exact_match",
        "em",
        "pass_at_1",
        "psnr",
        "ssim",
        "inception_score",
        "reward",
        "mean_reward",
        "episode_reward",
        "episode_return",
        "mean_return",
        "return",
        "win_rate",
        "success_rate",
        "throughput",
        "samples_per_second",
        "samples_per_sec",
        "tokens_per_second",
        "tokens_per_sec",
        "examples_per_second",
        "images_per_second",
        "steps_per_second",
        "it_per_second",
        "pearson",
        "pearsonr",
        "spearman",
        "spearmanr",
        "kendall_tau",
        "correlation",
        "likelihood",
        "log_likelihood",
        "elbo",
        "test_score",
        "mean_test_score",
    ]
)
LESS = frozenset(
    [
        "loss",
        "nll",
        "nll_loss",
        "bce",
        "bce_loss",
        "ce",
        "ce_loss",
        "cross_entropy",
        "cross_entropy_loss",
        "crossentropy",
        "log_loss",
        "logloss",
        "binary_logloss",
        "multi_logloss",
        "hinge_loss",
        "huber_loss",
        "focal_loss",
        "kl",
        "kl_div",
        "kl_divergence",
        "kl_loss",
        "mlogloss",
        "merror",
        "error",
        "err",
        "error_rate",
        "top1_error",
        "top5_error",
        "misclassification_rate",
        "zero_one_loss",
        "hamming_loss",
        "brier",
        "brier_score",
        "brier_score_loss",
        "ece",
        "expected_calibration_error",
        "mse",
        "rmse",
        "mae",
        "mape",
        "smape",
        "rmsle",
        "msle",
        "medae",
        "max_error",
        "mean_squared_error",
        "root_mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_log_error",
        "root_mean_squared_log_error",
        "median_absolute_error",
        "mean_pinball_loss",
        "mean_poisson_deviance",
        "mean_gamma_deviance",
        "perplexity",
        "ppl",
        "bits_per_byte",
        "bits_per_character",
        "bpb",
        "bpc",
        "wer",
        "cer",
        "ter",
        "fid",
        "kid",
        "lpips",
        "deviance",
        "davies_bouldin_score",
        "davies_bouldin_index",
        "inertia",
        "regret",
        "bic",
        "aic",
        "eer",
        "fpr",
        "fnr",
        "false_positive_rate",
        "false_negative_rate",
        "fit_time",
        "score_time",
        "mean_fit_time",
        "mean_score_time",
        "latency",
        "latency_ms",
        "latency_s",
        "inference_time",
        "inference_time_s",
        "rank_test_score",
    ]
)
_STAGES = frozenset(["train", "training", "val", "valid", "validation", "eval", "evaluation", "test", "dev", "holdout", "oof", "cv", "mean", "avg", "best", "final", "ema", "epoch", "step", "batch", "running"])  # fmt: skip
_WORDS = re.compile(r"[^0-9a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")


def known_direction(key: str) -> Direction | None:
    """What is better of a metric of that name, None where the name does not tell.

    Stages before or behind the name (``val_``, ``test/``, ``_mean``), case and folders do not matter; ``X_loss`` and
    ``X_error`` are less, ``X_accuracy`` is more, ``neg_X`` is more.

    Examples
    --------
    >>> known_direction("val/acc"), known_direction("neg_log_loss"), known_direction("Test_RMSE"), known_direction("lr")
    ('max', 'max', 'min', None)
    """
    if key.startswith("system/"):
        return None
    names = [_core(part) for part in (key, re.split(r"[/.]", key)[-1])]
    for name in names:
        if name.startswith("neg_") or name in MORE:
            return "max"
        if name in LESS:
            return "min"
    return _HEADS.get(names[0].rpartition("_")[2])


_HEADS: dict[str, Direction] = {
    **dict.fromkeys(("accuracy", "acc", "auc", "auroc", "f1"), "max"),
    **dict.fromkeys(("loss", "error", "mse", "rmse", "mae", "perplexity"), "min"),
}
"""Words that keep their meaning behind any other: ``box_loss``, ``digit_accuracy``."""


def _core(name: str) -> str:
    """Words of a name in lower case, without those of stages in front and behind."""
    words = [word for word in _WORDS.split(_CAMEL.sub("_", name).lower()) if word]
    return "_".join(_without_stages(words))


def _without_stages(words: list[str]) -> list[str]:
    """Without the names of stages in front and behind; at least one word is left."""
    start, end = 0, len(words)
    while start < end - 1 and words[start] in _STAGES:
        start += 1
    while end > start + 1 and words[end - 1] in _STAGES:
        end -= 1
    return words[start:end]


def agreed(said: Iterable[str | None], key: str) -> Direction | None:
    """The direction that runs said with `define_metric`, where they agree; what the name tells where none did.

    Parameters
    ----------
    said : iterable of str or None
        One a run; None where a run said nothing.
    key : str
        Name of the metric.

    Examples
    --------
    >>> agreed([None, "min"], "score"), agreed([None], "loss"), agreed(["max", "min"], "loss")
    ('min', 'min', None)
    """
    modes = {mode for mode in said if mode in ("max", "min")}
    if not modes:
        return known_direction(key)
    return ("max" if "max" in modes else "min") if len(modes) == 1 else None
