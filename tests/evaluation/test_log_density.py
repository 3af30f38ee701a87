"""The negative log density of predictions, the one form of NLL here, against scikit-learn and scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.metrics import log_loss

from bnnbench.bayes.posterior import ClassPredictive, RealPredictive
from bnnbench.evaluation.scores import nll

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([(torch.float32, 1e-5), (torch.float64, 1e-12)])


@given(st.integers(1, 5), st.integers(1, 40), st.integers(2, 8), seeds, dtypes)
def test_classes_against_scikit_learn(
    s: int, n: int, n_classes: int, seed: int, precision: tuple[torch.dtype, float]
) -> None:
    """The probabilities of draws are averaged before the logarithm is taken."""
    dtype, tolerance = precision
    rng = np.random.default_rng(seed)
    logits, labels = torch.from_numpy(rng.normal(0, 3, (s, n, n_classes))).to(dtype), rng.integers(0, n_classes, n)
    mean = logits.double().softmax(-1).mean(0).numpy()
    expected = log_loss(labels, mean, labels=range(n_classes))
    # Where p is nearly 1, log p is a difference from 1 and has the rounding of numbers near 1.
    rounding = tolerance / 10
    assert nll(ClassPredictive(logits), torch.from_numpy(labels)) == pytest.approx(
        expected, rel=tolerance, abs=rounding
    )


@given(st.integers(1, 6), st.integers(1, 20), seeds, dtypes)
def test_reals_against_scipy(s: int, n: int, seed: int, precision: tuple[torch.dtype, float]) -> None:
    """The density is that of the equal mixture over draws, also where all draws share one noise."""
    dtype, tolerance = precision
    rng = np.random.default_rng(seed)
    made = rng.normal(0, 2, (s, n)), rng.uniform(0.1, 2, (s, n)), rng.normal(0, 3, n)
    mean, noise, y = (torch.from_numpy(part).to(dtype) for part in made)
    for spread in (noise, noise[:1, :1].expand(s, n)):
        densities = norm(mean.double(), spread.double()).logpdf(y.double())
        expected = (np.log(s) - logsumexp(densities, axis=0)).mean()
        assert nll(RealPredictive(mean, spread), y) == pytest.approx(expected, rel=10 * tolerance, abs=10 * tolerance)


def test_certainty_costs_nothing_where_it_is_right() -> None:
    certain = ClassPredictive(torch.eye(3).log()[None])  # logarithms of the probabilities 0 and 1
    assert nll(certain, torch.tensor([0, 1, 2])) == 0.0
    assert nll(certain, torch.tensor([0, 1, 0])) == np.inf
    assert nll(ClassPredictive(torch.ones(1, 4, 1)), torch.zeros(4, dtype=torch.int64)) == 0.0


def test_a_point_far_from_all_draws_has_a_finite_density() -> None:
    far = nll(RealPredictive(torch.zeros(3, 1), torch.full((3, 1), 1e-3)), torch.tensor([100.0]))
    assert far == pytest.approx(-norm(0, 1e-3).logpdf(100), rel=1e-6)
