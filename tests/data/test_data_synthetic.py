"""Data that are made: their noise and correlations are as stated, and a seed gives the same rows."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import make_friedman1

from bnnbench.data import synthetic


@pytest.mark.parametrize("correlated", [False, True])
def test_friedmans_function_has_five_active_inputs_and_unit_noise(correlated: bool) -> None:
    found = synthetic.friedman(4000, 3, correlated)
    assert found.x.min() >= 0
    assert found.x.max() <= 1
    assert (found.y - found.clean).std() == pytest.approx(1.0, abs=0.04)
    assert found.clean.var() == pytest.approx(15.1 if correlated else 23.9, rel=0.08)
    again = synthetic.friedman(4000, 3, correlated)
    assert np.array_equal(found.y, again.y)
    assert not np.array_equal(found.x, synthetic.friedman(4000, 4, correlated).x)


def test_friedmans_function_is_scikit_learns() -> None:
    """Without noise, at inputs of its stream."""
    x, y = make_friedman1(50, random_state=7)
    ours = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    assert np.allclose(ours, y)
    assert np.allclose(synthetic.friedman(50, 7).x, x)
    assert np.allclose(synthetic.friedman(50, 7).clean, y)


def test_correlated_inputs_are_uniform_with_strong_pairs() -> None:
    matrix = synthetic.copula_correlation()
    assert np.allclose(np.diag(matrix), 1)
    assert np.linalg.eigvalsh(matrix).min() > 0
    x = synthetic.correlated_uniforms()
    assert np.abs(np.quantile(x, [0.1, 0.5, 0.9], axis=0).T - [0.1, 0.5, 0.9]).max() < 0.02
    ranks: Any = spearmanr(x).statistic
    assert ranks[3, 4] == pytest.approx(-0.79, abs=0.03)
    assert ranks[0, 2] == pytest.approx(0.80, abs=0.03)
    assert ranks[1, 6] == pytest.approx(-0.61, abs=0.03)


def test_inputs_of_the_linear_model_are_autoregressive() -> None:
    found = synthetic.sparse_linear(20_000, 0.5, 1)
    correlation: Any = np.corrcoef(found.x.T)
    assert np.allclose(correlation[0, :4], [1, 0.5, 0.25, 0.125], atol=0.03)
    beta = np.linalg.lstsq(found.x, found.y, rcond=None)[0]
    assert np.allclose(beta, synthetic.COEFFICIENTS, atol=0.04)


def test_a_split_holds_every_row_once() -> None:
    labels = np.arange(100) % 4 // 3
    train, test = synthetic.authors_split(100, 5, labels)
    assert sorted([*train, *test]) == list(range(100))
    assert len(test) == 20
    assert labels[test].mean() == labels.mean()
