"""The paper's nets: tanh perceptrons under a scale mixture, their chains, and the parts of their draws."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.bayes.chains import ChainPosterior
from bnnbench.bayes.likelihood import Gaussian, LearnedNoise, Likelihood
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import WholeNet, evaluate
from bnnbench.bayes.prior import NumpyroPrior, Shapes
from bnnbench.bayes.priors.scale_mixture import scale_mixture
from bnnbench.evaluation import cost
from bnnbench.evaluation.networks import perceptron
from bnnbench.harness import registry
from bnnbench.harness.run import Run
from bnnbench.papers.dsm.settings import Fit, Regression


@dataclass(frozen=True)
class Fitted:
    """Chains of a net, and what they cost."""

    posterior: ChainPosterior
    cost: dict[str, float]

    @property
    def theta(self) -> Tensor:
        """All draws [S, P]."""
        return self.posterior.chains.flatten(0, 1)

    @property
    def net(self) -> WholeNet:
        """The function of theta."""
        assert isinstance(self.posterior.net, WholeNet)
        return self.posterior.net

    def outputs(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """f(x) [S, N] of a regression, at all draws or at those given."""
        return evaluate(self.net, self.theta if theta is None else theta, x)[..., 0]

    def parts(self, theta: Tensor) -> dict[str, Tensor]:
        """Draws by name: "first" [S, H, p], "bias" [S, H], the last layer's "output" [S, C, H]."""
        names = [name.removeprefix("net.") for name in self.net.shapes]
        sizes = [shape.numel() for shape in self.net.shapes.values()]
        named = {
            name: part.unflatten(1, shape)
            for name, part, shape in zip(names, theta.split(sizes, 1), self.net.shapes.values(), strict=True)
        }
        weights = [name for name in names if name.endswith("weight")]
        return {"first": named["0.weight"], "bias": named["0.bias"], "output": named[weights[-1]]}

    def with_first(self, theta: Tensor, first: Tensor) -> Tensor:
        """theta [S, P] with other first-layer weights [S, H, p], which are its beginning."""
        count = first[0].numel()
        return torch.cat([first.flatten(1), theta[:, count:]], dim=1)

    def spread(self, n: int) -> Tensor:
        """Positions of `n` draws spread evenly over all of them, or of all."""
        total = len(self.theta)
        return torch.arange(min(n, total)) * total // min(n, total)

    def site(self, name: str) -> Tensor:
        """Draws [S, ...] of a site of the prior, in double precision."""
        return self.posterior.sites[name].flatten(0, 1).double()


def fit(params: Fit, x: Tensor, y: Tensor, likelihood: Likelihood, n_outputs: int, run: Run) -> Fitted:
    """NUTS on all layers, in double precision; x [N, p], y [N]."""
    sizes = (x.shape[1], *[params.width] * params.depth, n_outputs)
    real = n_outputs == 1
    prior = scale_mixture(params.prior, params.width, len(x), isinstance(likelihood, LearnedNoise))
    if params.unused:
        prior = _with_unused(prior, params.unused)
    options = {**params.options(), "integrate_output": real and params.integrate_output}
    chosen: Any = registry.method("nuts")
    net, train = perceptron(sizes, nn.Tanh).double(), Train(x, y, likelihood, prior=prior)
    posterior, took = cost.measured(lambda: chosen.fit(net, train, options, run.generator("method"), run), run.device)
    return Fitted(posterior, took.of_fit())


def _with_unused(prior: NumpyroPrior, n: int) -> NumpyroPrior:
    """The prior with `n` more parameters that have a flat density and no effect, so that it is improper."""

    def function(shapes: Shapes) -> Mapping[str, Any]:
        import numpyro
        import numpyro.distributions as dist

        numpyro.sample("unused", dist.ImproperUniform(dist.constraints.real_vector, (), (n,)))
        return prior.function(shapes)

    return replace(prior, function=function, name=f"{prior.name}, {n} unused")


def likelihood_of(params: Regression) -> Likelihood:
    """Of standardised targets: a learned noise, or a known one, which a temperature T makes sqrt(T) times as large."""
    if params.noise is None:
        return LearnedNoise()
    return Gaussian(params.noise * params.temperature**0.5)
