"""Likelihoods: the distribution of targets given the outputs of a net."""

from dataclasses import dataclass
from math import log, pi
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnnbench.bayes.log_noise import with_log_noise
from bnnbench.bayes.posterior import ClassPredictive, Predictive, RealPredictive
from bnnbench.bayes.targets import check_labels, check_reals, check_shape

if TYPE_CHECKING:
    import jax

NOISES = 1e-15, 1e15  # a precision of 1 / noise^2 is still a number in float32


@runtime_checkable
class Likelihood(Protocol):
    """The distribution of targets y, [N] or [N, D], given outputs [..., N, C].

    A likelihood for NUTS also has `log_prob_jax(outputs [N, C], y) -> sum of log densities` in JAX. A likelihood with
    parameters of its own has `extended(model)`, which returns a net whose outputs hold them.
    """

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """Raises `ValueError` unless y holds targets of `n_points` points that fit a net with `n_outputs` outputs."""

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """-log p(y | outputs) for each point [..., N], in nats; `ValueError` for targets that `check` rejects."""

    def hessian(self, outputs: Tensor) -> Tensor:
        """Second derivative of the negative log-likelihood with respect to a point's outputs: [N, C] to [N, C, C].

        Where that derivative may be negative, its expectation over targets (the Fisher information) takes its place.
        """

    def root(self, outputs: Tensor) -> Tensor:
        """A matrix R for each point with R R^T = `hessian`: [N, C] to [N, C, C]."""

    def predictive(self, outputs: Tensor) -> Predictive:
        """The predictions that draws of outputs [S, N, C] make."""


class Categorical:
    """Classes from logits by softmax; y holds class indices."""

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """Requires one of the classes 0 to `n_outputs` - 1 for each point, in any integer type."""
        check_labels(y, n_points, n_outputs, name)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """-log softmax(outputs)_y."""
        _check(self, outputs, y)
        labels = y.long().expand(outputs.shape[:-1])
        flat = functional.cross_entropy(outputs.flatten(0, -2), labels.reshape(-1), reduction="none")
        return flat.view(labels.shape)

    def hessian(self, outputs: Tensor) -> Tensor:
        """diag(p) - p p^T."""
        p = outputs.softmax(-1)
        return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)

    def root(self, outputs: Tensor) -> Tensor:
        """Column k is sqrt(p_k) (e_k - p)."""
        p = outputs.softmax(-1)
        eye = torch.eye(p.shape[-1], dtype=p.dtype, device=p.device)
        return p.sqrt().unsqueeze(-2) * (eye - p.unsqueeze(-1))

    def predictive(self, outputs: Tensor) -> ClassPredictive:
        """The logits themselves."""
        return ClassPredictive(outputs)

    def log_prob_jax(self, outputs: "jax.Array", y: "jax.Array") -> "jax.Array":
        """Log-likelihood of all points."""
        import jax
        import jax.numpy as jnp

        return jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], axis=1).sum()


@dataclass(frozen=True)
class Gaussian:
    """Real targets, normal around the outputs, with a known standard deviation `noise` in the unit of the targets.

    A net with one output has targets [N], and one with D outputs has targets [N, D], all with the same noise.
    `ValueError` for a noise that is not a number within `NOISES`.
    """

    noise: float

    def __post_init__(self) -> None:
        try:
            noise = float(self.noise)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            raise ValueError(f"noise: {self.noise!r} is no number") from None
        if not NOISES[0] <= noise <= NOISES[1]:
            raise ValueError(f"noise: {noise} is no standard deviation from {NOISES[0]:g} to {NOISES[1]:g}")
        object.__setattr__(self, "noise", noise)

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """Requires a finite number for each point and output."""
        _check_outputs(n_outputs, y)
        check_reals(y, n_points, name, n_outputs)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Negative log density of N(outputs, noise^2) at y."""
        _check_outputs(outputs.shape[-1], y)
        _check(self, outputs, y)
        z = (y - _of_targets(outputs)) / self.noise
        return _over_targets(0.5 * z.square() + (log(self.noise) + 0.5 * log(2 * pi)), y)

    def hessian(self, outputs: Tensor) -> Tensor:
        """1 / noise^2, times the identity."""
        return torch.diag_embed(torch.full_like(outputs, self.noise**-2))

    def root(self, outputs: Tensor) -> Tensor:
        """1 / noise, times the identity."""
        return torch.diag_embed(torch.full_like(outputs, 1 / self.noise))

    def predictive(self, outputs: Tensor) -> RealPredictive:
        """Normal predictions; every draw has the same noise."""
        mean = _of_targets(outputs)
        return RealPredictive(mean, torch.full_like(mean, self.noise))

    def log_prob_jax(self, outputs: "jax.Array", y: "jax.Array") -> "jax.Array":
        """Log-likelihood of all points, without its constant."""
        return -0.5 * (((y.reshape(outputs.shape) - outputs) / self.noise) ** 2).sum()


@dataclass(frozen=True)
class Heteroscedastic:
    """Real targets whose noise depends on the input: the net has 2 D outputs, D means and then D logarithms of noises.

    With D = `n_targets`, targets are [N] where D is 1, and [N, D] otherwise.
    """

    n_targets: int = 1

    def __post_init__(self) -> None:
        if self.n_targets < 1:
            raise ValueError(f"n_targets: {self.n_targets} targets a point; there must be 1 or more")

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """Requires a finite number for each point and target, and two outputs for each target."""
        if n_outputs != 2 * self.n_targets:
            raise ValueError(
                f"model: {n_outputs} outputs, where {self.n_targets} targets of unknown noise need "
                f"{2 * self.n_targets}, a mean and a log noise each"
            )
        check_reals(y, n_points, name, self.n_targets)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Negative log density of N(mean, exp(2 log noise)) at y, summed over targets."""
        _check(self, outputs, y)
        mean, log_noise = (_of_targets(part) for part in outputs.chunk(2, dim=-1))
        z = (y - mean) * torch.exp(-log_noise)
        return _over_targets(0.5 * z.square() + log_noise + 0.5 * log(2 * pi), y)

    def hessian(self, outputs: Tensor) -> Tensor:
        """The Fisher information, which is diagonal: 1 / noise^2 for a mean and 2 for a log noise."""
        return self.root(outputs).square()

    def root(self, outputs: Tensor) -> Tensor:
        """A diagonal matrix: 1 / noise for a mean and sqrt(2) for a log noise."""
        log_noise = outputs.chunk(2, dim=-1)[1]
        return torch.diag_embed(torch.cat([torch.exp(-log_noise), torch.full_like(log_noise, 2**0.5)], dim=-1))

    def predictive(self, outputs: Tensor) -> RealPredictive:
        """Normal predictions; every draw has its own noise."""
        mean, log_noise = (_of_targets(part) for part in outputs.chunk(2, dim=-1))
        return RealPredictive(mean, log_noise.exp())

    def log_prob_jax(self, outputs: "jax.Array", y: "jax.Array") -> "jax.Array":
        """Log-likelihood of all points, without its constant."""
        import jax.numpy as jnp

        mean, log_noise = jnp.split(outputs, 2, axis=-1)
        return (-0.5 * ((y.reshape(mean.shape) - mean) * jnp.exp(-log_noise)) ** 2 - log_noise).sum()


@dataclass(frozen=True)
class LearnedNoise(Heteroscedastic):
    """Real targets, normal around the D outputs of a net, with an unknown noise for each target that all points share.

    The net is given with D outputs. A fit appends the logarithms of the noises as parameters (`log_noise.py`), each
    with prior N(prior_mean, prior_scale^2) and starting at `prior_mean`; a noise is in the unit of the targets. Point
    estimates give one value of each noise; samplers of all layers draw the noises with the weights.
    """

    prior_mean: float = -1.0
    prior_scale: float = 1.0

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """Requires one output for each target, before the log noise is appended."""
        if n_outputs != 2 * self.n_targets:
            surplus = n_outputs - self.n_targets
            raise ValueError(f"model: {surplus} outputs, where targets of learned noise need {self.n_targets}")
        super().check(y, n_points, n_outputs, name)

    def extended(self, model: nn.Module) -> nn.Module:
        """The model with the log noise appended to its outputs."""
        return with_log_noise(model, self.n_targets, self.prior_mean)


def learns_noise(likelihood: Likelihood) -> bool:
    """Whether the likelihood is one whose noise is learned as a parameter of the net."""
    return isinstance(likelihood, LearnedNoise)


def _of_targets(outputs: Tensor) -> Tensor:
    """Outputs [..., N, 1] as [..., N]; those for several targets unchanged."""
    return outputs.squeeze(-1) if outputs.shape[-1] == 1 else outputs


def _over_targets(values: Tensor, y: Tensor) -> Tensor:
    """Values of each point summed over its targets where it has several: [..., N, D] to [..., N]."""
    return values.sum(-1) if y.dim() == 2 else values


def _check(likelihood: Likelihood, outputs: Tensor, y: Tensor) -> None:
    """As `check`; on a GPU only shapes are checked, since reading the values would make every training step wait."""
    if y.is_cuda:
        check_shape(y[:, 0] if y.dim() == 2 else y, outputs.shape[-2])
    else:
        likelihood.check(y, *outputs.shape[-2:])


def _check_outputs(n_outputs: int, y: Tensor) -> None:
    if y.dim() == 1 and n_outputs != 1:
        raise ValueError(f"model: {n_outputs} outputs, where real targets are of one output")
    if y.dim() == 2 and n_outputs != y.shape[1]:
        raise ValueError(f"y: {y.shape[1]} targets a point, where the net has {n_outputs} outputs")
