"""What binarization costs in training, and what planning costs: time beside a peer's in the same run.

Plain `pytest` runs each once, as a test that it works; `pytest --benchmark` measures. Compare within a group.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from conftest import forget_registered

from bnnbench.binary.sign import sign
from bnnbench.harness import config, plan
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.networks import convnet, mlp
from bnnbench.papers.binarized.settings import MLP, ConvNet, Training
from bnnbench.papers.binarized.steps import step_of
from bnnbench.papers.binarized.training import optimizer_of


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


VARIANTS = [("float", "hardtanh"), ("binary", "relu"), ("binary", "sign"), ("binary", "stochastic-sign")]
NAMES = ["float", "binaryconnect", "bnn", "bnn-stochastic"]


@pytest.mark.benchmark(group="training step, 784-512-512-512-10, batch 100")
@pytest.mark.parametrize(("weights", "activation"), VARIANTS, ids=NAMES)
def test_training_step(benchmark: Any, tmp_path: Path, weights: Any, activation: Any) -> None:
    params = MLP(width=512, weights=weights, activation=activation, dropout_input=0, dropout_hidden=0)
    net = mlp(784, 10, params, Run(0, "cpu", tmp_path, lambda name: SimpleNamespace()).generator)
    benchmark(steps(net, params, torch.randn(100, 784)))


@pytest.mark.benchmark(group="training step, ConvNet with 32 maps, batch 50")
@pytest.mark.parametrize(("weights", "activation"), VARIANTS, ids=NAMES)
def test_convnet_training_step(benchmark: Any, tmp_path: Path, weights: Any, activation: Any) -> None:
    params = ConvNet(dataset="cifar10", maps=32, width=256, weights=weights, activation=activation)
    net = convnet((3, 32, 32), 10, params, Run(0, "cpu", tmp_path, lambda name: SimpleNamespace()).generator)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(50, 3, 32, 32).to(memory_format=torch.channels_last)
    benchmark(steps(net, params, x))


def steps(net: torch.nn.Module, params: Training, x: torch.Tensor) -> Callable[[], torch.Tensor]:
    step = step_of(net, optimizer_of(net, params), params, lambda inputs: inputs, "cpu")
    labels = torch.randint(0, 10, (len(x),))
    return lambda: step(x, labels)


SIGNS = {"bnnbench": sign, "torch.where": lambda x: torch.where(x >= 0, 1.0, -1.0), "torch.sign": torch.sign}


@pytest.mark.benchmark(group="sign of 512 x 784 numbers")
@pytest.mark.parametrize("function", SIGNS.values(), ids=SIGNS)
def test_sign(benchmark: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    benchmark(function, torch.randn(512, 784))


@pytest.mark.benchmark(group="plan")
@pytest.mark.parametrize("n_jobs", [6, 2000])
def test_plan(benchmark: Any, toy: Path, n_jobs: int) -> None:
    path = toy / "toy_paper" / "paper.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["experiments"]["walk"]["grid"] = {"steps": list(range(1, n_jobs // 2 + 1))}
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    forget_registered()
    chosen = config.validate({"papers": ["toy"], "scale": "smoke", "experiments": ["toy/walk"]}, "file")
    made = benchmark(plan.make, chosen)
    assert len(made.jobs) == n_jobs
