"""Reference draws of a problem: long chains, computed once and kept for every method that is measured against them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bnnbench.bayes.hmc import hmc
from bnnbench.evaluation.inference import Problem
from bnnbench.harness.run import Run


@dataclass(frozen=True)
class Reference:
    """Draws of weights [T, P] of all chains, one chain after the other, and how far the chains agree."""

    draws: Tensor
    rhat: float
    """Mean split R-hat over the weights; 1 where chains agree."""
    rhat_max: float


def reference(
    problem: Problem, options: Mapping[str, Any], run: Run, depends_on: Mapping[str, Any], datasets: Sequence[str]
) -> Reference:
    """HMC with `options` on a trained problem, computed by the first job of a seed that asks for it.

    `depends_on` says all that the problem is made from besides the data sets, in numbers and strings.
    """

    def compute(own: Run) -> Mapping[str, Any]:
        found: Any = hmc.fit(problem.model, problem.train, {"training": None, **options}, own.generator("hmc"), own)
        rhat = found.rhat
        return {
            "draws": found.chains.flatten(0, 1).cpu(),
            "rhat": rhat.mean().item(),
            "rhat_max": rhat.max().item(),
        }

    return Reference(**run.shared("hmc", {**depends_on, **options}, datasets, compute))
