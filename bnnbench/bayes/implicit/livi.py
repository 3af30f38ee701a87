"""Implicit variational inference with a linearised generator: LIVI (Uppal et al. 2023).

The bound

    E[log p(y | theta)] + w_p E[log p(theta)] + w_H E[entropy]

is maximised by gradients through draws of an implicit distribution (`family.py`). The entropy is that of the generator
linearised at the drawn noise (`entropy.py`). With both weights 1 this is the approximate evidence bound; the released
code gives the prior less.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.batch_norms import RecalibratedPosterior
from bnnbench.bayes.implicit import entropy
from bnnbench.bayes.implicit.family import Family, ImplicitParams, family
from bnnbench.bayes.implicit.generators import Independent, Linearised
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import Train, method
from bnnbench.bayes.training import descend
from bnnbench.bayes.weights import NetPosterior

Entropy = Literal["log-det", "smallest-value", "released-log-det", "released-smallest-value", "none"]


class LIVIParams(ImplicitParams):
    """Parameters of linearised implicit variational inference."""

    prior_weight: NonNegativeFloat = Field(1.0, description="factor of the log prior; 1 is the evidence bound")
    entropy_weight: NonNegativeFloat = Field(1.0, description="factor of the entropy; 1 is the evidence bound")
    entropy: Entropy = Field(
        "log-det",
        description="by J^T J + sigma^2 I, which needs all of J, or by the smallest singular value, which does not; in "
        "exact form or in that of the released code",
    )
    iterations: PositiveInt = Field(5, description="towards the smallest singular value, in every step")
    warm_start: bool = Field(False, description="begin them where those of the last step ended, not at random")


class Sampler(nn.Module):
    """What is trained: a generator, with the directions from which a warm iteration begins."""

    v: Tensor
    p: Tensor

    def __init__(self, own: Family, params: LIVIParams, stream: Generator) -> None:
        super().__init__()
        self.implicit, self.params = own.implicit, params
        start = entropy.random_directions(params.samples, own.implicit.generator.n_noise, stream, own.implicit.centre)
        self.register_buffer("v", start.v)
        self.register_buffer("p", start.p)

    def entropy_at(self, at: Linearised, stream: Generator) -> Tensor:
        """The entropy of each draw [S], up to a constant, as the parameters name it."""
        sigma = self.params.sigma
        if self.params.entropy == "log-det":
            return entropy.log_det(at.jacobian(), sigma)
        if self.params.entropy == "released-log-det":
            return entropy.log_det_released(at.jacobian())
        bound = (
            entropy.smallest_value_bound
            if self.params.entropy == "smallest-value"
            else entropy.smallest_value_bound_released
        )
        parts = zip(at.parts or (at,), self._starts(stream), strict=True)
        found = [(part, entropy.towards_smallest(part, start, self.params.iterations)) for part, start in parts]
        self.v.copy_(torch.cat([directions.v for _, directions in found], dim=1))
        self.p.copy_(torch.cat([directions.p for _, directions in found], dim=1))
        values = [
            bound(entropy.smallest_singular_value(part, directions), directions.v.shape[1], sigma)
            for part, directions in found
        ]
        total: Tensor = torch.stack(values).sum(0)
        return total

    def _starts(self, stream: Generator) -> list[entropy.Directions]:
        """Where the iteration starts, for each independent part of the generator."""
        generator = self.implicit.generator
        noises = generator.noises if isinstance(generator, Independent) else [generator.n_noise]
        if not self.params.warm_start:
            return [entropy.random_directions(len(self.v), n_noise, stream, self.v) for n_noise in noises]
        pairs = zip(self.v.split(noises, dim=1), self.p.split(noises, dim=1), strict=True)
        return [entropy.Directions(v.clone(), p.clone()) for v, p in pairs]


@method("livi", LIVIParams)
def livi(
    model: nn.Module, train: Train, params: LIVIParams, generator: Generator, journal: Journal
) -> NetPosterior | RecalibratedPosterior:
    """Maximises the bound."""
    own = family(model, train, params, "livi")
    sampler = Sampler(own, params, generator)
    descend(sampler, _bound(own, sampler, generator), len(train), params.training, generator, journal)
    return own.posterior()


def _bound(own: Family, sampler: Sampler, stream: Generator) -> Callable[[Tensor, float], dict[str, Tensor]]:
    """The negative bound for a point, as terms of the loss of a batch."""
    params, n_points = sampler.params, len(own.train)

    def terms(rows: Tensor, _: float) -> dict[str, Tensor]:
        at, theta = own.implicit.draw(params.samples, stream)
        loss = {
            "data": own.nll(theta, rows, stream),
            "prior": -params.prior_weight / n_points * own.prior.log_prob(theta).mean(),
        }
        if params.entropy != "none":
            loss["entropy"] = -params.entropy_weight / n_points * sampler.entropy_at(at, stream).mean()
        return loss

    return terms
