"""Which way a metric gets better, by its name."""

from __future__ import annotations

import pytest
from sklearn.metrics import get_scorer_names

from mlops_sdk.values.directions import known_direction


@pytest.mark.parametrize("name", get_scorer_names())
def test_each_scorer_of_sklearn_is_better_when_greater(name: str) -> None:
    assert known_direction(name) == "max"
    assert known_direction(f"mean_test_{name}") == "max"


MORE = (
    "val/acc acc accuracy accuracy_score Accuracy/test f1-score weighted_f1 F1 ROC-AUC auc_roc top5_acc acc1 map@50 mAP50 "
    "mAP_50_95 mIoU mean_iou ndcg@10 recall_at_10 precision@5 Hits@10 R2 psnr rougeL bleu test/avg_reward mean_test_score "
    "split0_test_score log_likelihood eval_samples_per_second "
    "top1 val/top5 em dice_coefficient rouge_l images_per_second"
)
LESS = (
    "loss train_loss Loss/train valLoss val/cls_loss rmse val_rmse MAE MeanSquaredError max_error nll neg_log_likelihood "
    "brier_score fid_score valid_0.binary_logloss word_error_rate perplexity log_loss eval_runtime mean_fit_time error "
    "misclassification_rate davies_bouldin_index inference_time_s"
)
UNKNOWN = (
    "lr learning_rate epoch grad_norm grad_norm/loss loss_scale loss_std std_test_score kl custom foo_score neg_foo "
    "system/cpu system/gpu/0/error n_errors error_count accuracy_gap delta_loss x / _ 17 test"
)


@pytest.mark.parametrize("name", MORE.split())
def test_more_is_better(name: str) -> None:
    assert known_direction(name) == "max"


@pytest.mark.parametrize("name", LESS.split())
def test_less_is_better(name: str) -> None:
    assert known_direction(name) == "min"


@pytest.mark.parametrize("name", [*UNKNOWN.split(), "", "Genauigkeit", "精度", "loss" * 100, "\x1b[31mloss\x00x"])
def test_what_a_name_does_not_say_is_not_guessed(name: str) -> None:
    assert known_direction(name) is None
