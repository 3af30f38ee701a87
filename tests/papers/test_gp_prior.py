"""The parts of the paper on process priors that are its own: its toys, the dense form of a layer, and new latents."""

from typing import Any

import numpy as np
import pytest
import torch
from problems import stream
from torch import nn

from bnnbench.bayes.gp_weights.metagp import MetaGPParams, fit, made
from bnnbench.bayes.gp_weights.net import GPNet
from bnnbench.bayes.journal import SILENT
from bnnbench.bayes.likelihood import Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.prior import IndependentNormal, NumpyroPrior
from bnnbench.harness import paper
from bnnbench.harness.run import Run
from bnnbench.papers.gp_prior.dense import dense_outputs, pairs_outputs
from bnnbench.papers.gp_prior.experiments.embeddings import free_inputs_alone
from bnnbench.papers.gp_prior.points import CURVES
from bnnbench.papers.gp_prior.settings import OWN_PRIOR, Toy
from bnnbench.papers.gp_prior.toys import posed

LOCAL = {"kind": "rbf", "contexts": 4}


def small(**options: Any) -> tuple[GPNet, Train]:
    x = torch.randn(7, 2, generator=stream(1))
    train = Train(x, x[:, 0], Gaussian(0.1))
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 1))
    params = MetaGPParams.model_validate({"inducing": 6, **options})
    return made(model, train, params, stream(2)), train


@pytest.mark.parametrize("conditional", ["diag", "det"])
@pytest.mark.parametrize("prior", [{}, {"auxiliary": LOCAL}, {"auxiliary": LOCAL, "constant": True}])
def test_the_dense_form_has_the_same_outputs(conditional: str, prior: dict[str, Any]) -> None:
    """With the same noise, weight by weight and through the factors of the kernel."""
    net, train = small(conditional=conditional, **prior)
    draw = net.draw(3, stream(3))
    one, other = (form(net, train.x, draw, stream(4)) for form in (GPNet.outputs, dense_outputs))
    assert torch.allclose(one, other, atol=1e-6)


def test_pairs_of_inducing_points_have_the_same_outputs() -> None:
    net, train = small(auxiliary=LOCAL)
    draw = net.draw(3, stream(3))
    one, other = (form(net, train.x, draw, stream(4)) for form in (GPNet.outputs, pairs_outputs))
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", CURVES)
def test_points_lie_where_the_curve_says(name: str) -> None:
    curve = CURVES[name]
    x, y = curve.points(np.random.default_rng(1), curve.n_points)
    assert x.shape == y.shape == (curve.n_points,)
    inside = [(low <= x) & (x <= high) for low, high in curve.places.inside]
    assert np.logical_or.reduce(inside).all()
    assert min(part.sum() for part in inside) >= curve.n_points // len(inside)
    many_x, many_y = curve.points(np.random.default_rng(2), 4000)
    assert (many_y - curve.function(many_x)).std() == pytest.approx(curve.noise, rel=0.05)
    for ends in curve.places.beyond.values():
        places = np.concatenate([np.linspace(*end, 20) for end in ends])
        assert not any(((low < places) & (places < high)).any() for low, high in curve.places.inside)


def test_periodic_and_trend_have_their_names() -> None:
    x = np.linspace(-3, 5, 50)
    wave, trend = CURVES["periodic"].function, CURVES["trend"].function
    assert np.allclose(wave(x + 2), wave(x))
    assert np.allclose(trend(x + 2) - trend(x), 1)
    assert np.allclose(CURVES["cubic"].function(x / 4) * 30, x**3)


def test_methods_get_the_prior_that_they_lack(tmp_path: Any) -> None:
    """Deviations of three over the root of fan_in; the process for NUTS; nothing where a method has its own."""
    run = Run(0, "cpu", tmp_path, lambda _: None)
    x, y = torch.randn(5, 1), torch.randn(5)

    def prior(**options: Any) -> Any:
        return posed(Toy(width=9, **options), x, y, Gaussian(0.1), 1, run).train.prior

    found = prior(method="mfvi")
    assert isinstance(found, IndependentNormal)
    assert found.scale == {"0": 3.0, "2": 1.0}
    assert isinstance(prior(method="nuts", prior="process"), NumpyroPrior)
    assert all(prior(method=name) is None for name in OWN_PRIOR)


def test_only_latents_of_inputs_are_learned_anew() -> None:
    net, train = small(conditional="det")
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    assert free_inputs_alone(net) == 2 * 3 * 2  # means and deviations of two inputs and the constant unit
    params = MetaGPParams.model_validate({"training": {"steps": 20, "batch_size": 7, "learning_rate": 0.1}})
    fit(net, train, params, stream(5), SILENT)
    changed = {name for name, value in net.named_parameters() if not torch.equal(before[name], value)}
    assert changed == {"units.means.0", "units.log_stds.0"}


def test_no_number_of_the_paper_is_made_up() -> None:
    assert all(row.compared is None for row in paper.get("gp_prior").published())
