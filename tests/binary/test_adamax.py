"""Shift-based AdaMax and the layers' rates against loops over single numbers."""

from math import log2, sqrt
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from bnnbench.binary.adamax import ShiftAdaMax
from bnnbench.binary.layers import BinaryActivation, BinaryLayer, BinaryLinear
from bnnbench.binary.loss import squared_hinge
from bnnbench.binary.optimize import clip_latent_weights, parameter_groups, set_learning_rate
from bnnbench.binary.packed import PackedNet
from bnnbench.binary.shift_norm import ShiftBatchNorm

Variant = Literal["code", "paper"]


def ap2(x: float) -> float:
    return 0.0 if x == 0 else float(np.sign(x) * 2.0 ** round(log2(abs(x))))


class OneNumber:
    """One parameter, by the printed lines."""

    def __init__(self, theta: float, variant: Variant) -> None:
        self.theta, self.variant, self.m, self.v, self.t = theta, variant, 0.0, 0.0, 0

    def step(self, g: float, rate: float, scale: float) -> None:
        beta1, beta2 = (0.9, 0.999) if self.variant == "code" else (0.875, 1 - 2**-10)
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = max(beta2 * self.v, abs(g))
        if self.variant == "code":
            step = ap2(rate / (1 - beta1**self.t))
            self.v = ap2(self.v) + 2**-27
            self.theta -= step * scale * self.m / self.v
        elif self.v > 0:
            self.theta -= scale * rate * ap2(1 / (1 - beta1**self.t)) * self.m * ap2(1 / self.v)


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_updates_are_the_lines_of_the_algorithm(variant: Variant) -> None:
    rng = np.random.default_rng(0)
    scales, sizes = [57.04, 32.0, 1.0], [5, 7, 3]
    start = [rng.normal(size=size) for size in sizes]
    parameters = [nn.Parameter(torch.from_numpy(values.copy())) for values in start]
    groups = [{"params": [p], "scale": scale} for p, scale in zip(parameters, scales, strict=True)]
    optimizer = ShiftAdaMax(groups, variant=variant)
    reference = [[OneNumber(theta, variant) for theta in values] for values in start]
    for step in range(30):
        rate = 0.013 * 0.9**step
        set_learning_rate(optimizer, rate)
        for parameter, numbers, scale in zip(parameters, reference, scales, strict=True):
            g = rng.normal(size=len(numbers)) * 10.0 ** rng.integers(-5, 3, len(numbers))
            g[0] = 0.0
            parameter.grad = torch.from_numpy(g)
            for number, value in zip(numbers, g, strict=True):
                number.step(value, rate, scale)
        optimizer.step()
        for parameter, numbers in zip(parameters, reference, strict=True):
            assert np.allclose(parameter.detach().numpy(), [number.theta for number in numbers], rtol=1e-12)
            state = optimizer.state[parameter]
            assert np.allclose(state["m"].numpy(), [number.m for number in numbers], rtol=1e-12, atol=0)
            assert np.allclose(state["v"].numpy(), [number.v for number in numbers], rtol=1e-15, atol=0)
    assert [parameter[0].item() for parameter in parameters] == [values[0] for values in start], "no gradient, no step"


def one_step(rate: float, scale: float, gradient: float = 1.0) -> float:
    """How far one step of a parameter of scale `scale` goes."""
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = ShiftAdaMax([{"params": [parameter], "scale": scale}])
    set_learning_rate(optimizer, rate)
    parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return -parameter.item()


def test_the_rate_is_rounded_before_the_layers_scale_multiplies_it() -> None:
    # first step: m / v = 0.1 * g / AP2(g), and rate / (1 - 0.9) = 0.15625 rounds to 1/8
    unscaled = one_step(2.0**-6, 1.0)
    assert unscaled == pytest.approx(0.1 / 8, rel=1e-7)
    for scale in (57.04, 36.95, 5.0):
        assert one_step(2.0**-6, scale) == pytest.approx(scale * unscaled, rel=1e-12)
    # the step stays the same up to the border of the rounding, and doubles there
    border = 0.1 * sqrt(2) / 8
    assert one_step(border * 0.999, 3.0) == pytest.approx(3 * unscaled, rel=1e-12)
    assert one_step(border * 1.001, 3.0) == pytest.approx(6 * unscaled, rel=1e-12)


def test_the_codes_divisor_is_a_power_of_two_and_never_falls() -> None:
    parameter = nn.Parameter(torch.zeros(200, dtype=torch.float64))  # single precision loses the epsilon of large v
    optimizer = ShiftAdaMax([parameter])
    generator = torch.Generator().manual_seed(0)
    last = torch.zeros(200)
    for step in range(50):
        gradient = torch.randn(200, generator=generator, dtype=torch.float64) * 0.7**step
        parameter.grad = gradient.clone()
        optimizer.step()
        assert torch.equal(parameter.grad, gradient), "gradients are only read"
        v = optimizer.state[parameter]["v"]
        assert (v >= last).all()
        mantissa, _ = torch.frexp(v - 2.0**-27)
        assert mantissa.eq(0.5).all()
        last = v.clone()


def test_a_restored_optimizer_goes_on_as_if_never_stopped(tmp_path: Any) -> None:
    def run(stop: bool) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        parameter, other = nn.Parameter(torch.ones(9)), nn.Parameter(torch.ones(2))
        groups = [{"params": [parameter], "scale": 3.0}, {"params": [other], "scale": 1.0}]
        optimizer = ShiftAdaMax(groups, variant="paper")
        for step in range(8):
            if stop and step == 4:
                torch.save(optimizer.state_dict(), tmp_path / "state")
                groups = [{"params": [parameter], "scale": 3.0}, {"params": [other], "scale": 1.0}]
                optimizer = ShiftAdaMax(groups, lr=7.0)
                optimizer.load_state_dict(torch.load(tmp_path / "state"))
            else:
                set_learning_rate(optimizer, 0.01)
            parameter.grad = torch.randn(9, generator=generator)
            optimizer.step()
        return parameter.detach()

    assert torch.equal(run(stop=True), run(stop=False))


def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned() -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = ShiftAdaMax([parameter], lr=0.25)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert parameter.item() < 1


@pytest.mark.parametrize(("options", "message"), [({"variant": "torch"}, "variant"), ({"betas": (1.0, 0.5)}, "betas")])
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShiftAdaMax([nn.Parameter(torch.ones(1))], **options)


def test_groups_have_the_scales_of_the_published_files() -> None:
    net = nn.Sequential(
        BinaryLinear(784, 2048), ShiftBatchNorm(2048), BinaryActivation(), BinaryLinear(2048, 10), nn.BatchNorm1d(10)
    )
    exact = [1 / sqrt(1.5 / (784 + 2048)), 1 / sqrt(1.5 / 2058)]

    def scales(**options: bool) -> list[float]:
        groups = parameter_groups(net, **options)
        assert sum(len(group["params"]) for group in groups) == len(list(net.parameters())), "each is in one group"
        return [group["scale"] for group in groups]

    assert scales(scale_learning_rate=True) == pytest.approx([*exact, 1])
    assert scales(scale_learning_rate=True, power_of_two=True) == [32, 32, 1]
    found = scales(scale_learning_rate=True, scale_gammas=True)
    assert found == pytest.approx([*exact, 36.95, sqrt(10 / 1.5), 1], abs=0.005)
    assert scales(scale_learning_rate=False, power_of_two=True) == [1, 1, 1]
    # the CIFAR-10 net: its layers' scales become 32 and 64
    layers = [BinaryLinear(fan_in, 1024) for fan_in in (8192, 1024)]
    assert [g["scale"] for g in parameter_groups(nn.Sequential(*layers), True, power_of_two=True)] == [64, 32, 1]


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_a_net_trained_by_shifts_learns_and_packs(variant: Variant) -> None:
    generator = torch.Generator().manual_seed(1)
    net = nn.Sequential(
        BinaryLinear(16, 64),
        ShiftBatchNorm(64, variant=variant),
        BinaryActivation(),
        BinaryLinear(64, 3),
        nn.BatchNorm1d(3, eps=1e-5),
    )
    for module in net:
        if isinstance(module, BinaryLayer):
            module.reset_parameters(generator)
    pixels = torch.randint(0, 256, (300, 16), generator=generator)
    x = pixels * (2 / 255) - 1
    labels = x[:, :3].argmax(1)
    optimizer = ShiftAdaMax(parameter_groups(net, True, power_of_two=True), variant=variant)
    losses = []
    for step in range(60):
        set_learning_rate(optimizer, 2.0 ** -(8 + step // 20))
        optimizer.zero_grad()
        loss = squared_hinge(net(x), labels)
        loss.backward()
        optimizer.step()
        clip_latent_weights(net)
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    real = net.eval().double()(pixels.double() * (2 / 255) - 1).detach()
    assert (real.argmax(1) == labels).double().mean() > 0.8
    packed = PackedNet.from_module(net)
    assert np.array_equal(packed.predict(pixels.numpy().astype(np.uint8)), real.argmax(1).numpy())
