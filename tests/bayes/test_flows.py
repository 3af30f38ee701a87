"""Flows: their Jacobians, inverses and densities."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import stream
from torch import Tensor, nn

from bnnbench.bayes.curvature import Diagonal
from bnnbench.bayes.flows import Kind, RadialFlow, flow
from bnnbench.bayes.gaussian import LaplaceNormal, Standard
from bnnbench.bayes.refine import Refined

KINDS: list[Kind] = ["radial", "planar", "spline"]
DOUBLE = torch.zeros((), dtype=torch.float64)


def perturbed(kind: Kind, n_layers: int, dim: int, size: float, seed: int = 0) -> nn.Module:
    """A flow in float64 whose parameters were moved by normal noise of the given size."""
    layers = flow(kind, n_layers, dim, stream(seed), like=DOUBLE)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=stream(seed + 1), dtype=torch.float64), alpha=size)
    return layers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_layers", [1, 4])
def test_log_det_is_that_of_autograds_jacobian(kind: Kind, n_layers: int) -> None:
    layers = perturbed(kind, n_layers, 5, 1.0 if kind != "spline" else 0.2)
    x = torch.randn(6, 5, generator=stream(2), dtype=torch.float64)
    _, log_det = layers(x)
    for k in range(6):
        jacobian = torch.autograd.functional.jacobian(lambda point: layers(point[None])[0][0], x[k])
        sign, expected = torch.linalg.slogdet(jacobian)
        assert sign == 1
        assert log_det[k].item() == pytest.approx(expected.item(), abs=1e-9)


@given(
    seed=st.integers(0, 10_000),
    n_layers=st.integers(1, 8),
    dim=st.integers(1, 20),
    size=st.floats(0, 3),
    spread=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_inverse_undoes_radial_layers(seed: int, n_layers: int, dim: int, size: float, spread: float) -> None:
    layers = perturbed("radial", n_layers, dim, size, seed)
    assert isinstance(layers, RadialFlow)
    x = spread * torch.randn(9, dim, generator=stream(seed), dtype=torch.float64)
    with torch.no_grad():
        y, log_det = layers(x)
        found = layers.inverse(y)
        # Where a layer contracts by a factor c, rounding of y grows by 1 / c on the way back.
        error = (found - x).abs().amax(1) / (1 + x.abs().amax(1))
        assert (error < 1e-11 * torch.exp(log_det.abs().clamp(max=15))).all()


@pytest.mark.parametrize(("b", "distance"), [(1e6, 1e-3), (-2.0, 1e4)])
def test_the_inverse_does_not_cancel_in_float32(b: float, distance: float) -> None:
    layers = RadialFlow(1, 2, stream())
    with torch.no_grad():
        layers.centres.zero_()
        layers.b.fill_(b)
        x = distance * torch.tensor([[1.0, 0.0], [0.6, -0.8]])
        assert torch.allclose(layers.inverse(layers(x)[0]), x, rtol=1e-5)


def test_the_centre_of_a_layer_stays() -> None:
    layers = perturbed("radial", 1, 3, 0.5)
    assert isinstance(layers, RadialFlow)
    y, log_det = layers(layers.centres)
    assert torch.allclose(y, layers.centres)
    assert torch.isfinite(log_det).all()
    log_det.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layers.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_flows_start_at_the_identity_on_request(kind: Kind) -> None:
    x = torch.randn(20, 8, generator=stream())
    y, log_det = flow(kind, 3, 8, stream(), identity=True)(x)
    assert torch.allclose(y, x, atol=1e-6)
    assert log_det.abs().max() < 1e-5


def test_a_radial_flow_starts_near_the_identity() -> None:
    x = torch.randn(20, 850, generator=stream())
    y, _ = flow("radial", 5, 850, stream())(x)
    assert ((y - x).norm(dim=1) < 0.05 * x.norm(dim=1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_stream_gives_the_same_flow(kind: Kind) -> None:
    first, second = (flow(kind, 2, 4, stream(7)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_radial_layers_are_pyros() -> None:
    transforms = pytest.importorskip("pyro.distributions.transforms")
    ours = perturbed("radial", 3, 6, 0.7)
    assert isinstance(ours, RadialFlow)
    x = torch.randn(10, 6, generator=stream(), dtype=torch.float64)
    y, log_det = x, torch.zeros(10, dtype=torch.float64)
    for k in range(3):
        layer: Any = transforms.radial(6).double()
        layer.x0.data, layer.alpha_prime.data, layer.beta_prime.data = (
            ours.centres.data[k],
            ours.a.data[k : k + 1],
            ours.b.data[k : k + 1],
        )
        moved = layer(y)
        log_det = log_det + layer.log_abs_det_jacobian(y, moved)
        y = moved
    found, found_det = ours(x)
    assert torch.allclose(found, y)
    assert torch.allclose(found_det, log_det)


@pytest.mark.parametrize("whitened", [False, True])
def test_a_refined_density_integrates_to_one_and_is_that_of_its_draws(whitened: bool) -> None:
    layers = perturbed("radial", 3, 2, 0.8)
    base = LaplaceNormal(torch.tensor([0.5, -1.0]).double(), Diagonal(torch.tensor([0.4, 2.0]).double()), 0.5)
    refined = Refined(layers, base, whitened)
    edge = torch.linspace(-9, 9, 601, dtype=torch.float64)
    points = torch.cartesian_prod(edge, edge)
    density = refined.log_prob(points).exp() * (18 / 600) ** 2
    assert density.sum().item() == pytest.approx(1, abs=2e-3)
    draws = refined.sample(100_000, stream())
    mean = density @ points
    assert torch.allclose(draws.mean(0), mean, atol=0.02)
    assert torch.allclose(draws.var(0), density @ (points - mean).square(), rtol=0.03)


def test_only_radial_flows_give_densities_elsewhere() -> None:
    refined = Refined(flow("planar", 1, 2, stream()), Standard(torch.zeros(2)))
    with pytest.raises(TypeError, match="inverse"):
        refined.log_prob(torch.zeros(1, 2))


def test_float32_is_close_to_float64() -> None:
    layers = perturbed("radial", 10, 850, 0.5)
    x = torch.randn(5, 850, generator=stream(), dtype=torch.float64)
    exact, exact_det = layers(x)

    def single(tensor: Tensor) -> Tensor:
        return tensor.double()

    rounded, rounded_det = layers.float()(x.float())
    assert (single(rounded) - exact).abs().max() < 1e-4
    assert torch.allclose(single(rounded_det), exact_det, rtol=1e-4)
