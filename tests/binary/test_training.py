"""Algorithm 1 of the paper, step by step, against an independent NumPy implementation in float64."""

import itertools
from math import sqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy_bnn import EPS_BN, NumpyBNN

from bnnbench.binary.layers import BinaryActivation, BinaryLinear
from bnnbench.binary.loss import squared_hinge
from bnnbench.binary.optimize import clip_latent_weights, learning_rate_scale, parameter_groups, set_learning_rate
from bnnbench.harness.run import Run
from bnnbench.papers.binarized import networks
from bnnbench.papers.binarized.settings import MLP


@pytest.mark.parametrize(
    ("fan_in", "fan_out", "expected"), [(784, 4096, 57.04), (4096, 4096, 73.90), (4096, 10, 52.32), (784, 2048, 43.45)]
)
def test_learning_rate_scales_of_the_papers_layers(fan_in: int, fan_out: int, expected: float) -> None:
    assert learning_rate_scale(BinaryLinear(fan_in, fan_out)) == pytest.approx(expected, abs=0.005)


@given(st.integers(1, 20), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_squared_hinge_is_its_definition(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    total = 0.0
    for i in range(n):
        for c in range(classes):
            total += max(0.0, 1.0 - (1.0 if c == labels[i] else -1.0) * outputs[i, c]) ** 2
    found = squared_hinge(torch.from_numpy(outputs), torch.from_numpy(labels)).item()
    assert found == pytest.approx(total / (n * classes), rel=1e-12)


def test_training_steps_are_algorithm_1() -> None:
    rng = np.random.default_rng(1)
    sizes = [(13, 7), (5, 13)]
    net = torch.nn.Sequential(
        BinaryLinear(7, 13),
        torch.nn.BatchNorm1d(13, eps=EPS_BN),
        BinaryActivation(),
        BinaryLinear(13, 5),
        torch.nn.BatchNorm1d(5, eps=EPS_BN),
    ).double()
    layers = [module for module in net if isinstance(module, BinaryLinear)]
    for layer, shape in zip(layers, sizes, strict=True):
        layer.weight.data = torch.from_numpy(rng.uniform(-1, 1, shape))
    reference = NumpyBNN([layer.weight.detach().numpy() for layer in layers])
    optimizer = torch.optim.Adam(parameter_groups(net, scale_learning_rate=True), lr=1.0, fused=True)
    moved = 0.0
    for step in range(8):
        x, labels = rng.normal(size=(11, 7)), rng.integers(0, 5, 11)
        before = layers[0].weight.detach().clone()
        learning_rate = 0.05 * 0.9**step
        set_learning_rate(optimizer, learning_rate)
        optimizer.zero_grad()
        squared_hinge(net(torch.from_numpy(x)), torch.from_numpy(labels)).backward()
        optimizer.step()
        clip_latent_weights(net)
        reference.step(x, labels, learning_rate)
        for layer, expected in zip(layers, reference.weights, strict=True):
            assert np.allclose(layer.weight.detach().numpy(), expected, rtol=0, atol=1e-9)
        moved = max(moved, (layers[0].weight.detach() - before).abs().max().item())
    assert moved > 0.1, "the steps must be large enough to flip signs"
    assert any((layer.weight.abs() == 1).any() for layer in layers), "and to reach the clip"


def run(tmp_path: Path, seed: int = 0) -> Run:
    return Run(seed, "cpu", tmp_path, lambda name: SimpleNamespace())


def mlp(tmp_path: Path, weights: str = "binary", activation: str = "sign", depth: int = 3) -> torch.nn.Sequential:
    values = {"width": 16, "depth": depth, "weights": weights, "activation": activation}
    params = MLP.model_validate({**values, "dropout_input": 0, "dropout_hidden": 0})
    return networks.mlp(20, 10, params, run(tmp_path).generator)


@pytest.mark.parametrize("weights", ["float", "binary", "stochastic"])
@pytest.mark.parametrize("activation", ["relu", "hardtanh", "sign", "stochastic-sign"])
def test_the_mlps_layers_compute_with_what_they_are_named_for(tmp_path: Path, weights: str, activation: str) -> None:
    net = mlp(tmp_path, weights, activation)
    seen: list[tuple[torch.nn.Module, torch.Tensor]] = []
    for module in net:
        module.register_forward_hook(lambda module, _, output: seen.append((module, output)))
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(1))
    for mode in (net.train, net.eval):
        mode()
        seen.clear()
        net(x)
        binary = [output for module, output in seen if isinstance(module, BinaryActivation)]
        assert len(binary) == (3 if "sign" in activation else 0)
        assert all(set(output.unique().tolist()) == {-1.0, 1.0} for output in binary)
        layers = [module for module in net if isinstance(module, BinaryLinear)]
        assert len(layers) == (0 if weights == "float" else 4)
        assert all(layer.binary_weight().abs().eq(1).all() for layer in layers)
    net.eval()
    assert torch.equal(net(x), net(x)), "evaluation is deterministic"
    net.train()
    assert torch.equal(net(x), net(x)) == (not {weights, activation} & {"stochastic", "stochastic-sign"})


def test_the_papers_net_has_its_number_of_binary_weights() -> None:
    sizes = [784, 4096, 4096, 4096, 10]
    assert sum(a * b for a, b in itertools.pairwise(sizes)) == 36_806_656
    net = [BinaryLinear(a, b) for a, b in itertools.pairwise(sizes)]
    assert sum(layer.weight.numel() for layer in net) == 36_806_656


def test_latent_weights_start_uniform(tmp_path: Path) -> None:
    layer = BinaryLinear(300, 300)
    layer.reset_parameters(torch.Generator().manual_seed(0))
    w = layer.weight.detach()
    assert w.abs().max() <= 1
    assert w.mean().abs() < 4 / sqrt(3 * w.numel())
    assert w.square().mean().item() == pytest.approx(1 / 3, abs=0.005)


def test_a_rate_on_the_device_keeps_its_place() -> None:
    layer = BinaryLinear(3, 2)
    optimizer = torch.optim.Adam(parameter_groups(layer, True), lr=0.1)
    rate = torch.tensor(0.1)
    optimizer.param_groups[0]["lr"] = rate
    set_learning_rate(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.5 * optimizer.param_groups[0]["scale"])
    assert optimizer.param_groups[1]["lr"] == 0.5
