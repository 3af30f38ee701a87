"""The No-U-Turn sampler of NumPyro, on the last layer or on all layers of a net whose layers JAX knows."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from pydantic import Field, PositiveFloat
from torch import Generator, Tensor, nn

from bnnbench.bayes.chains import ChainPosterior, Chains
from bnnbench.bayes.chosen_prior import any_prior, density_of
from bnnbench.bayes.gaussian import Affine
from bnnbench.bayes.jax_arrays import to_jax
from bnnbench.bayes.jax_density import HiddenPart, hidden_part, integrated_model, log_density, numpyro_model
from bnnbench.bayes.journal import Journal, Stages, State
from bnnbench.bayes.laplace import matched
from bnnbench.bayes.linear_output import draw_weights
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import Train, method
from bnnbench.bayes.network import InferredPart, Scope, WholeNet, check_noise, evaluate, inferred_part
from bnnbench.bayes.noise import normal
from bnnbench.bayes.numpyro_chains import NUTSSampling, run_chains, run_model
from bnnbench.bayes.prior import NumpyroPrior, Prior
from bnnbench.bayes.target import Target
from bnnbench.bayes.training import Training

if TYPE_CHECKING:
    import jax


class NUTSParams(NUTSSampling):
    """Parameters of NUTS."""

    training: Training | None = Field(Training(), description="none where the model comes trained")
    precision: PositiveFloat = Field(510.0, description="of the prior")
    scope: Scope = "last"
    whitened: bool = Field(False, description="sample in the coordinates of the full Laplace approximation; P^2 memory")
    integrate_output: bool = Field(
        False,
        description="all layers of a regression under a NumpyroPrior: the last one is integrated out of what is "
        "sampled, and drawn afterwards; the posterior is the same",
    )


def sample(
    target: Target,
    start: Tensor,
    sampling: NUTSSampling,
    generator: Generator | None,
    journal: Journal,
    whitening: Affine | None = None,
) -> Chains:
    """Chains [K, n, P] from starting points [K, P], with the sampler's record.

    `whitening` changes the coordinates that are sampled, not the posterior; starting points are values of theta in
    either case. `ValueError` where the log posterior or its gradient is not finite at a starting point.
    """
    import jax

    with jax.enable_x64(sampling.float64):
        density = log_density(target, sampling.float64)
        if whitening is None:
            return run_chains(density, start, sampling, generator, journal)
        found = run_chains(_whitened(density, whitening), whitening.pull(start), sampling, generator, journal)
        return found._replace(draws=whitening.push(found.draws))


def _whitened(density: Callable[["jax.Array"], "jax.Array"], whitening: Affine) -> Callable[["jax.Array"], "jax.Array"]:
    """The density of z under theta = mean + R z."""
    mean = whitening.mean
    root, centre = to_jax(whitening.rows(torch.arange(len(mean), device=mean.device))), to_jax(mean)
    return lambda z: density(centre + root @ z)


@method("nuts", NUTSParams)
def nuts(model: nn.Module, train: Train, params: NUTSParams, generator: Generator, journal: Journal) -> ChainPosterior:
    """Trains the net, then samples its last layer; with scope "all", samples all layers. Chains start at draws of the
    prior.

    Whitened chains start at draws of the Laplace approximation. Under a `NumpyroPrior` with scope "last", the net below
    is trained with weight decay alone.
    """
    check_noise(model, params.scope, "nuts")
    prior = any_prior(train, params)
    if isinstance(prior, NumpyroPrior) and params.whitened:
        raise ValueError("whitened: a NumpyroPrior has no density and so no Laplace approximation; leave it out")
    stages = Stages(journal, generator)
    net = deepcopy(model)
    if params.scope == "last":
        data = replace(train, prior=None) if isinstance(prior, NumpyroPrior) else train
        fit = stages.run("map", lambda inner: trained(model, data, params.training, generator, inner).state_dict())
        net.load_state_dict(fit)
    part = inferred_part(net, params.scope, train.x)

    def run(journal: Journal) -> State:
        if isinstance(prior, NumpyroPrior):
            return _hierarchical(part, train, prior, params, generator, journal)._asdict()
        return _chains(part, train, prior, params, generator, journal)._asdict()

    sampled = Chains(**stages.run("chains", run))
    return ChainPosterior.of(part.net, train.likelihood, sampled, params.target_acceptance)


def _chains(
    part: InferredPart, train: Train, prior: Prior, params: NUTSParams, generator: Generator, journal: Journal
) -> Chains:
    """Chains under a prior with a density; they start at draws of it or, whitened, of the Laplace approximation."""
    density = density_of(prior, part.inner, train, part.theta)
    target = Target(part.inner, part.inputs, train.y, train.likelihood, density)
    if not params.whitened:
        return sample(target, density.sample(params.chains, generator), params, generator, journal)
    whitening = matched(part, target, "full")
    start = whitening.push(normal((params.chains, len(part.theta)), generator, part.theta))
    return sample(target, start, params, generator, journal, whitening)


def _hierarchical(
    part: InferredPart, train: Train, prior: NumpyroPrior, params: NUTSParams, generator: Generator, journal: Journal
) -> Chains:
    """Chains under a prior that NumPyro samples."""
    import jax

    build = integrated_model if params.integrate_output else numpyro_model
    with jax.enable_x64(params.float64):
        model = build(part.inner, part.inputs, train.y, train.likelihood, prior, params.float64)
        found = run_model(model, params, generator, journal, part.theta)
    if not params.integrate_output:
        return found
    return _with_output(found, hidden_part(part.inner, train.likelihood, prior), part.inputs, train, generator)


def _with_output(found: Chains, split: HiddenPart, x: Tensor, train: Train, generator: Generator) -> Chains:
    """The chains with a draw of the last layer added to every draw of the other layers."""
    theta = found.draws.flatten(0, 1).double()
    noise = theta[:, -1].exp() if split.learns_noise else theta.new_full((len(theta),), train.likelihood.noise)  # type: ignore[attr-defined]
    hidden = theta[:, :-1] if split.learns_noise else theta
    features = evaluate(WholeNet(deepcopy(split.module).double()), hidden, x.double())
    phi = torch.cat([features, torch.ones_like(features[..., :1])], dim=2)
    output = draw_weights(phi, train.y.double(), split.scale, noise, generator)
    whole = torch.cat([hidden, output, theta[:, hidden.shape[1] :]], dim=1)
    return found._replace(draws=whole.unflatten(0, found.draws.shape[:2]).to(found.draws))
