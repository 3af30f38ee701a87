"""Detection metrics against scikit-learn and numpy, ties included."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_makers import seeds, tied
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from bnnbench.metrics.ood import aupr_in, aupr_out, auroc, fpr_at_tpr

METRICS = (auroc, aupr_in, aupr_out, fpr_at_tpr)
sizes = st.integers(1, 50)


@given(sizes, sizes, seeds, st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_against_scikit_learn(n: int, m: int, seed: int, ties: bool, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(seed)
    inside = tied(n, seed) if ties else torch.from_numpy(rng.normal(1, 50, n))
    outside = tied(m, seed + 1) if ties else torch.from_numpy(rng.normal(0, 50, m))
    inside, outside = inside.to(dtype), outside.to(dtype)
    truth, scores = np.r_[np.ones(n), np.zeros(m)], np.r_[inside.numpy(), outside.numpy()]
    assert auroc(inside, outside) == pytest.approx(roc_auc_score(truth, scores))
    assert aupr_in(inside, outside) == pytest.approx(average_precision_score(truth, scores))
    assert aupr_out(inside, outside) == pytest.approx(average_precision_score(1 - truth, -scores))
    threshold = np.percentile(inside.double().numpy(), 5)
    assert fpr_at_tpr(inside, outside) == pytest.approx(np.mean(outside.double().numpy() >= threshold))


@given(sizes, sizes, seeds)
def test_auroc_is_the_share_of_ordered_pairs(n: int, m: int, seed: int) -> None:
    inside, outside = tied(n, seed), tied(m, seed + 1)
    pairs = inside[:, None] - outside[None, :]
    expected = ((pairs > 0).double() + 0.5 * (pairs == 0)).mean().item()
    assert auroc(inside, outside) == pytest.approx(expected)
    assert auroc(inside, outside) + auroc(outside, inside) == pytest.approx(1.0)


@pytest.mark.parametrize("n", range(1, 400, 20))
def test_a_threshold_that_is_a_score_lets_that_score_pass(n: int) -> None:
    scores = torch.arange(n, dtype=torch.float64)  # 5 % of n - 1 is whole
    expected = sum(score >= (n - 1) // 20 for score in range(n)) / n
    assert fpr_at_tpr(scores, scores) == pytest.approx(expected)


def test_a_threshold_between_scores_may_equal_one_outside() -> None:
    inside = torch.tensor([0.0, 187.5, 200.0, 200.0, 200.0], dtype=torch.float64)  # 0.2 of the way from 0 to 187.5
    assert fpr_at_tpr(inside, torch.tensor([37.5])) == 1.0


def test_large_scores_and_close_ones_stay_apart() -> None:
    assert auroc(torch.tensor([-100.0]), torch.tensor([-200.0])) == 1.0
    assert auroc(torch.tensor([0.5 + 1e-15], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)) == 1.0


def test_scores_that_do_not_tell() -> None:
    same = torch.ones(7)
    assert auroc(same, same[:3]) == 0.5
    assert aupr_in(same, same[:3]) == pytest.approx(0.7)
    assert aupr_out(same, same[:3]) == pytest.approx(0.3)
    assert fpr_at_tpr(same, same) == 1.0


def test_perfect_and_reversed_scores() -> None:
    high, low = torch.arange(10.0) + 100, torch.arange(10.0)
    assert [metric(high, low) for metric in METRICS] == [1.0, 1.0, 1.0, 0.0]
    assert auroc(low, high) == 0.0
    assert fpr_at_tpr(low, high) == 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_arguments_are_named(metric: Callable[[Tensor, Tensor], float]) -> None:
    good = torch.ones(3)
    for bad in (good * torch.nan, good * torch.inf, good[:0], torch.ones(3, 2)):
        with pytest.raises(ValueError, match=r"^scores_in: "):
            metric(bad, good)
        with pytest.raises(ValueError, match=r"^scores_out: "):
            metric(good, bad)


def test_the_rate_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"^tpr: "):
        fpr_at_tpr(torch.ones(3), torch.ones(3), 95)
