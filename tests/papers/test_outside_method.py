"""A method of another package, registered through its entry point, beside those of the paper on every data set."""

from pathlib import Path
from typing import Any

import pytest
from conftest import record_data

from bnnbench.harness import config, execute, plan

pytestmark = pytest.mark.data

METHOD = """
from math import sqrt

import torch
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, method
from bnnbench.bayes.network import WholeNet, flat
from bnnbench.bayes.training import Training
from bnnbench.bayes.weights import NetPosterior


class JitterParams(MethodParams):
    training: Training | None = Training(epochs=1)
    variance: float = 1e-4


class Jitter:
    def __init__(self, mean, variance):
        self.mean, self.variance = mean, variance

    def sample(self, n_draws, generator=None):
        noise = torch.randn(n_draws, len(self.mean), generator=generator).to(self.mean)
        return self.mean + sqrt(self.variance) * noise


@method("jitter", JitterParams)
def jitter(model, train, params, generator, journal):
    net = trained(model, train, params.training, generator, journal)
    return NetPosterior(WholeNet(net), Jitter(flat(net.parameters()).detach(), params.variance), train.likelihood)
"""
JITTER: dict[str, Any] = {"method": "jitter", "options": {"variance": 0.001}}
ADDED: dict[str, dict[str, dict[str, Any]]] = {
    "refinement/fmnist": {"jitter": JITTER, "jitter-all": {**JITTER, "scope": "all"}},
    # Few draws, since every one of them is evaluated on all corrupted images.
    "refinement/cifar10": {"jitter": JITTER, "jitter-all": {**JITTER, "scope": "all", "n_draws": 4}},
    "refinement/all-layer": {"jitter": JITTER},
}


@pytest.mark.usefixtures("data_read_once")
@pytest.mark.parametrize("experiment", ADDED)
def test_a_method_of_another_package_runs_on_every_data_set(tmp_path: Path, toy: Path, experiment: str) -> None:
    (toy / "jitter_method.py").write_text(METHOD)
    points = toy / "toy_paper-0.1.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "[bnnbench.methods]\njitter = jitter_method:jitter\n")
    chosen = {"papers": ["refinement"], "scale": "smoke", "results": str(tmp_path / "results"), "add_variants": ADDED}
    made = plan.make(config.validate({**chosen, "experiments": [experiment]}, "file"), "file")
    if any(place.unavailable for name, place in made.data.items() if name in ("fashion-mnist", "cifar10")):
        pytest.skip(f"the data of {experiment} are not on this machine")
    record_data(made)
    for variant in ADDED[experiment]:
        record = execute.execute(made, made.job(f"{experiment}/{variant}"))
        (seed,) = record.seeds
        assert record.status == "ok"
        assert {"accuracy", "nll", "ece_15", "brier"} <= seed.metrics.keys()
        if variant == "jitter":  # of the same weights as HMC's, whose spread it was given
            assert seed.metrics["weight_std"] == pytest.approx(0.001**0.5, rel=0.1)
            assert "mmd" in seed.metrics
