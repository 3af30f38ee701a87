"""Binarization and its gradients against NumPy, by brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bnnbench.binary import sign as module
from bnnbench.binary.sign import binarize, hard_sigmoid, sign, stochastic_sign

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
floats = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements=st.floats(-3, 3, width=32))


@given(floats)
def test_sign_is_plus_one_from_zero_on(x: np.ndarray) -> None:
    expected = np.where(x >= 0, 1.0, -1.0)
    assert np.array_equal(sign(torch.from_numpy(x)).numpy(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_zeros_are_plus_one_and_the_smallest_numbers_keep_their_sign(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).smallest_normal
    x = torch.tensor([0.0, -0.0, tiny, -tiny, float("inf"), -float("inf")], dtype=dtype)
    assert sign(x).tolist() == [1, 1, 1, -1, 1, -1]
    assert sign(x).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_passes_up_to_one_and_is_cancelled_beyond(dtype: torch.dtype) -> None:
    next_after_one = 1 + torch.finfo(dtype).eps
    values = [0.0, -0.5, 1.0, -1.0, next_after_one, -next_after_one, 1.5, -100.0]
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    gradient = torch.arange(1.0, 9.0, dtype=dtype)
    binarize(x).backward(gradient)
    assert x.grad is not None
    assert x.grad.tolist() == [1, 2, 3, 4, 0, 0, 0, 0]


@given(floats)
def test_the_gradient_is_that_of_the_clipped_identity(x: np.ndarray) -> None:
    tensor = torch.from_numpy(x).requires_grad_()
    gradient = torch.from_numpy(np.arange(x.size, dtype=np.float32).reshape(x.shape))
    binarize(tensor).backward(gradient)
    assert tensor.grad is not None
    assert np.array_equal(tensor.grad.numpy(), np.where(np.abs(x) <= 1, gradient.numpy(), 0))


@given(floats)
def test_without_mask_every_gradient_passes(x: np.ndarray) -> None:
    tensor = torch.from_numpy(x).requires_grad_()
    binarize(tensor, mask=False).backward(torch.ones_like(tensor))
    assert tensor.grad is not None
    assert torch.equal(tensor.grad, torch.ones_like(tensor))


def test_stochastic_sign_has_the_hard_sigmoids_probability() -> None:
    n = 40_000
    points = torch.tensor([-2.0, -1.0, -0.6, 0.0, 0.3, 1.0, 5.0])
    draws = stochastic_sign(points.expand(n, -1), torch.Generator().manual_seed(0))
    assert set(draws.unique().tolist()) == {-1.0, 1.0}
    found = (draws == 1).double().mean(0)
    expected = np.clip((points.numpy() + 1) / 2, 0, 1)
    # four standard errors; exact where the probability is 0 or 1
    assert np.all(np.abs(found.numpy() - expected) <= 4 * np.sqrt(expected * (1 - expected) / n))
    assert np.allclose(hard_sigmoid(points).numpy(), expected)


def test_probabilities_of_zero_and_one_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.tensor([-3.0, -1.0, torch.nextafter(torch.tensor(-1.0), torch.tensor(0.0)).item(), 0.0, 1.0, 3.0])
    extremes = {-(2**15): [-1, -1, 1, 1, 1, 1], 2**15 - 1: [-1, -1, -1, -1, 1, 1], 0: [-1, -1, -1, -1, 1, 1]}
    for value, expected in extremes.items():
        noise = torch.full((6,), value, dtype=torch.int16)
        monkeypatch.setattr(module, "_noise", lambda count, generator, noise=noise: noise)
        assert stochastic_sign(points, torch.Generator()).tolist() == expected


def test_all_noise_is_equally_likely() -> None:
    """Each of the four numbers of a word, in 16 bins: chi-square with 15 degrees of freedom, 99.99 % quantile 44.3."""
    noise = module._noise(400_003, torch.Generator().manual_seed(0)).long() + 2**15
    assert len(noise) == 400_003
    for lane in range(4):
        counts = torch.bincount(noise[lane::4] >> 12, minlength=16).double()
        expected = counts.sum() / 16
        assert ((counts - expected) ** 2 / expected).sum() < 44.3


def test_stochastic_binarization_has_the_same_gradient() -> None:
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5], requires_grad=True)
    binarize(x, torch.Generator().manual_seed(0)).backward(torch.ones(4))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 0]
