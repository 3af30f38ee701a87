"""Refinement: better than its base where that is wrong, harmless where it is right, and its switches."""

import pytest
import torch
from problems import classes, conjugate, grid, mmd, skewed, stream
from test_laplace import at_mode
from torch import nn

from bnnbench.bayes.flows import flow
from bnnbench.bayes.gaussian import Standard
from bnnbench.bayes.journal import SILENT
from bnnbench.bayes.likelihood import Categorical
from bnnbench.bayes.method import Train
from bnnbench.bayes.refine import Refined, fit_flow, refine
from bnnbench.bayes.subspace import Subspace, subspace
from bnnbench.bayes.target import Target
from bnnbench.bayes.training import Training
from bnnbench.bayes.weights import NetPosterior

TOY = Training(learning_rate=1e-2, epochs=1500, batch_size=50)


class Curve:
    """A journal that keeps what is logged."""

    def __init__(self) -> None:
        self.elbo: list[float] = []

    steps, checkpoint, restore = SILENT.steps, SILENT.checkpoint, SILENT.restore

    def log(self, step: int, **values: float) -> None:
        self.elbo.append(-values["loss"])


def test_a_whitened_flow_is_nearer_to_a_skewed_posterior_than_its_base() -> None:
    target = skewed()
    base = at_mode(target)
    std = base.marginal_variances.sqrt()
    reference = grid(target, base.mean + std, 12 * std)
    samples, width = reference.sample(3000), 2 * std.norm().item()
    refined = Refined(flow("radial", 5, 2, stream(), like=base.mean), base, whitened=True)
    curve = Curve()
    fit_flow(refined, target, TOY, 32, stream(1), curve)
    by_flow = mmd(refined.sample(3000, stream(2)), samples, width)
    by_base = mmd(base.sample(3000, stream(2)), samples, width)
    floor = abs(mmd(reference.sample(3000, 5), samples, width))
    assert by_base > 5 * floor  # the base is measurably wrong
    assert by_flow < 0.4 * by_base
    # The evidence bound rises, and never above the evidence.
    evidence = (torch.logsumexp(target(reference.points), 0) + reference.cell.prod().log()).item()
    late = sum(curve.elbo[-40:]) / 40
    assert late > sum(curve.elbo[:10]) / 10
    assert late < evidence + 0.01
    assert late == pytest.approx(evidence, abs=0.1)


@pytest.mark.parametrize("batch_size", [64, 16])
def test_refining_an_exact_posterior_keeps_it(batch_size: int) -> None:
    problem = conjugate()
    params = {
        "training": None,
        "precision": problem.precision,
        "laplace": {"precision": problem.precision, "centre": "mode"},
        "optimisation": {"epochs": 300, "batch_size": batch_size, "learning_rate": 1e-3},
        "samples": 8,
        "identity": True,
    }
    posterior = refine.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, NetPosterior)
    draws = posterior.sample(20_000, stream(1)).double()
    std = problem.covariance.diagonal().sqrt()
    assert ((draws.mean(0) - problem.mean).abs() < 0.1 * std).all()
    assert torch.allclose(draws.std(0), std, rtol=0.05)


def test_a_flow_undoes_a_mismatch_of_the_prior_precision() -> None:
    """Refinement, section 5.3: a base that is too wide is contracted by pure radial layers."""
    net, theta, features, labels = classes(300, 4, 3)
    target = Target(net, features, labels, Categorical(), 50.0)
    exact = at_mode(target)
    wide = type(exact)(exact.mean, exact.curvature, 1.0)
    refined = Refined(flow("radial", 5, net.n_params, stream(), like=theta), wide)
    fit_flow(refined, target, Training(learning_rate=1e-2, epochs=1500, batch_size=300), 4, stream(1), SILENT)
    excess = (wide.sample(4000, stream(2)) - exact.mean).norm(dim=1).mean()
    left = (refined.sample(4000, stream(2)) - exact.mean).norm(dim=1).mean()
    wanted = (exact.sample(4000, stream(2)) - exact.mean).norm(dim=1).mean()
    assert excess > 1.5 * wanted
    assert left - wanted < 0.1 * (excess - wanted)


def images() -> tuple[nn.Module, Train]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(60, 4, generator=stream())
    return net, Train(x, x[:, :3].argmax(1))


QUICK = {"training": {"epochs": 2}, "optimisation": {"epochs": 2, "learning_rate": 1e-2}, "precision": 5.0}


@pytest.mark.parametrize("kind", ["radial", "planar", "spline"])
@pytest.mark.parametrize("base", ["laplace", "standard"])
@pytest.mark.parametrize("whitened", [False, True])
def test_every_flow_and_base_fits_a_net(kind: str, base: str, whitened: bool) -> None:
    net, train = images()
    posterior = refine.fit(net, train, {**QUICK, "flow": kind, "base": base, "whitened": whitened}, stream())
    assert isinstance(posterior, NetPosterior)
    draws = posterior.sample(7, stream())
    assert draws.shape == (7, 27)
    assert torch.isfinite(draws).all()


def test_all_layers() -> None:
    net, train = images()
    laplace = {"scope": "all", "structure": "diagonal", "precision": 5.0}
    posterior = refine.fit(net, train, {**QUICK, "laplace": laplace}, stream())
    assert isinstance(posterior, NetPosterior)
    assert posterior.sample(3, stream()).shape == (3, 4 * 8 + 8 + 27)


@pytest.mark.parametrize("zero_rest", [False, True])
def test_a_subspace_leaves_the_other_weights_where_they_are(zero_rest: bool) -> None:
    net, train = images()
    params = {**QUICK, "training": None, "subspace": 6, "zero_rest": zero_rest}
    posterior = refine.fit(net, train, params, stream())
    assert isinstance(posterior, NetPosterior)
    assert isinstance(posterior.net, Subspace)
    theta = posterior.net.full(posterior.sample(5, stream()))
    trained = torch.cat([p.detach().reshape(-1) for p in net[2].parameters()])  # type: ignore[index]
    kept = torch.ones(27, dtype=torch.bool)
    kept[posterior.net.chosen] = False
    assert kept.sum() == 21
    assert (posterior.net.chosen.diff() > 0).all()
    assert torch.equal(theta[0, kept], torch.zeros(21) if zero_rest else trained[kept])
    assert theta[:, ~kept].std(0).min() > 0


def test_a_subspace_is_the_marginal_of_the_largest_variances() -> None:
    base = at_mode(skewed())
    chosen, marginal = subspace(base, 1)
    assert chosen.item() == base.marginal_variances.argmax().item()
    assert marginal.root.square().item() == pytest.approx(base.marginal_variances.max().item())
    e = torch.randn(4, 1, generator=stream(), dtype=torch.float64)
    assert torch.allclose(marginal.pull(marginal.push(e)), e)


def test_a_subspace_larger_than_the_parameters_is_refused() -> None:
    net, train = images()
    with pytest.raises(ValueError, match="28 coordinates of 27 parameters"):
        refine.fit(net, train, {**QUICK, "training": None, "subspace": 28}, stream())


def test_a_standard_base_is_its_own_noise() -> None:
    base = Standard(torch.zeros(3))
    assert base.log_det == 0
    assert torch.equal(base.push(torch.ones(2, 3)), torch.ones(2, 3))
    assert torch.equal(base.rows(torch.tensor([2, 0])), torch.eye(3)[[2, 0]])
