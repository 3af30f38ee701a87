"""Shift-based batch normalisation against its equations in NumPy and float64."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnbench.binary.shift_norm import ShiftBatchNorm

EPS = 1e-5


def ap2(x: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.where(x == 0, 0.0, np.sign(x) * np.exp2(np.round(np.log2(np.abs(x)))))


class NumpyNorm:
    """Rows [M, C]: the equations of the Torch7 code, one line each."""

    def __init__(self, gamma: np.ndarray, beta: np.ndarray, first_rstd: float) -> None:
        self.gamma, self.beta = gamma, beta
        self.mean, self.rstd = np.zeros_like(gamma), np.full_like(gamma, first_rstd)

    def forward(self, x: np.ndarray) -> np.ndarray:
        mean = x.mean(0)
        self.c = x - mean
        self.ca = ap2(self.c)
        rstd = 1 / np.sqrt((self.ca * self.c).mean(0) + EPS)
        self.s = ap2(rstd)
        self.mean = 0.875 * self.mean + 0.125 * mean
        self.rstd = 0.875 * self.rstd + 0.125 * rstd
        return np.asarray(ap2(self.gamma) * (self.c * self.s) + self.beta)

    def backward(self, g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inner = g - g.mean(0) - self.ca * self.s**2 * (self.ca * g).mean(0)
        return ap2(self.gamma) * self.s * inner, (ap2(self.c * self.s) * g).sum(0), g.sum(0)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(ap2(self.gamma) * (x - self.mean) * ap2(self.rstd) + self.beta)


def rows(x: np.ndarray) -> np.ndarray:
    """[N, C, H, W] -> [N * H * W, C]."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def made(rng: np.random.Generator, channels: int, spatial: bool) -> tuple[ShiftBatchNorm, NumpyNorm]:
    norm = ShiftBatchNorm(channels, spatial).double()
    gamma, beta = rng.normal(0, 2, channels), rng.normal(size=channels)
    gamma[0] = 0.0
    norm.weight.data, norm.bias = torch.from_numpy(gamma), torch.nn.Parameter(torch.from_numpy(beta))
    return norm, NumpyNorm(gamma, beta, first_rstd=0.0 if spatial else 1.0)


shapes = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 6)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
)


@given(shapes, st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_training_and_evaluation_are_the_equations(shape: tuple[int, ...], channels_last: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    norm, reference = made(rng, shape[1], spatial=len(shape) == 4)
    for _ in range(4):
        x = rng.normal(rng.normal(0, 5), np.exp(rng.normal(0, 2)), shape)
        g = rng.normal(size=shape)
        tensor, gradient = torch.from_numpy(x.copy()), torch.from_numpy(g)
        if channels_last and len(shape) == 4:
            tensor = tensor.to(memory_format=torch.channels_last)
        tensor.requires_grad_()
        norm.zero_grad()
        y = norm(tensor)
        assert np.allclose(rows(y.detach().numpy()), reference.forward(rows(x)), rtol=1e-9, atol=1e-9)
        y.backward(gradient)
        found = [norm.weight.grad, None if norm.bias is None else norm.bias.grad]
        gx, *rest = reference.backward(rows(g))
        assert tensor.grad is not None
        assert np.allclose(rows(tensor.grad.numpy()), gx, rtol=1e-8, atol=1e-8)
        for parameter, expected in zip(found, rest, strict=True):
            assert parameter is not None
            assert np.allclose(parameter.numpy(), expected, rtol=1e-8, atol=1e-8)
        assert np.allclose(norm.running_mean.numpy(), reference.mean, rtol=1e-12, atol=1e-12)
        assert np.allclose(norm.running_rstd.numpy(), reference.rstd, rtol=1e-9)
        assert np.array_equal(tensor.detach().numpy(), x), "the input stays as it was"
    norm.eval()
    before = norm.running_mean.clone()
    y = norm(torch.from_numpy(x))
    assert np.allclose(rows(y.detach().numpy()), reference.evaluate(rows(x)), rtol=1e-9, atol=1e-9)
    assert torch.equal(norm.running_mean, before)
    slope, mean, beta = (part.numpy() for part in norm.evaluation_map())
    assert np.array_equal(rows(y.detach().numpy()), slope * (rows(x) - mean) + beta), "bit for bit"


def test_in_single_precision_only_rounding_differs() -> None:
    rng = np.random.default_rng(3)
    norm, reference = made(rng, 6, spatial=True)
    norm = norm.float()
    x, g = rng.integers(-30, 30, (5, 6, 7, 7)).astype(np.float32), rng.normal(size=(5, 6, 7, 7)).astype(np.float32)
    tensor = torch.from_numpy(x).requires_grad_()
    y = norm(tensor)
    y.backward(torch.from_numpy(g))
    assert y.dtype == torch.float32
    assert np.allclose(rows(y.detach().numpy()), reference.forward(rows(x).astype(np.float64)), rtol=1e-4, atol=1e-4)
    gx, g_gamma, _ = reference.backward(rows(g).astype(np.float64))
    assert tensor.grad is not None
    assert norm.weight.grad is not None
    assert np.allclose(rows(tensor.grad.numpy()), gx, rtol=1e-4, atol=1e-4)
    assert np.allclose(norm.weight.grad.numpy(), g_gamma, rtol=1e-4, atol=1e-3)


def test_the_gradient_of_a_sum_and_of_frozen_parameters() -> None:
    # the gradient of a sum is one number seen in every place; a centred layer cancels it
    norm = ShiftBatchNorm(3).double()
    norm.weight.requires_grad_(False)
    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    norm(x).sum().backward()
    assert norm.weight.grad is None
    assert norm.bias is not None
    assert norm.bias.grad is not None
    assert norm.bias.grad.tolist() == [8, 8, 8]
    reference = NumpyNorm(np.ones(3), np.zeros(3), 1.0)
    reference.forward(x.detach().numpy())
    assert x.grad is not None
    assert np.allclose(x.grad.numpy(), reference.backward(np.ones((8, 3)))[0], atol=1e-12)


def test_every_factor_is_a_power_of_two_so_the_scale_is_within_a_factor_of_two() -> None:
    x = 37.0 * torch.randn(4000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = ShiftBatchNorm(5).double()
    ratio = norm(x).detach() / (x - x.mean(0))
    powers = ratio.mean(0)
    assert torch.allclose(ratio, powers, rtol=1e-9)
    assert torch.frexp(powers).mantissa.eq(0.5).all()
    assert all(0.5 < deviation < 2 for deviation in norm(x).std(0).tolist())


def test_before_training_dense_is_the_identity_and_spatial_is_constant() -> None:
    dense, spatial = ShiftBatchNorm(2).eval(), ShiftBatchNorm(2, spatial=True).eval()
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dense(x[:, :, 0, 0]), x[:, :, 0, 0])
    assert spatial.bias is not None
    spatial.bias.data.fill_(0.5)
    assert torch.equal(spatial(x), torch.full_like(x, 0.5))


def test_the_papers_variant_lacks_beta_and_nothing_else() -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    code, paper = ShiftBatchNorm(4), ShiftBatchNorm(4, variant="paper")
    assert [name for name, _ in paper.named_parameters()] == ["weight"]
    gradients = [torch.autograd.grad(norm(x).square().sum(), x)[0] for norm in (code, paper)]
    assert torch.equal(*gradients)
    assert torch.equal(code(x), paper(x))
    assert torch.equal(code.eval()(x), paper.eval()(x))
    assert paper.evaluation_map()[2].tolist() == [0] * 4


def test_not_a_number_is_not_lost() -> None:
    x = torch.ones(4, 2)
    x[1, 0] = float("nan")
    assert ShiftBatchNorm(2)(x).isnan().all(0).tolist() == [True, False]


@pytest.mark.parametrize(("shape", "form"), [((3, 5), r"\[N, 4\]"), ((3, 4, 2, 2), r"\[N, 4\]")])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...], form: str) -> None:
    with pytest.raises(ValueError, match=form):
        ShiftBatchNorm(4)(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"\[N, 4, H, W\]"):
        ShiftBatchNorm(4, spatial=True)(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="'code' or 'paper'"):
        ShiftBatchNorm(4, variant="torch")  # type: ignore[arg-type]
