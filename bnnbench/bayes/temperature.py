"""Temperature scaling: the logits of a point estimate divided by one number that validation data choose."""

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional

from bnnbench.bayes.journal import Journal
from bnnbench.bayes.likelihood import Categorical
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import EVALUATION_BATCH
from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.bayes.training import Training


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the mean negative log-likelihood of softmax(logits / T); logits [N, C], labels [N].

    The problem is convex in 1 / T; L-BFGS on log(1 / T) from T = 1 keeps it positive.
    """
    logits, log_scale = logits.detach().double(), torch.zeros((), dtype=torch.float64, device=logits.device)
    log_scale.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [log_scale], max_iter=100, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(logits * log_scale.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return torch.exp(-log_scale).item()


class TemperatureParams(MethodParams):
    """Parameters of temperature scaling."""

    training: Training | None = Field(Training(), description="none where the model comes trained")


@dataclass(frozen=True)
class Tempered:
    """A trained net with its temperature."""

    net: nn.Module
    temperature: float

    @torch.no_grad()
    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> ClassPredictive:
        """One draw: the scaled logits."""
        logits = torch.cat([self.net(part) for part in x.split(EVALUATION_BATCH)])
        return ClassPredictive(logits.unsqueeze(0) / self.temperature)


@method("temperature", TemperatureParams)
def temperature_scaling(
    model: nn.Module, train: Train, params: TemperatureParams, generator: Generator, journal: Journal
) -> Tempered:
    """A point estimate whose temperature is fitted to the validation data."""
    if not isinstance(train.likelihood, Categorical):
        raise ValueError("temperature scaling is of classes; for real targets take 'map'")
    x, y = train.held_out()
    net = trained(model, train, params.training, generator, journal)
    with torch.no_grad():
        logits = torch.cat([net(part) for part in x.split(EVALUATION_BATCH)])
    return Tempered(net, temperature(logits, y))
