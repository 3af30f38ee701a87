"""What samplers return: their draws chain by chain, and whether these have converged."""

from dataclasses import dataclass

from torch import Tensor

from bnnbench.bayes.diagnostics import effective_size, split_rhat
from bnnbench.bayes.weights import NetPosterior, Stored


@dataclass(frozen=True)
class ChainPosterior(NetPosterior):
    """Draws [K, n, P] of K chains, which predict together; `acceptance` is the mean acceptance probability."""

    distribution: Stored
    chains: Tensor
    acceptance: float
    divergences: int = 0

    @property
    def rhat(self) -> Tensor:
        """Split R-hat of every parameter [P]."""
        return split_rhat(self.chains)

    @property
    def effective_size(self) -> Tensor:
        """Effective number of draws of every parameter [P]."""
        return effective_size(self.chains)
