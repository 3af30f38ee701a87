"""A posterior that is a list of whole nets, each with its own batch-norm statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.network import EVALUATION_BATCH, call
from bnnbench.bayes.posterior import Predictive, asked

States = Sequence[dict[str, Tensor]]


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers in the net's state dict; a shared one is kept under its first name alone."""
    kept, own = net.state_dict(), (*net.named_parameters(), *net.named_buffers())
    return {name: kept[name].detach().clone() for name, _ in own if name in kept}


@dataclass(frozen=True)
class Members:
    """Equally weighted states of one net."""

    net: nn.Module
    states: States
    likelihood: Likelihood

    @property
    def coherent(self) -> bool:
        """A member is one function."""
        return True

    @torch.no_grad()
    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> Predictive:
        """One draw for each member; where `n_draws` is smaller than their number, evenly spaced members are taken."""
        self.net.eval()
        outputs = [
            torch.cat([call(self.net, state, part) for part in x.split(EVALUATION_BATCH)])
            for state in self._chosen(n_draws)
        ]
        return self.likelihood.predictive(torch.stack(outputs))

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Parameters (without buffers and frozen ones) [min(n_draws, S), P] of evenly spaced members."""
        names = [name for name, parameter in self.net.named_parameters() if parameter.requires_grad]
        vectors = [torch.cat([state[name].reshape(-1) for name in names]) for state in self._chosen(n_draws)]
        return torch.stack(vectors)

    def _chosen(self, n_draws: int | None) -> States:
        size = len(self.states)
        n_draws = min(asked(n_draws, size), size)
        return [self.states[k * size // n_draws] for k in range(n_draws)]
