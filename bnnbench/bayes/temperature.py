"""Temperature scaling: the logits of a point estimate divided by one number that is fitted to validation data."""

import warnings
from dataclasses import dataclass
from math import exp, log

import torch
from pydantic import Field
from scipy.optimize import brentq
from torch import Generator, Tensor, nn

from bnnbench.bayes.journal import Journal
from bnnbench.bayes.likelihood import Categorical
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import EVALUATION_BATCH
from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.bayes.targets import check_finite, check_labels
from bnnbench.bayes.training import Training
from bnnbench.errors import ResultWarning

RANGE = 1e-3, 1e3  # of the temperature, in units of the spread of the logits
LARGEST = 1e30  # largest spread: a temperature of this size, or of its inverse, is still a number in float32


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the mean negative log-likelihood of softmax(logits / T); logits [N, C], labels [N].

    The problem is convex in 1 / T, so its slope has one root, which bracketing finds. The optimum is at T = 0 where
    every label is that of the largest logit, and at infinity where the logits say nothing about the labels. T is
    therefore searched within `RANGE` times the spread of the logits (the mean over points of the largest minus the
    smallest); at an end of that range, the bound is returned with a `ResultWarning`. T = 1 where the logits of every
    point are equal. `ValueError` for logits that are not finite or whose spread exceeds 1e30, and for labels that are
    not classes.
    """
    check_finite(logits, "logits")
    if logits.dim() != 2:
        raise ValueError(f"logits: shape {tuple(logits.shape)} where [N, C] is expected")
    labels = check_labels(labels, len(logits), logits.shape[1], "labels").to(logits.device)[:, None]
    logits = logits.detach().double()
    centred = logits - logits.amax(1, keepdim=True)
    spread = -centred.amin(1).mean().item()

    def slope(log_scale: float) -> float:
        scaled = centred * exp(log_scale)
        return ((scaled.softmax(1) * centred).sum(1) - centred.gather(1, labels).squeeze(1)).mean().item()

    if spread > LARGEST:
        raise ValueError(f"logits: a spread of {spread:.2g} between classes is more than {LARGEST:g}")
    if spread < 1 / LARGEST:
        _warn("temperature: 1, since the logits of each validation point are all alike and any temperature is as good")
        return 1.0
    low, high = (-log(factor * spread) for factor in reversed(RANGE))
    if slope(high) <= 0:
        best, why = exp(-high), "validation data are all right, and a lower temperature is better still"
    elif slope(low) >= 0:
        best, why = (
            exp(-low),
            "the logits tell no validation labels, and a higher temperature is better still",
        )
    else:
        return exp(-brentq(slope, low, high, xtol=1e-12))
    _warn(f"temperature: {best:.3g} is the bound of the search and not an optimum: {why}")
    return best


def _warn(text: str) -> None:
    warnings.warn(text, ResultWarning, stacklevel=3)


class TemperatureParams(MethodParams):
    """Parameters of temperature scaling."""

    training: Training | None = Field(Training(), description="none where the model comes trained")


@dataclass(frozen=True)
class Tempered:
    """A trained net with its temperature."""

    net: nn.Module
    temperature: float

    @property
    def coherent(self) -> bool:
        """True: there is one function."""
        return True

    @torch.no_grad()
    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> ClassPredictive:
        """One draw: the scaled logits in float32 or more, minus the largest of each point, so that none overflows."""
        logits = torch.cat([self.net(part) for part in x.split(EVALUATION_BATCH)])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return ClassPredictive((logits - logits.amax(-1, keepdim=True)).unsqueeze(0) / self.temperature)


@method("temperature", TemperatureParams)
def temperature_scaling(
    model: nn.Module, train: Train, params: TemperatureParams, generator: Generator, journal: Journal
) -> Tempered:
    """A point estimate whose temperature is fitted to the validation data."""
    if not isinstance(train.likelihood, Categorical):
        raise ValueError("likelihood: temperature scaling is of classes; for real targets take 'map'")
    x, y = train.held_out()
    net = trained(model, train, params.training, generator, journal)
    with torch.no_grad():
        logits = torch.cat([net(part) for part in x.split(EVALUATION_BATCH)])
    return Tempered(net, temperature(logits, y))
