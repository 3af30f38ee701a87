"""Chains of a sampler: their draws, and diagnostics that say whether these can be trusted."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bnnbench.bayes.diagnostics import COLUMNS, convergence, ebfmi, effective_size, split_rhat
from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.network import Net, evaluate
from bnnbench.bayes.weights import NetPosterior, Stored
from bnnbench.errors import ResultWarning

ENERGY = 1000.0  # nats of error in energy from which a trajectory counts as divergent, as in Stan and NumPyro
RHAT = 1.1  # largest R-hat that passes as converged
SHARE = 0.75  # share of the target acceptance below which the acceptance is reported as too low


class Chains(NamedTuple):
    """What a sampler did after its warm-up."""

    draws: Tensor
    """Draws of theta [K, n, P]: n from each of K chains."""
    acceptance: float
    """Mean acceptance probability."""
    divergences: int
    """Number of trajectories whose energy error exceeded `ENERGY` or was not a number."""
    saturated: int
    """Number of trajectories that reached the limit of gradient steps."""
    energy: Tensor
    """Sum of potential and kinetic energy at every draw [K, n], in nats."""
    n_steps: Tensor
    """Gradient steps of every trajectory [K, n]."""
    sites: Mapping[str, Tensor] = {}
    """Draws [K, n, ...] of what was sampled or computed besides the net's parameters, by name."""


@dataclass(frozen=True)
class ChainPosterior(NetPosterior):
    """Draws [K, n, P] of K chains, which are pooled for predictions, with the sampler's record of them.

    `target` is the acceptance probability that the sampler aimed at.
    """

    distribution: Stored
    sampled: Chains
    target: float = 0.0

    @classmethod
    def of(cls, net: Net, likelihood: Likelihood, sampled: Chains, target: float) -> "ChainPosterior":
        """The posterior of a sampler's draws; emits a `ResultWarning` for each reason not to trust them."""
        posterior = cls(
            net, likelihood=likelihood, distribution=Stored(sampled.draws.flatten(0, 1)), sampled=sampled, target=target
        )
        for reason in posterior.doubts():
            warnings.warn(reason, ResultWarning, stacklevel=3)
        return posterior

    @property
    def chains(self) -> Tensor:
        """Draws of theta [K, n, P]."""
        return self.sampled.draws

    @property
    def sites(self) -> Mapping[str, Tensor]:
        """Draws [K, n, ...] of what was sampled besides theta, such as the scales of a hierarchical prior."""
        return self.sampled.sites

    @property
    def rhat(self) -> Tensor:
        """Split R-hat of every parameter [P]."""
        return split_rhat(self.chains)

    @property
    def effective_size(self) -> Tensor:
        """Effective number of draws of every parameter [P]."""
        return effective_size(self.chains)

    def diagnostics(self, x: Tensor) -> dict[str, float]:
        """Numbers by name that say whether to trust the draws; `diagnostics.broken_bounds` reads them.

        They are the worst rank-normalised R-hat and the worst bulk and tail effective sizes of the outputs at x
        [N, ...], of the parameters and of the sites; the shares of trajectories that diverged or reached the limit of
        gradient steps; the acceptance; and the lowest E-BFMI of a chain. Memory: K n N C outputs.
        """
        shape = self.chains.shape[:2]
        outputs = evaluate(self.net, self.chains.flatten(0, 1), x).unflatten(0, shape)
        numbers_by_name = {**convergence(outputs, "outputs"), **convergence(self.chains, "parameters")}
        if self.sites:
            by_site = [convergence(values, "sites") for values in self.sites.values()]
            numbers_by_name |= {
                name: (max if name.startswith("rhat") else min)(numbers[name] for numbers in by_site)
                for name in by_site[0]
            }
        total = self.chains[..., 0].numel()
        return {
            **numbers_by_name,
            "divergences": self.sampled.divergences / total,
            "saturated": self.sampled.saturated / total,
            "acceptance": self.sampled.acceptance,
            "ebfmi": ebfmi(self.sampled.energy).nan_to_num(0.0).min().item(),
        }

    def doubts(self) -> Iterator[str]:
        """Reasons not to trust the draws, one line each; there are none where all is well."""
        n_chains, n_draws, n_params = self.chains.shape
        total, divergences, saturated = n_chains * n_draws, self.sampled.divergences, self.sampled.saturated
        if divergences:
            yield f"chains: {divergences} of {total} trajectories diverged, so that draws may be biased"
        if not self.sampled.acceptance >= SHARE * self.target:
            acceptance = f"{self.sampled.acceptance:.2g}"
            yield f"chains: an acceptance of {acceptance} where {self.target:g} was asked for; warm up longer"
        if constant := _constant(self.chains):
            yield f"chains: {constant} of {n_chains} never moved from where it began its draws"
        if 2 * saturated > total:
            yield f"chains: {saturated} of {total} trajectories met the limit of gradient steps; allow more"
        bad, largest = _disagreeing(self.chains)
        if bad:
            yield f"chains: R-hat of {bad} of {n_params} parameters is above {RHAT}, up to {largest:.3g}; draw more"


def check_start(value: Tensor, gradient: Tensor) -> None:
    """Raises `ValueError` unless the log posterior [K] and its gradient [K, P] are finite where K chains start."""
    bad = ~(value.isfinite() & gradient.isfinite().all(dim=1))
    if bad.any():
        raise ValueError(
            f"chains: the log posterior or its gradient is not finite where {int(bad.sum())} of {len(bad)} chains "
            "start; look at the scale of inputs, targets and noise"
        )


def _constant(chains: Tensor) -> int:
    """How many of the chains [K, n, P] hold the same draw throughout."""
    return int((chains == chains[:, :1]).flatten(1).all(dim=1).sum())


def _disagreeing(chains: Tensor) -> tuple[int, float]:
    """How many parameters of chains [K, n, P] have an R-hat above `RHAT` or undefined, and the largest R-hat.

    An undefined R-hat counts as infinite.
    """
    rhat = torch.cat([split_rhat(part) for part in chains.split(COLUMNS, dim=2)]).nan_to_num(torch.inf, torch.inf)
    return int((rhat > RHAT).sum()), rhat.max().item()
