"""Selective prediction: the risk that is left when only the most confident points are answered."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnbench.metrics._check import numbers, same_shape


@dataclass(frozen=True)
class RiskCoverage:
    """Mean loss `risk` [N] of the k most confident points at `coverage` [N] = k / N; both float64 on the CPU."""

    coverage: Tensor
    risk: Tensor

    @property
    def area(self) -> float:
        """Area under the curve (AURC) as the mean of the N risks: 0 is best, of 0/1 losses 1 is worst."""
        return self.risk.mean().item()


def risk_coverage(scores: Tensor, losses: Tensor) -> RiskCoverage:
    """Risk against coverage, points of highest score first; scores [N], losses [N] (0/1 errors or any loss).

    Points of equal score enter in random order, and the risk is the expectation over it.
    Raises ValueError for NaN, infinity or wrong shapes. El-Yaniv & Wiener (2010); Geifman et al. (2019).
    """
    # cumulative sums are not deterministic on CUDA
    ranked, values = numbers(scores, "scores").cpu(), numbers(losses, "losses").cpu()
    same_shape(values, "losses", ranked, "scores")
    order = ranked.argsort(descending=True)
    _, group, sizes = ranked[order].unique_consecutive(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(sizes), dtype=torch.float64).index_add(0, group, values[order])
    k = torch.arange(1, len(ranked) + 1, dtype=torch.float64)
    return RiskCoverage(k / len(ranked), (sums / sizes)[group].cumsum(0) / k)
