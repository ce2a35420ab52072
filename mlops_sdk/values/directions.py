"""Whether more or less of a metric is better, as far as its name says so.

What `Run.define_metric` said comes first; this table is for the names whose meaning nobody disputes. A name that is not in
it has no known direction: that is said to the user, never guessed.

References
----------
.. [1] scikit-learn, "The scoring parameter": every scorer follows "higher is better", errors are negated (``neg_*``).
       https://scikit-learn.org/stable/modules/model_evaluation.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["max", "min"]

_MAX = """
    accuracy acc balanced_accuracy bal_acc top_k_accuracy top1 top5 score auc auroc roc_auc auc_roc rocauc aucpr auprc pr_auc prauc
    average_precision ap map f1 f2 fbeta f_score f_measure fscore precision recall sensitivity specificity ppv npv tpr tnr
    true_positive_rate true_negative_rate jaccard iou miou dice dice_score dice_coefficient mcc matthews_corrcoef matthews_correlation
    kappa cohen_kappa cohens_kappa quadratic_weighted_kappa qwk
    r2 r_2 r_squared adjusted_r2 explained_variance d2_absolute_error d2_pinball d2_tweedie d2_brier d2_log_loss
    positive_likelihood_ratio
    adjusted_mutual_info adjusted_rand completeness fowlkes_mallows homogeneity mutual_info normalized_mutual_info rand
    v_measure ari ami nmi silhouette calinski_harabasz
    likelihood log_likelihood loglikelihood loglik elbo log_marginal_likelihood
    ndcg dcg mrr mean_reciprocal_rank hit_rate hits hit concordance_index c_index
    pearson pearsonr spearman spearmanr kendalltau kendall_tau
    bleu sacrebleu rouge rouge1 rouge2 rougel rougelsum meteor chrf bertscore exact_match em cider rouge_l
    psnr ssim ms_ssim inception_score
    reward return episode_reward episode_return cumulative_reward success_rate win_rate sharpe sharpe_ratio
    throughput samples_per_second steps_per_second tokens_per_second samples_per_sec tokens_per_sec examples_per_second images_per_second it_per_s it_per_second
"""
_MIN = """
    loss error err cost objective_loss nll negative_log_likelihood cross_entropy crossentropy log_loss logloss mlogloss bce
    binary_logloss multi_logloss binary_error multi_error merror ce_loss
    mae mse rmse mape smape wape msle rmsle mase medae crps l1 l2
    mean_absolute_error mean_squared_error root_mean_squared_error mean_absolute_percentage_error
    mean_squared_log_error root_mean_squared_log_error median_absolute_error squared_error absolute_error
    deviance gamma_deviance poisson_deviance tweedie_deviance pinball_loss
    brier brier_score brier_score_loss ece mce calibration_error hinge_loss hamming_loss zero_one_loss hausdorff
    negative_likelihood_ratio fpr fnr fdr eer equal_error_rate false_positive_rate false_negative_rate error_rate misclassification_rate
    davies_bouldin davies_bouldin_index inertia aic bic
    perplexity ppl bits_per_dim bpd bits_per_character bpc bits_per_byte bpb
    wer cer ter word_error_rate character_error_rate edit_distance
    fid kid lpips regret
    latency latency_ms latency_s runtime time_s fit_time score_time inference_time inference_time_s
"""
# Words that say on which data, or how it was averaged, and leave the direction as it is.
_QUALIFIERS = """
    train training trn val valid validation test testing dev eval evaluation holdout heldout oof cv fold split
    mean avg average median best final last total overall running ema smoothed max min batch epoch step at
    macro micro weighted samples binary ovr ovo
"""
# Spread, change and number of a metric are other quantities than the metric.
_OTHER_QUANTITIES = """
    std stdev stddev var variance sem se ci lower upper delta diff change gap ratio rank count n num weight scale
    threshold target gradient grad norm system
"""
_LAST_WORDS: dict[str, Direction] = {
    **dict.fromkeys(("loss", "error", "err", "perplexity", "deviance"), "min"),
    **dict.fromkeys(("accuracy", "acc", "auc", "auroc", "f1", "iou", "dice", "reward"), "max"),
}
_DROPPED = frozenset({"", "score", *_QUALIFIERS.split()})
_OTHERS = frozenset(_OTHER_QUANTITIES.split())
_CAMEL_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")
_PLAIN_WORD = re.compile(r"[a-z0-9]+")
_LONGEST = 250


@lru_cache(maxsize=4096)
def known_direction(key: str) -> Direction | None:
    """Which way a metric of that name gets better.

    Parameters
    ----------
    key : str
        As it was logged: ``"val/acc"``, ``"train_loss"``, ``"neg_mean_squared_error"``, ``"ndcg@10"``.

    Returns
    -------
    "max", "min" or None
        None where the name does not say it.

    Examples
    --------
    >>> known_direction("val/acc"), known_direction("neg_log_loss"), known_direction("grad_norm")
    ('max', 'max', None)
    """
    if len(key) > _LONGEST:
        return None
    plain = tuple(_PLAIN_WORD.findall(key.lower()))
    camel = tuple(word.lower() for word in _CAMEL_WORD.findall(key))
    return _of_words(plain) or _of_words(camel)  # `mAP` is one word, `valLoss` is two


def agreed_direction(said: Iterable[str | None], key: str) -> Direction | None:
    """The direction that runs said with `define_metric`, where they agree; what the name says where none did.

    Parameters
    ----------
    said : iterable of str or None
        One a run; None where a run said nothing.
    key : str
        Name of the metric.

    Examples
    --------
    >>> agreed_direction([None, "min"], "score"), agreed_direction([], "loss"), agreed_direction(["max", "min"], "loss")
    ('min', 'min', None)
    """
    modes = {mode for mode in said if mode is not None}
    if not modes:
        return known_direction(key)
    return None if len(modes) > 1 else "max" if "max" in modes else "min"


def _of_words(words: tuple[str, ...]) -> Direction | None:
    found = _exact(words)
    if found is None and "neg" in words:
        return _opposite(_of_words(_without_first(words, "neg")))
    return found or _direction_of(words)


def _exact(words: tuple[str, ...]) -> Direction | None:
    """The direction of a name that stands in the table as it is."""
    return _TABLE.get("_".join(words))


def _direction_of(words: tuple[str, ...]) -> Direction | None:
    """The direction of the words that are left without qualifiers, numbers and ``score``."""
    kept = _core(words)
    if not kept:
        return "max" if "score" in words else None
    found = _exact(kept) or _exact((*kept[:-1], kept[-1].rstrip("0123456789")))
    if found is None and not _OTHERS.intersection(words):
        found = _LAST_WORDS.get(kept[-1])
    return found


def _core(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word.rstrip("0123456789") not in _DROPPED)


def _without_first(words: tuple[str, ...], word: str) -> tuple[str, ...]:
    position = words.index(word)
    return words[:position] + words[position + 1 :]


def _opposite(direction: Direction | None) -> Direction | None:
    return None if direction is None else "min" if direction == "max" else "max"


def _table() -> dict[str, Direction]:
    """Every name of the two lists, as it stands there and without its qualifiers."""
    table: dict[str, Direction] = {}
    lists: tuple[tuple[str, Direction], ...] = ((_MAX, "max"), (_MIN, "min"))
    for names, direction in lists:
        for name in names.split():
            table[name] = direction
            table.setdefault("_".join(_core(tuple(name.split("_")))), direction)
    del table[""]  # `score` is nothing but a qualifier
    return table


_TABLE = _table()
