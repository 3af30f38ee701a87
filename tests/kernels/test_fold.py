"""BatchNorm and sign folded into integer thresholds: equal to float64 for every product that can occur."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.kernels import fold


@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 2 / 255]), st.booleans())
def test_the_threshold_decides_as_float64_batch_norm(k: int, seed: int, scale: float, classes: bool) -> None:
    rng = np.random.default_rng(seed)
    n, eps = 40, 1e-4
    gamma = rng.standard_normal(n)
    gamma[:4] = [0.0, -0.0, 1e-30, -1e-30]
    beta, var = rng.standard_normal(n), rng.uniform(0, 3, n)
    # means on the lattice of products make ties, where rounding decides
    mean = np.where(rng.random(n) < 0.5, rng.integers(-k, k + 1, n), rng.normal(0, k, n))
    beta[rng.random(n) < 0.3] = 0.0
    shift = rng.integers(-3, 4, (3, n)).astype(float) if classes else rng.integers(-3, 4, n).astype(float)
    found = fold(gamma, beta, mean, var, eps, scale=scale, shift=shift)
    for y in range(-k, k + 1):
        z = gamma * (scale * y + shift - mean) / np.sqrt(var + eps) + beta
        assert np.array_equal((y >= found.at_least) ^ found.flip, z >= 0), y


def test_folding_takes_torch_modules() -> None:
    import torch

    norm = torch.nn.BatchNorm1d(5, eps=1e-4)
    norm.weight.data.normal_()
    norm.running_mean.normal_(0, 5)  # type: ignore[union-attr]
    norm.eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    found = fold(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps)
    y = torch.arange(-30, 31)[:, None].expand(-1, 5)
    expected = norm.double()(y.double()) >= 0
    assert np.array_equal((y.numpy() >= found.at_least) ^ found.flip, expected.numpy())


def test_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="scale is -1"):
        fold(1.0, 0.0, 0.0, 1.0, 0.0, scale=-1.0)


@pytest.mark.parametrize("name", ["gamma", "beta", "mean", "var", "shift"])
@pytest.mark.parametrize("value", [np.nan, np.inf, None, "1.0", 1j, [[1], [2, 3]]])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    given: dict[str, Any] = {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "var": 1.0, "shift": 0.0, name: value}
    with pytest.raises(ValueError, match=f"fold: {name} "):
        fold(given["gamma"], given["beta"], given["mean"], given["var"], 1e-5, shift=given["shift"])


def test_a_variance_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"var \+ eps must be positive"):
        fold(1.0, 0.0, 0.0, -1.0, 1e-5)


@pytest.mark.parametrize("name", ["eps", "scale"])
@pytest.mark.parametrize("value", [np.nan, None, "1", np.ones(2)])
def test_eps_and_scale_are_single_numbers(name: str, value: Any) -> None:
    given: dict[str, Any] = {"eps": 1e-5, "scale": 1.0, name: value}
    with pytest.raises(ValueError, match=f"fold: {name} "):
        fold(1.0, 0.0, 0.0, 1.0, **given)


@given(st.permutations(["gamma", "beta", "mean", "var"]), st.sampled_from([(3,), (1,), (5, 1), (2, 5), (0,)]))
def test_shapes_that_differ_are_named(names: list[str], other: tuple[int, ...]) -> None:
    given: dict[str, Any] = {name: np.ones(5) for name in names[:2]} | {names[2]: 1.0, names[3]: np.ones(other)}
    with pytest.raises(ValueError, match=r"^fold: .*must be \[n\] alike, or single numbers$") as raised:
        fold(given["gamma"], given["beta"], given["mean"], given["var"], 1e-5)
    for name in (*names[:2], names[3]):
        assert f"{name} {given[name].shape}" in str(raised.value)


@pytest.mark.parametrize("shift", [np.ones(3), np.ones((2, 3)), np.ones((1, 1, 5)), np.ones((5, 1))])
def test_a_shift_of_another_shape_is_named(shift: Any) -> None:
    with pytest.raises(
        ValueError, match=r"fold: shift is .*; it must be \[n\] or \[classes, n\] where gamma is \(5,\)"
    ):
        fold(np.ones(5), 0.0, 0.0, 1.0, 1e-5, shift=shift)


def test_single_numbers_serve_all_channels() -> None:
    gamma, shift = np.array([1.0, -2.0, 0.0]), np.arange(6.0).reshape(2, 3)
    found = fold(gamma, 0.5, 1.0, 2.0, 1e-3, shift=shift)
    whole = fold(gamma, np.full(3, 0.5), np.ones(3), np.full(3, 2.0), 1e-3, shift=shift)
    assert np.array_equal(found.at_least, whole.at_least)
    assert np.array_equal(found.flip, whole.flip)
    spread = fold(1.0, 0.5, 1.0, 2.0, 1e-3, shift=shift)
    assert np.array_equal(spread.at_least, fold(np.ones(3), 0.5, 1.0, 2.0, 1e-3, shift=shift).at_least)
    assert spread.flip.shape == (3,)
