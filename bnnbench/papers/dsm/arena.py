"""One posterior of the paper, sampled by one of several samplers and compared with long chains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import jax
import torch
from torch import Tensor, nn

from bnnbench.bayes.diagnostics import bulk_size, convergence
from bnnbench.bayes.jax_density import numpyro_model
from bnnbench.bayes.likelihood import LearnedNoise
from bnnbench.bayes.method import with_own_parameters
from bnnbench.bayes.network import WholeNet, evaluate
from bnnbench.bayes.priors.scale_mixture import scale_mixture
from bnnbench.data.synthetic import friedman
from bnnbench.evaluation import samplers
from bnnbench.evaluation.networks import perceptron
from bnnbench.evaluation.samplers import Sampled, Setting, Time
from bnnbench.harness.run import Run
from bnnbench.papers.dsm.nets import Fitted, fit
from bnnbench.papers.dsm.settings import Arena

NEW_POINTS = 100_000  # added to the seed of the data, it gives that of the points at which outputs are compared
OTHERS: Mapping[str, Callable[[samplers.Model, Setting], Sampled]] = {
    "numpyro": samplers.numpyro_nuts,
    "mclmc": samplers.mclmc,
    "nutpie": samplers.nutpie,
    "nutpie-low-rank": partial(samplers.nutpie, low_rank=True),
}


@dataclass(frozen=True)
class Posed:
    """Inputs [N, p] and standardised targets [N], and new points at which outputs are compared."""

    params: Arena
    x: Tensor
    y: Tensor
    new: Tensor

    @classmethod
    def of(cls, params: Arena, seed: int) -> "Posed":
        """Friedman's function with correlated inputs."""
        points, new = friedman(params.n, seed, True), friedman(params.n_test, seed + NEW_POINTS, True)
        y = torch.as_tensor(points.y)
        return cls(params, torch.as_tensor(points.x), (y - y.mean()) / y.std(correction=0), torch.as_tensor(new.x))

    def sampled(self, run: Run) -> tuple[Tensor, Time, int]:
        """Outputs [K, n, N] at the new points, the time that they took, and the gradients of the kept draws."""
        params = self.params
        if params.sampler in OTHERS:
            setting = Setting(params.chains, params.warmup, params.draws, run.seed)
            with jax.enable_x64(True):
                drawn, took = samplers.timed(lambda: OTHERS[params.sampler](self._model(), setting))
            outputs = evaluate(self._net(), drawn.theta.flatten(0, 1), self.new)[..., 0]
            return outputs.unflatten(0, drawn.theta.shape[:2]), took, drawn.gradients
        return self._ours(params.model_copy(update={"integrate_output": params.sampler == "integrated"}), run)

    def reference(self, run: Run) -> Mapping[str, Any]:
        """Mean and deviation of the outputs [N] in long chains with the last layer integrated out, and their R-hat."""
        long = self.params.reference()

        def compute(own: Run) -> Mapping[str, Any]:
            outputs = self._outputs(fit(long, self.x, self.y, LearnedNoise(), 1, own))
            every = outputs.flatten(0, 1)
            rhat = convergence(outputs, "outputs")["rhat_outputs"]
            return {"mean": every.mean(0), "deviation": every.std(0), "rhat": rhat}

        return run.shared("reference", long.model_dump(mode="json", exclude={"sampler"}), (), compute)

    def _ours(self, params: Arena, run: Run) -> tuple[Tensor, Time, int]:
        fitted, took = samplers.timed(lambda: fit(params, self.x, self.y, LearnedNoise(), 1, run))
        return self._outputs(fitted), took, int(fitted.posterior.sampled.n_steps.sum())

    def _outputs(self, fitted: Fitted) -> Tensor:
        outputs: Tensor = fitted.outputs(self.new).unflatten(0, fitted.posterior.chains.shape[:2])
        return outputs

    def _net(self) -> WholeNet:
        sizes = (self.x.shape[1], *[self.params.width] * self.params.depth, 1)
        return WholeNet(with_own_parameters(perceptron(sizes, nn.Tanh).double(), LearnedNoise()))

    def _model(self) -> samplers.Model:
        prior = scale_mixture(self.params.prior, self.params.width, len(self.x), True)
        return numpyro_model(self._net(), self.x, self.y, LearnedNoise(), prior, float64=True)


def measured(params: Arena, run: Run) -> dict[str, float]:
    """The numbers of one sampler."""
    posed = Posed.of(params, run.seed)
    reference = posed.reference(run)
    outputs, took, gradients = posed.sampled(run)
    size = bulk_size(outputs).nan_to_num(0.0)
    ess, every = size.median().item(), outputs.flatten(0, 1)
    errors = (every.mean(0) - reference["mean"]) / reference["deviation"]
    log_ratio = (every.std(0) / reference["deviation"]).log()
    numbers = {
        "ess_per_cpu_second": ess / took.sampling,
        "ess_per_1000_gradients": 1000 * ess / gradients,
        "ess": ess,
        "ess_least": size.min().item(),
        "rhat_outputs": convergence(outputs, "outputs")["rhat_outputs"],
        "sampling": took.sampling,
        "compilation": took.compilation,
        "gradients": gradients,
        "bias_mean": errors.square().mean().sqrt().item(),
        "bias_deviation": log_ratio.square().mean().sqrt().item(),
        "reference_rhat": reference["rhat"],
    }
    return {name: value for name, value in numbers.items() if isfinite(value)}  # R-hat of a stuck chain is infinite
