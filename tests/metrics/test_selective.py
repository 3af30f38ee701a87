"""Risk-coverage curves against every order of tied points."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_makers import seeds

from bnnbench.metrics.selective import risk_coverage


@given(st.integers(1, 5), seeds)
def test_ties_are_averaged_over_all_orders(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, losses = rng.integers(0, 3, n) * 1.5, rng.normal(size=n)
    curves = []
    for order in permutations(range(n)):
        chosen = list(order)
        if (np.diff(scores[chosen]) <= 0).all():
            curves.append(np.cumsum(losses[chosen]) / np.arange(1, n + 1))
    curve = risk_coverage(torch.from_numpy(scores), torch.from_numpy(losses))
    assert curve.risk.numpy() == pytest.approx(np.mean(curves, axis=0), abs=1e-12)
    assert curve.coverage.numpy() == pytest.approx(np.arange(1, n + 1) / n)
    assert curve.area == pytest.approx(np.mean(curves), abs=1e-12)


@given(st.integers(1, 60), seeds, st.sampled_from([torch.float32, torch.float64]))
def test_order_of_points_does_not_matter(n: int, seed: int, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(seed)
    scores, wrong = torch.from_numpy(rng.integers(0, 4, n)).to(dtype), torch.from_numpy(rng.random(n) < 0.3)
    order = torch.from_numpy(rng.permutation(n))
    first, second = risk_coverage(scores, wrong), risk_coverage(scores[order], wrong[order])
    assert first.risk.numpy() == pytest.approx(second.risk.numpy(), abs=1e-12)
    assert first.risk[-1].item() == pytest.approx(wrong.double().mean().item())


def test_known_curves() -> None:
    wrong = torch.tensor([0.0, 0.0, 1.0, 1.0])
    best, worst = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert risk_coverage(best, wrong).risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert risk_coverage(best, wrong).area == pytest.approx(5 / 24)
    assert risk_coverage(worst, wrong).area == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    assert risk_coverage(torch.ones(4), wrong).risk.tolist() == pytest.approx([0.5] * 4)


def test_arguments_are_named() -> None:
    good = torch.ones(3)
    for bad in (good * torch.nan, good * torch.inf, good[:0], torch.ones(3, 1)):
        with pytest.raises(ValueError, match=r"^scores: "):
            risk_coverage(bad, good)
        with pytest.raises(ValueError, match=r"^losses: "):
            risk_coverage(good, bad)
    with pytest.raises(ValueError, match=r"^losses: "):
        risk_coverage(good, good[:2])
