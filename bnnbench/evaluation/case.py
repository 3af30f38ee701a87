"""A problem with reference draws for external samplers: its log posterior, and measures of a sampler's draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bnnbench.bayes.network import evaluate, inferred_part
from bnnbench.bayes.target import Target
from bnnbench.evaluation.problem import Problem, Reference, reference
from bnnbench.evaluation.scores import distance_scores, scores
from bnnbench.harness.run import Run


@dataclass(frozen=True)
class ReferenceCase:
    """A log posterior of theta [P], draws of it from long chains, and test points.

    `target` maps theta [S, P] to the log posterior [S], up to a constant, in torch. `reference.draws` [T, P] are the
    draws of the chains; `reference.diagnostics` and `reference.misses()` say how far to trust them.
    """

    target: Target
    reference: Reference
    x_test: Tensor
    y_test: Tensor

    @property
    def n_params(self) -> int:
        """The number P of parameters."""
        return self.target.net.n_params

    def log_density(self, theta: Tensor) -> Tensor:
        """Log posterior [S] of theta [S, P], up to a constant."""
        return self.target(theta)

    def measure(self, draws: Tensor) -> dict[str, float]:
        """Distances of draws [S, P] to the reference, and the scores of their predictions at the test points.

        `mmd_floor` is the expected `mmd_published` of two samples of one distribution. `ValueError` for draws of
        another shape or that are not finite.
        """
        if draws.dim() != 2 or draws.shape[1] != self.n_params or not draws.isfinite().all():
            raise ValueError(f"draws: shape {tuple(draws.shape)}; finite numbers [S, {self.n_params}] are needed")
        likelihood = self.target.likelihood
        predicted = likelihood.predictive(evaluate(self.target.net, draws.to(self.x_test), self.x_test))
        distances = distance_scores(draws.cpu(), self.reference.draws) if len(draws) > 1 else {}
        return {**scores(predicted, self.y_test), **distances}


def case(here: Problem, options: Mapping[str, Any], run: Run, test: tuple[Tensor, Tensor]) -> ReferenceCase:
    """The case of a problem under an isotropic prior with `options["precision"]`; runs its chains where needed."""
    part = inferred_part(here.model, "all" if here.scope == "whole" else "last", here.train.x)
    target = Target(part.inner, part.inputs, here.train.y, here.train.likelihood, options["precision"])
    x_test = part.cached(here.inputs(test[0]))
    with torch.no_grad():
        return ReferenceCase(target, reference(here, options, run), x_test, test[1])
