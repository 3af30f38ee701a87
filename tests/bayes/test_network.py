"""Nets at several draws: all at once and one after the other, by batch statistics, and their layers by width."""

import pytest
import torch
from problems import stream
from torch import Tensor, nn
from torch.nn import init

from bnnbench.bayes import network
from bnnbench.bayes.layers import layers_of
from bnnbench.bayes.likelihood import LearnedNoise
from bnnbench.bayes.network import WholeNet, call


def mlp() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Sequential(nn.Linear(5, 3), nn.SiLU()))
    return LearnedNoise(3).extended(net)


def frozen() -> nn.Module:
    net = mlp()
    next(net.parameters()).requires_grad_(False)
    return net


@pytest.mark.parametrize("made", [mlp, frozen])
def test_draws_at_once_are_those_one_after_the_other(made: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(made)
    net = WholeNet(made())
    x = torch.randn(7, 2, 3, generator=stream())
    theta = torch.randn(50, net.n_params, generator=stream(1)).requires_grad_()
    at_once = net.outputs(theta, x)
    (gradient,) = torch.autograd.grad(at_once.square().sum(), theta)
    for name, value in (("FEW_DRAWS", 51), ("SMALL_WORK", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(network, name, value)
            looped = net.outputs(theta, x)
            assert torch.allclose(at_once, looped, atol=1e-6)
            assert torch.allclose(gradient, torch.autograd.grad(looped.square().sum(), theta)[0], rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(network, "ENTRIES", 1)  # a draw at a time
    assert torch.allclose(at_once, net.outputs(theta, x), atol=1e-6)


def test_layers_of_ones_own_are_not_called_with_a_dimension_of_draws() -> None:
    class Branching(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if self.weight.sum().item() > 0 else x  # an error under vmap

    net = WholeNet(nn.Sequential(Branching(3, 3)))
    theta = torch.randn(9, 12, generator=stream())
    assert net.outputs(theta, torch.randn(4, 3)).shape == (9, 4, 3)


def test_batch_statistics_are_those_of_the_inputs_and_are_not_kept() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).double()
    x = torch.randn(20, 3, generator=stream(), dtype=torch.float64)
    net = WholeNet(module, batch_statistics=True)
    theta = torch.randn(2, net.n_params, generator=stream(1), dtype=torch.float64)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = net.outputs(theta, x)
    for draw, outputs in zip(theta, found, strict=True):
        named = net.named(draw)
        hidden = x @ named["0.weight"].T + named["0.bias"]
        z = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt()
        assert torch.allclose(outputs, z * named["1.weight"] + named["1.bias"])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(WholeNet(module).outputs(theta, x)[0], call(module.eval(), net.named(theta[0]), x))


def test_layers_have_the_widths_of_torchs_initialisation() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 7), nn.Linear(7, 2))
    net[4].requires_grad_(False)
    layers = layers_of(net)
    assert [layer.name for layer in layers] == ["0", "3"]
    for layer in layers:
        weight = net.get_submodule(layer.name).weight
        assert (layer.fan_in, layer.fan_out) == init._calculate_fan_in_and_fan_out(weight)  # type: ignore[arg-type]
    assert [layer.name for layer in layers_of(nn.Linear(2, 3))] == [""]
