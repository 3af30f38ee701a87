"""Scale mixtures: the log density is SciPy's, draws have the moments of closed forms, and NUTS samples the same law."""

from typing import Any

import jax
import numpy as np
import pytest
import torch
from numpyro.infer.util import log_density
from pydantic import ValidationError
from scipy import stats
from scipy.integrate import quad
from scipy.special import betaln, logsumexp
from torch import Generator, nn

from bnnbench.bayes.likelihood import LearnedNoise
from bnnbench.bayes.method import Train
from bnnbench.bayes.nuts import NUTSParams, nuts
from bnnbench.bayes.priors import shrinkage
from bnnbench.bayes.priors.mixture import FAMILIES, ScaleMixture, mixture
from bnnbench.bayes.priors.scale_mixture import draws, scale_mixture

SHAPES = {"0.weight": (5, 7), "0.bias": (5,), "2.weight": (1, 5), "2.bias": (1,)}
N = 80
CASES: dict[str, ScaleMixture] = {
    **{family: mixture(family) for family in FAMILIES},
    "local shares": mixture("dirichlet-student", local="weight"),
    "version B": mixture("dirichlet-horseshoe", version="B"),
    "version C": mixture("dirichlet-horseshoe", version="C"),
    "wide spread": mixture("dirichlet-student", spread="root-n", bound=None),
}


def values(params: ScaleMixture) -> dict[str, Any]:
    """A draw of all sites of a net's prior."""
    from numpyro import handlers

    with jax.enable_x64(True):
        prior = scale_mixture(params, 5, N)
        trace = handlers.trace(handlers.seed(prior.function, jax.random.PRNGKey(3))).get_trace(SHAPES)
    return {name: site["value"] for name, site in trace.items() if site["type"] == "sample"}


def scipy_log_density(params: ScaleMixture, at: dict[str, Any]) -> float:
    """Site by site, from the definitions."""
    v = {name: np.asarray(value, float) for name, value in at.items()}
    rest = 5**-0.5 if params.version == "C" else 1.0
    total = sum(stats.norm.logpdf(v[name], 0, rest).sum() for name in ("0.bias", "2.weight", "2.bias"))
    total += stats.norm.logpdf(v["0.raw"]).sum()
    noise = v["noise"]
    total += (
        stats.lognorm.logpdf(noise, 0.5) if params.version == "C" else stats.invgamma.logpdf(noise, 3, scale=2)
    ).sum()
    if params.spread != "known":
        tau0 = {"unit": 1.0, "sparse": 4 / 3 / N**0.5, "root-n": N**-0.5}[params.spread]
        total += stats.halfcauchy.logpdf(v["0.global"], scale=tau0)
    if params.local != "none":
        high = np.inf if params.version == "C" or params.bound is None else params.bound
        inside = stats.t.cdf(high, params.freedom) - 0.5
        total += (stats.t.logpdf(v["0.local"], params.freedom) - np.log(inside)).sum()
        total += stats.invgamma.logpdf(v["0.slab"], 2, scale=4).sum()
    if params.share == "dirichlet":
        total += stats.loggamma.logpdf(v["0.share"], 0.1).sum()
    if params.share == "beta":
        t, a, b = v["0.share"], 0.1, 0.6
        total += (-a * np.logaddexp(0, -t) - b * np.logaddexp(0, t) - betaln(a, b)).sum()
    if params.laplace:
        total += stats.gamma.logpdf(v["0.global"], 0.7, scale=2).sum() + stats.expon.logpdf(v["0.local"], scale=2).sum()
    return float(total)


@pytest.mark.parametrize("case", CASES)
def test_the_log_density_is_that_of_scipy(case: str) -> None:
    at = values(CASES[case])
    with jax.enable_x64(True):
        found, _ = log_density(scale_mixture(CASES[case], 5, N).function, (SHAPES,), {}, at)
    assert float(found) == pytest.approx(scipy_log_density(CASES[case], at), rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("case", ["horseshoe", "dirichlet-horseshoe", "beta-student", "version B"])
def test_the_scale_of_a_weight_is_that_of_the_definition(case: str) -> None:
    params = CASES[case]
    with jax.enable_x64(True):
        drawn = {name: np.asarray(value, float) for name, value in draws(params, (5, 7), N, 50).items()}
    tau, local, slab = drawn["0.global"][:, None, None], drawn["0.local"], drawn["0.slab"]
    shares = np.ones((50, 5, 7))
    if params.share == "dirichlet":
        shares = np.exp(drawn["0.share"] - logsumexp(drawn["0.share"], axis=-1, keepdims=True))
    if params.share == "beta":
        shares = 1 / (1 + np.exp(-drawn["0.share"]))
    regularised = slab * local**2 / (slab + tau**2 * local**2)
    scale = tau * np.sqrt(regularised * shares) * (7**-0.5 if params.version == "B" else 1.0)
    assert np.allclose(drawn["0.scale"], scale, rtol=1e-10)
    assert np.allclose(drawn["weight"], scale * drawn["0.raw"], rtol=1e-10)


@pytest.mark.parametrize(("kind", "correlation"), [("dirichlet", -1 / 9), ("beta", 0.0)])
def test_shares_have_the_moments_of_their_law(kind: Any, correlation: float) -> None:
    """Means, variances and correlations of 200,000 vectors; a correlation has a standard error of 0.002."""
    with jax.enable_x64(True):
        found = draws(ScaleMixture(share=kind), (1, 10), N, 200_000)
    shares = np.asarray(found["0.scale"], float)[:, 0] ** 2
    assert np.allclose(shares.mean(0), 0.1, atol=0.003)
    assert np.allclose(shares.var(0), 0.1 * 0.9 / (1 + 1.0), atol=0.002)
    off = np.corrcoef(shares.T)[np.triu_indices(10, 1)]
    assert np.allclose(off, correlation, atol=0.012)
    assert shrinkage.share_correlation(10) == pytest.approx(-1 / 9)
    for s in (1.0, 5.0):
        assert (1 / (1 + s * shares)).mean() == pytest.approx(
            float(shrinkage.expected_shrinkage(s, 0.1, 10)), abs=0.002
        )


@pytest.mark.parametrize(("freedom", "bound"), [(1.0, 50.0), (3.0, 5.0), (3.0, None)])
def test_local_scales_follow_their_law(freedom: float, bound: float | None) -> None:
    from bnnbench.bayes.priors.distributions import HalfStudent

    with jax.enable_x64(True):
        drawn = np.asarray(HalfStudent(freedom, bound).sample(jax.random.PRNGKey(0), (20_000,)))
    high = np.inf if bound is None else bound
    inside = stats.t.cdf(high, freedom) - 0.5
    assert drawn.max() < high
    assert stats.kstest(drawn, lambda x: (stats.t.cdf(x, freedom) - 0.5) / inside).pvalue > 0.01


@pytest.mark.parametrize(("density", "freedom"), [("horseshoe", 1.0), ("shared", 1.0), ("shared", 3.0)])
@pytest.mark.parametrize("z", [0.3, 2.0])
def test_densities_of_the_shrinkage_factor_are_those_of_its_draws(density: str, freedom: float, z: float) -> None:
    """They integrate to 1, and their integral over (0.2, 0.8) is the share of 400,000 draws there (error 0.001)."""
    rng = np.random.default_rng(0)
    shares = rng.beta(0.5, 1.5, 400_000) if density == "shared" else 1.0
    kappa = 1 / (1 + z**2 * np.abs(rng.standard_t(freedom, 400_000)) ** 2 * shares)

    def at(k: float) -> float:
        if density == "horseshoe":
            return float(shrinkage.horseshoe_density(k, z))
        return float(shrinkage.shared_density(k, z, freedom, 0.5, 4))

    assert quad(at, 0.2, 0.8)[0] == pytest.approx(((kappa > 0.2) & (kappa < 0.8)).mean(), abs=0.004)
    # With kappa = sin^2 the singularities at both ends are gone.
    whole = quad(lambda u: at(np.sin(u) ** 2) * np.sin(2 * u), 1e-7, np.pi / 2 - 1e-4, limit=200)[0]
    assert whole == pytest.approx(1.0, abs=2e-2)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValidationError, match="local scales are regularised"):
        ScaleMixture(local="unit")
    with pytest.raises(ValidationError, match="laplace has scales of its own"):
        ScaleMixture(laplace=True)
    with pytest.raises(ValueError, match=r"^prior: 4 of 4 inputs are expected"):
        mixture("horseshoe").global_scale(4, 80)
    with pytest.raises(ValueError, match=r"^prior: 3 layers are to be shrunk, and the net has 2"):
        scale_mixture(mixture("dirichlet", layers=3), 5, N).function(SHAPES)  # type: ignore[arg-type]


@pytest.mark.slow
def test_ranks_of_the_truth_among_draws_are_uniform() -> None:
    """Simulation-based calibration (Talts et al. 2018) of a net of two units: 24 data sets, 63 draws each.

    Ranks of an output, the noise and the global scale among thinned draws; a chi-square test over four bins. Data are
    arguments of the compiled program, which all data sets share.
    """
    prior = scale_mixture(mixture("dirichlet-student", spread="unit"), 2, 12)
    settings: Any = jax.config
    before = settings.jax_use_simplified_jaxpr_constants
    settings.update("jax_use_simplified_jaxpr_constants", True)
    try:
        ranks = [_rank(seed, prior) for seed in range(24)]
    finally:
        settings.update("jax_use_simplified_jaxpr_constants", before)
    for one in np.array(ranks).T:
        counts = np.histogram(one, bins=4, range=(0, 64))[0]
        assert stats.chisquare(counts).pvalue > 0.005, counts


def _rank(seed: int, prior: Any) -> list[int]:
    from numpyro import handlers

    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    stream = Generator().manual_seed(seed)
    x = torch.rand(12, 3, generator=stream, dtype=torch.float64)
    shapes = {name: tuple(part.shape) for name, part in net.named_parameters()}
    with jax.enable_x64(True):
        trace = handlers.trace(handlers.seed(prior.function, jax.random.PRNGKey(seed)))
        sites = trace.get_trace(shapes)
        weights = handlers.seed(prior.function, jax.random.PRNGKey(seed))(shapes)
    truth = {name: torch.tensor(np.asarray(value)) for name, value in weights.items()}
    for name, part in net.named_parameters():
        part.data = truth[name]
    noise = float(truth["log_noise"].exp())
    clean = net(x).detach()[:, 0]
    y = clean + noise * torch.randn(12, generator=stream, dtype=torch.float64)
    options = NUTSParams(
        training=None, scope="all", chains=1, warmup=200, draws=630, integrate_output=True, max_tree_depth=7,
        target_acceptance=0.9, chain_method="sequential", start="uniform",
    )  # fmt: skip
    posterior: Any = nuts.fit(net, Train(x, y, LearnedNoise(), prior=prior), options, stream)
    theta = posterior.chains[0, ::10]
    outputs = posterior.net.outputs(theta, x[:1])[:, 0, 0]
    tau = posterior.sites["0.global"][0, ::10]
    return [
        int((outputs < clean[0]).sum()),
        int((theta[:, -1].exp() < noise).sum()),
        int((tau < float(sites["0.global"]["value"])).sum()),
    ]
