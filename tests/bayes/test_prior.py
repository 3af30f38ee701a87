"""Priors against torch's and NumPyro's densities, in every method that takes one, and refused where they do not fit."""

from typing import Any

import jax
import numpy as np
import pytest
import torch
from problems import Conjugate, conjugate, stream
from pydantic import ValidationError
from torch import Tensor, nn
from torch.distributions import Normal

from bnnbench.bayes.identity import identity
from bnnbench.bayes.jax_density import log_density
from bnnbench.bayes.likelihood import Gaussian, LearnedNoise
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import LinearNet, WholeNet, weight_shapes
from bnnbench.bayes.nuts import NUTSParams
from bnnbench.bayes.prior import IndependentNormal, IsotropicNormal, NumpyroPrior, Prior, Product, typical_precision
from bnnbench.bayes.target import Target
from bnnbench.harness import registry

NET = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
SHAPES = weight_shapes(WholeNet(NET))
LIKE = torch.zeros(1, dtype=torch.float64)
PRIORS: dict[str, tuple[Prior, Any, Any]] = {  # with its means and scales by parameter
    "isotropic": (IsotropicNormal(4.0), [0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]),
    "one scale": (IndependentNormal(0.3), [0, 0, 0, 0], [0.3, 0.3, 0.3, 0.3]),
    "layers": (IndependentNormal({"0": 0.5, "2": 2.0}, {"": 0.0, "2.bias": 1.0}), [0, 0, 0, 1], [0.5, 0.5, 2, 2]),
    "weights": (
        IndependentNormal({"": 1.0, "0.weight": torch.arange(1.0, 4.0)}),
        [0, 0, 0, 0],
        [torch.arange(1.0, 4.0).expand(4, 3), 1.0, 1.0, 1.0],
    ),
}


def reference(means: Any, scales: Any) -> Normal:
    spread = [
        torch.cat(
            [torch.as_tensor(v).double().expand(s).reshape(-1) for v, s in zip(part, SHAPES.values(), strict=True)]
        )
        for part in (means, scales)
    ]
    return Normal(spread[0], spread[1])


@pytest.mark.parametrize("kind", PRIORS)
def test_the_density_is_torchs_and_the_same_in_jax(kind: str) -> None:
    prior, means, scales = PRIORS[kind]
    density, normal = prior.on(SHAPES, LIKE), reference(means, scales)
    theta = torch.randn(5, 21, generator=stream(), dtype=torch.float64)
    expected = normal.log_prob(theta).sum(1)
    assert torch.allclose(density.log_prob(theta), expected)
    with jax.enable_x64(True):
        in_jax = np.array([density.log_prob_jax(jax.numpy.asarray(draw.numpy())) for draw in theta])
    assert np.allclose(np.diff(in_jax), expected.diff().numpy())


@pytest.mark.parametrize("kind", PRIORS)
def test_draws_have_the_means_and_scales_of_the_prior(kind: str) -> None:
    prior, means, scales = PRIORS[kind]
    draws, normal = prior.on(SHAPES, LIKE).sample(4000, stream()), reference(means, scales)
    assert draws.dtype == torch.float64
    z = (draws - normal.mean) / normal.stddev
    assert (z.mean(0).abs() < 4.5 / 4000**0.5).all()
    assert ((z.std(0) - 1).abs() < 4.5 / 8000**0.5).all()


def test_a_typical_precision_is_exact_for_one_scale_and_between_those_of_several() -> None:
    assert typical_precision(IsotropicNormal(7.0).on(SHAPES, LIKE)) == 7.0
    assert typical_precision(IndependentNormal(0.5).on(SHAPES, LIKE)) == pytest.approx(4.0, rel=0.05)
    mixed = IndependentNormal({"0": 0.1, "2": 10.0}).on(SHAPES, LIKE)
    assert 0.01 < typical_precision(mixed) < 100


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (IndependentNormal({"0": 1.0}), "no scale for parameter '2.weight'"),
        (IndependentNormal({"": 1.0, "3": 1.0}), "a scale for '3', and the net has '0.weight'"),
        (IndependentNormal(1.0, {"0": 1.0}), "no mean for parameter '2.weight'"),
        (IndependentNormal({"": 1.0, "0": 0.0}), "a scale is not positive"),
        (IndependentNormal({"": 1.0, "0.bias": torch.ones(3)}), r"the scale of '0.bias' has shape \(3,\), and the par"),
    ],
)
def test_a_prior_that_does_not_fit_the_net_is_refused(prior: Prior, text: str) -> None:
    with pytest.raises(ValueError, match=f"^prior: {text}"):
        prior.on(SHAPES, LIKE)


@pytest.mark.parametrize("precision", [0.0, -1.0, float("nan"), float("inf")])
def test_a_precision_is_a_positive_number(precision: float) -> None:
    with pytest.raises(ValueError, match=r"^prior: a precision"):
        IsotropicNormal(precision)


def layered(problem: Conjugate) -> tuple[Train, Tensor, Tensor]:
    """The conjugate problem under a prior of unequal scales and means, and its posterior's mean and covariance."""
    x, y, noise = problem.train.x, problem.train.y, 0.5
    prior = IndependentNormal({"weight": 0.2, "bias": 0.05}, {"": 0.0, "bias": 1.0})
    design = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    precision = torch.diag(torch.tensor([0.2, 0.2, 0.05], dtype=torch.float64) ** -2)
    covariance = (design.T @ design / noise**2 + precision).inverse()
    mean = covariance @ (design.T @ y.double() / noise**2 + precision @ torch.tensor([0, 0, 1.0]).double())
    return Train(x, y, Gaussian(noise), prior=prior), mean, covariance


SAMPLERS: dict[str, dict[str, Any]] = {
    "hmc": {"training": None, "sampling": {"chains": 4, "draws": 800}},
    "nuts": {"training": None, "chains": 4, "warmup": 300, "draws": 800, "chain_method": "sequential"},
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_have_the_conjugate_posterior_of_a_prior_of_unequal_scales(name: str) -> None:
    problem = conjugate()
    train, mean, covariance = layered(problem)
    posterior: Any = registry.method(name).fit(problem.model, train, SAMPLERS[name], stream())
    std, draws = covariance.diagonal().sqrt(), posterior.chains.flatten(0, 1).double()
    assert ((draws.mean(0) - mean).abs() < 5 * std / posterior.effective_size.sqrt()).all()
    assert torch.allclose(torch.cov(draws.T), covariance, rtol=0.15, atol=3e-4)


POINTS: dict[str, dict[str, Any]] = {
    "map": {"training": {"epochs": 600, "learning_rate": 0.02}},
    "ensemble": {"members": 1, "training": {"epochs": 600, "learning_rate": 0.02}},
    "dropout": {"first": True, "rate": 0.0, "training": {"epochs": 600, "learning_rate": 0.02}},
    "csghmc": {"cycles": 1, "epochs_per_cycle": 300, "draws_per_cycle": 1, "noisy_epochs": 1, "temperature": 0},
    "swag": {"training": None, "learning_rate": 0.05, "snapshots": 300},
}


@pytest.mark.parametrize("name", POINTS)
def test_point_estimates_are_the_mode_under_the_prior(name: str) -> None:
    problem = conjugate()
    train, mean, covariance = layered(problem)
    posterior: Any = registry.method(name).fit(problem.model, train, POINTS[name], stream())
    found = posterior.distribution.mean if name == "swag" else posterior.sample(1)[0]
    slack = 0.3 if name == "swag" else 0.02  # the average of a path from 0, in standard deviations
    assert ((found.double() - mean).abs() < slack * covariance.diagonal().sqrt()).all()


def test_mean_field_has_the_optimum_of_its_bound_under_the_prior() -> None:
    """The best independent normal of a normal posterior has its mean, and variances 1 / precision_ii."""
    problem = conjugate()
    train, mean, covariance = layered(problem)
    training = {"epochs": 1500, "learning_rate": 0.01, "batch_size": 64}
    posterior: Any = registry.method("mfvi").fit(
        problem.model, train, {"kl_weight": 1.0, "training": training}, stream()
    )
    std = covariance.inverse().diagonal().rsqrt()
    assert ((posterior.distribution.mean.double() - mean).abs() < 0.5 * std).all()
    assert torch.allclose(posterior.distribution.std.double(), std, rtol=0.15)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hmc", {"precision": 510.0}),
        ("nuts", {"precision": 2.0}),
        ("hierarchical nuts", {"precision": 2.0}),
        ("mfvi", {"precision": 2.0}),
        ("laplace", {"precision": "evidence"}),
        ("refine", {"precision": 2.0}),
        ("map", {"training": {"weight_decay": 0.1}}),
        ("dropout", {"first": True, "training": {"weight_decay": 0.1}}),
        ("swag", {"weight_decay": 0.1}),
        ("csghmc", {"weight_decay": 0.1}),
    ],
)
def test_a_prior_with_the_data_and_one_by_an_option_are_an_error(name: str, options: dict[str, Any]) -> None:
    problem = conjugate()
    prior: Any = NumpyroPrior(horseshoe) if "hierarchical" in name else IsotropicNormal(1.0)
    train = Train(problem.train.x, problem.train.y, Gaussian(0.5), prior=prior)
    option = "weight_decay" if "weight_decay" in str(options) else "precision"
    with pytest.raises(
        ValueError, match=rf"^prior: it is given with the data \(Train.prior\) and by the option '{option}'"
    ):
        registry.method(name.split()[-1]).fit(problem.model, train, options, stream())


def test_an_isotropic_prior_with_the_data_is_the_option_of_the_same_precision() -> None:
    problem = conjugate()
    x, y = problem.train.x, problem.train.y
    for name, options in {
        "hmc": {"sampling": {"draws": 8, "warmup": 4}},
        "laplace": {},
        "refine": {},
        "mfvi": {},
    }.items():
        quick = {**options, "training": {"epochs": 2}} if name == "mfvi" else {**options, "training": None}
        with_option = {"precision": 3.0, **quick}
        by_option: Any = registry.method(name).fit(problem.model, Train(x, y, Gaussian(0.5)), with_option, stream())
        train = Train(x, y, Gaussian(0.5), prior=IsotropicNormal(3.0))
        by_data: Any = registry.method(name).fit(problem.model, train, quick, stream())
        assert torch.equal(by_option.sample(4, stream()), by_data.sample(4, stream())), name


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("laplace", IndependentNormal(1.0)),
        ("refine", IndependentNormal(1.0)),
        *((name, NumpyroPrior(lambda shapes: {})) for name in ("mfvi", "hmc", "laplace", "refine")),
    ],
)
def test_methods_refuse_priors_that_they_cannot_take_by_name(name: str, prior: Any) -> None:
    problem = conjugate()
    with pytest.raises(ValueError, match=f"^prior: {name} needs a"):
        registry.method(name).fit(problem.model, Train(problem.train.x, problem.train.y, Gaussian(0.5), prior=prior))


@pytest.mark.parametrize("prior", [1.0, "normal", IsotropicNormal, lambda shapes: {}])
def test_a_prior_is_one_and_no_class_or_number(prior: Any) -> None:
    with pytest.raises(TypeError, match=r"^prior: "):
        Train(torch.zeros(3, 1), torch.zeros(3), Gaussian(1.0), prior=prior)


def test_a_checkpoint_knows_the_prior() -> None:
    def known(prior: Any) -> Any:
        train = Train(torch.zeros(3, 3), torch.zeros(3), Gaussian(1.0), prior=prior)
        return identity("nuts", NUTSParams(), NET, train)

    priors: list[Any] = [
        None,
        IsotropicNormal(1.0),
        IsotropicNormal(2.0),
        IndependentNormal(1.0),
        IndependentNormal(2.0),
    ]
    priors += [IndependentNormal({"": 1.0, "0": scale}) for scale in (1.0, 2.0)]
    priors += [IndependentNormal(torch.full((1,), scale)) for scale in (1.0, 2.0)]
    sums = [known(prior)["data"] for prior in priors]
    assert len(set(sums)) == len(sums)
    assert known(IndependentNormal({"": 1.0, "0": 2.0})) == known(IndependentNormal({"0": 2.0, "": 1.0}))


def horseshoe(shapes: Any) -> dict[str, Any]:
    """One unknown scale for the weights, a known one for the bias."""
    import numpyro
    import numpyro.distributions as dist

    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand(shapes["weight"]).to_event(2))
    bias = numpyro.sample("bias", dist.Normal(0.0, 1.0).expand(shapes["bias"]).to_event(1))
    return {"weight": tau * raw, "bias": bias}


def test_nuts_under_a_hierarchical_prior_has_the_posterior_of_a_quadrature_and_keeps_its_latents() -> None:
    """Given tau the model is conjugate, so that the posterior of tau is a density on a line."""
    problem = conjugate(n=12)
    x, y = problem.train.x.double(), problem.train.y.double()
    train = Train(problem.train.x, problem.train.y, Gaussian(0.5), prior=NumpyroPrior(horseshoe))
    options = {**SAMPLERS["nuts"], "target_acceptance": 0.95, "warmup": 400, "draws": 1500}
    posterior: Any = registry.method("nuts").fit(problem.model, train, options, stream())
    assert set(posterior.sites) == {"tau", "raw", "bias"}
    weights = posterior.sites["tau"][..., None, None] * posterior.sites["raw"]
    assert torch.allclose(posterior.chains[..., :2], weights.flatten(2).float(), atol=1e-5)
    taus = torch.linspace(0.001, 5, 2000, dtype=torch.float64)
    covariance = 0.25 * torch.eye(12) + 1.0 + taus[:, None, None] ** 2 * (x @ x.T)
    marginal = torch.distributions.MultivariateNormal(torch.zeros(12).double(), covariance).log_prob(y)
    density = (marginal - 0.5 * taus.square()).softmax(0)
    mean = density @ taus
    std = (density @ (taus - mean).square()).sqrt()
    from bnnbench.bayes.diagnostics import effective_size

    tau = posterior.sites["tau"].double()
    assert abs(tau.mean() - mean) < 5 * std / effective_size(tau[..., None]).sqrt()
    assert tau.std().item() == pytest.approx(std.item(), rel=0.15)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda shapes: {}, r"it returned weights \[\], and the net has \['bias', 'weight'\]"),
        (lambda shapes: {"weight": np.zeros((2, 1)), "bias": np.zeros(1)}, r"'weight' has shape \(2, 1\), and the par"),
    ],
)
def test_a_hierarchical_prior_returns_a_weight_for_each_parameter(function: Any, text: str) -> None:
    problem = conjugate()
    train = Train(problem.train.x, problem.train.y, Gaussian(0.5), prior=NumpyroPrior(function))
    with pytest.raises(ValueError, match=f"^prior: {text}"):
        registry.method("nuts").fit(problem.model, train, SAMPLERS["nuts"], stream())


def test_a_target_in_jax_has_the_prior_of_each_part() -> None:
    net = LearnedNoise().extended(nn.Sequential(nn.Linear(3, 1))).double()
    whole = WholeNet(net)
    x, y = torch.randn(9, 3, generator=stream(), dtype=torch.float64), torch.randn(9, generator=stream(1)).double()
    weights = IndependentNormal({"0.weight": 0.5, "0.bias": 2.0}).on(weight_shapes(whole), LIKE)
    density = Product((weights, IndependentNormal(0.3, -2.0).on({"": torch.Size([1])}, LIKE)), (4, 1))
    target = Target(whole, x, y, LearnedNoise(), density)
    theta = torch.randn(4, 5, generator=stream(2), dtype=torch.float64)
    with jax.enable_x64(True):
        in_jax = [float(log_density(target, True)(draw.numpy())) for draw in theta]
    assert np.allclose(np.diff(in_jax), target(theta).detach().diff().numpy())
    assert density.sample(3, stream()).shape == (3, 5)


def test_options_of_a_prior_are_still_checked() -> None:
    with pytest.raises(ValidationError):
        registry.method("hmc").params.model_validate({"precision": -1.0})
    assert sum(s.numel() for s in weight_shapes(LinearNet(2, 1, bias=False)).values()) == 2
