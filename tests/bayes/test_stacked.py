"""Nets at many parameter vectors at once, against torch's own layers one vector after the other."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import stream
from torch import nn
from torch.nn.utils import vector_to_parameters

from bnnbench.bayes.likelihood import LearnedNoise
from bnnbench.bayes.network import WholeNet
from bnnbench.bayes.stacked import ELEMENTWISE, Stacked, is_stackable


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=5),
    st.lists(st.sampled_from(ELEMENTWISE), min_size=4, max_size=4),
    st.booleans(),
    st.booleans(),
    st.integers(1, 4),
)
def test_stacked_layers_are_the_net_at_each_vector(
    sizes: list[int], activations: list[type[nn.Module]], bias: bool, noisy: bool, n_draws: int
) -> None:
    layers: list[nn.Module] = [nn.Flatten()]
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layers += [nn.Sequential(nn.Linear(fan_in, fan_out, bias=bias), activations[k]())]
    plain = nn.Sequential(*layers).double()
    net = LearnedNoise(sizes[-1]).extended(plain) if noisy else plain
    whole, x = WholeNet(net), torch.randn(6, 1, sizes[0], generator=stream(), dtype=torch.float64)
    theta = torch.randn(n_draws, whole.n_params, generator=stream(1), dtype=torch.float64)
    found = Stacked(net)(whole.named(theta), x)
    for vector, outputs in zip(theta, found, strict=True):
        vector_to_parameters(vector, net.parameters())
        assert torch.allclose(outputs, net(x), atol=1e-12)


def test_frozen_and_shared_parameters() -> None:
    """A frozen layer keeps its own parameters, and a layer that is used twice takes the given ones twice."""
    torch.manual_seed(0)
    twice, first = nn.Linear(3, 3).double(), nn.Linear(2, 3).double().requires_grad_(False)
    net = nn.Sequential(first, nn.Tanh(), twice, nn.ELU(), twice)
    whole, x = WholeNet(net), torch.randn(5, 2, generator=stream(), dtype=torch.float64)
    theta = torch.randn(2, whole.n_params, generator=stream(1), dtype=torch.float64)
    assert whole.n_params == 12
    found = Stacked(net)(whole.named(theta), x)
    for vector, outputs in zip(theta, found, strict=True):
        vector_to_parameters(vector, twice.parameters())
        assert torch.allclose(outputs, net(x))


def test_points_of_several_dimensions() -> None:
    """A linear layer acts on the last dimension of inputs, also of those that all draws do not share any more."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), nn.Flatten(), nn.Linear(12, 1)).double()
    whole, x = WholeNet(net), torch.randn(5, 6, 4, generator=stream(), dtype=torch.float64)
    theta = torch.randn(3, whole.n_params, generator=stream(1), dtype=torch.float64)
    found = Stacked(net)(whole.named(theta), x)
    for vector, outputs in zip(theta, found, strict=True):
        vector_to_parameters(vector, net.parameters())
        assert torch.allclose(outputs, net(x))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(1, 1, 1),
        nn.Flatten(0),
        nn.Sequential(nn.Linear(1, 1), nn.Dropout()),
        type("Own", (nn.Linear,), {})(1, 1),
    ],
)
def test_other_layers_are_not_stacked(module: nn.Module) -> None:
    assert not is_stackable(module)
