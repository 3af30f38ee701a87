"""Every method with a net and data on a GPU and its random stream on the CPU."""

from functools import partial
from pathlib import Path

import pytest
import torch
from problems import classes, stream
from test_protocol import LONG, QUICK, fit, numbers, problem, task_of
from torch import nn

from bnnbench.bayes import last_layer
from bnnbench.bayes.likelihood import Categorical
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import flat
from bnnbench.bayes.training import reinitialised
from bnnbench.harness import registry

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


def on_the_gpu(task: str = "classes") -> tuple[nn.Module, Train]:
    net, train = problem(task)
    x, y = train.held_out()
    return net.cuda(), Train(train.x.cuda(), train.y.cuda(), train.likelihood, (x.cuda(), y.cuda()))


@pytest.mark.parametrize("name", QUICK)
def test_methods_stay_on_the_device_of_the_data(name: str) -> None:
    net, on_gpu = on_the_gpu(task_of(name))
    posterior = registry.method(name).fit(net, on_gpu, QUICK[name], stream())
    predictive = posterior.predict(on_gpu.x, 4, stream())
    assert numbers(predictive).is_cuda
    assert torch.isfinite(numbers(predictive)).all()


@pytest.mark.parametrize("death", [2, 5, 8])
@pytest.mark.parametrize("name", LONG)
def test_a_killed_fit_continues(name: str, death: int, tmp_path: Path) -> None:
    made = partial(on_the_gpu, task_of(name))
    whole = fit(name, tmp_path / "whole", {}, LONG[name], made=made)
    found = fit(name, tmp_path / "killed", {0: death}, LONG[name], made=made)
    assert found.is_cuda
    assert torch.allclose(found, whole, atol=1e-4)


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal"])
def test_curvatures_are_those_of_the_cpu(structure: last_layer.Structure) -> None:
    net, theta, features, _ = classes(500, 8, 5)
    expected = last_layer.curvature(net, theta, features, Categorical(), structure)
    found = last_layer.curvature(net, theta.cuda(), features.cuda(), Categorical(), structure)
    scale = expected.eigenvalues.max()
    assert (found.eigenvalues.cpu() - expected.eigenvalues).abs().max() < 1e-9 * scale


def test_new_initial_parameters_are_those_of_the_cpu() -> None:
    net, _ = problem("classes")
    expected, found = (flat(reinitialised(each, stream()).parameters()) for each in (net, on_the_gpu()[0]))
    assert found.is_cuda
    assert torch.equal(found.cpu(), expected)
