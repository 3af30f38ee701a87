"""The log posterior of a net's parameters, and its mode."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite, sqrt

import torch
from torch import Tensor

from bnnbench.bayes.gaussian import LaplaceNormal
from bnnbench.bayes.last_layer import kronecker
from bnnbench.bayes.likelihood import Categorical, Likelihood
from bnnbench.bayes.network import LinearNet, Net, WholeNet
from bnnbench.bayes.prior import Density, Isotropic, typical_precision
from bnnbench.errors import ResultWarning


@dataclass(frozen=True)
class Target:
    """log p(theta, D) at data x [N, ...], y.

    `prior` is a density of theta [P], or a number: the precision of an isotropic normal prior.
    """

    net: Net
    x: Tensor
    y: Tensor
    likelihood: Likelihood
    prior: Density | float

    @cached_property
    def density(self) -> Density:
        """The prior as a density."""
        if isinstance(self.prior, Density):
            return self.prior
        dtype = self.x.dtype if self.x.is_floating_point() else torch.get_default_dtype()
        return Isotropic(self.prior, torch.zeros(self.net.n_params, dtype=dtype, device=self.x.device))

    @property
    def precision(self) -> float:
        """Precision of an isotropic prior; for any other prior a typical one, which does not change the posterior."""
        return typical_precision(self.prior) if isinstance(self.prior, Density) else self.prior

    def log_likelihood(self, theta: Tensor) -> Tensor:
        """Log-likelihood [S] of all points, for theta [S, P]."""
        return -self.likelihood.nll(self.net.outputs(theta, self.x), self.y).sum(-1)

    def log_prior(self, theta: Tensor) -> Tensor:
        """Normalised log prior [S], for theta [S, P]."""
        return self.density.log_prob(theta)

    def __call__(self, theta: Tensor) -> Tensor:
        """log p(D | theta) + log p(theta) for theta [S, P]: [S]."""
        return self.log_likelihood(theta) + self.log_prior(theta)

    def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Value [S] and gradient [S, P] at theta [S, P]; in closed form for classes on a linear layer."""
        theta = theta.detach()
        prior = self.density
        if (
            isinstance(self.net, LinearNet)
            and isinstance(self.likelihood, Categorical)
            and isinstance(prior, Isotropic)
        ):
            value, gradient = self._softmax_gradient(self.net, theta)
            return value + prior.log_prob(theta), gradient - prior.precision * theta
        theta.requires_grad_()
        with torch.enable_grad():
            value = self(theta)
        (gradient,) = torch.autograd.grad(value.sum(), theta)
        return value.detach(), gradient

    def _softmax_gradient(self, net: LinearNet, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient of the log-likelihood, in half the time of autograd.

        The gradient is (onehot - p)^T [features, 1] for every draw.
        """
        logits = net.outputs(theta, self.x).transpose(0, 1)  # [N, S, C], the layout in memory
        y = self.y[:, None, None].expand(*logits.shape[:2], 1)
        log_sum = logits.logsumexp(-1, keepdim=True)
        value = (logits.gather(-1, y) - log_sum).sum(0).squeeze(-1)
        onehot = self.y[:, None, None] == torch.arange(net.n_outputs, device=self.y.device)
        residual = (logits - log_sum).exp_().neg_().add_(onehot)
        gradient = torch.zeros_like(theta)
        n_weights = net.n_outputs * net.n_features
        gradient[:, :n_weights] = (residual.flatten(1).T @ self.x).view(len(theta), n_weights)
        if net.bias:
            gradient[:, n_weights:] = residual.sum(0)
        return value, gradient

    def at(self, precision: float) -> "Target":
        """The same data under another prior precision."""
        return replace(self, prior=precision)


def mode(target: Target, start: Tensor, max_steps: int = 500, tolerance: float = 1e-6) -> Tensor:
    """The parameters [P] of highest posterior density, by L-BFGS from `start` [P].

    The search stops where no entry of the gradient per point exceeds `tolerance`. It runs in float64, as with sums over
    points in float32 it would stop short of the tolerance. For a linear layer the problem is convex and the mode
    unique, and the search uses coordinates in which the curvature per point is about 1.

    Where the search ends before that, after `max_steps` or because rounding errors hide the descent, a `ResultWarning`
    says how large the gradient is. `ValueError` where the density is not finite at the start.
    """
    wide, near, scale = _wide(target), start.double(), sqrt(len(target.x))
    if not isinstance(target.net, LinearNet):
        return _lbfgs(wide, lambda theta: theta, near, max_steps, tolerance).to(start.dtype)
    base = LaplaceNormal(near, kronecker(target.net, near, wide.x, target.likelihood), target.precision)
    centre = _lbfgs(wide, lambda u: base.push(scale * u), torch.zeros_like(near), max_steps, tolerance)
    return centre.to(start.dtype)


def _wide(target: Target) -> Target:
    """The same target in float64; integer inputs are kept."""
    net = target.net
    if isinstance(net, WholeNet):
        net = WholeNet(deepcopy(net.module).double())
    return replace(target, net=net, x=target.x.double() if target.x.is_floating_point() else target.x)


def _lbfgs(
    target: Target, theta_of: Callable[[Tensor], Tensor], start: Tensor, max_steps: int, tolerance: float
) -> Tensor:
    """The mode, searched in coordinates u [P] with parameters `theta_of(u)`."""
    u = start.detach().clone()
    optimizer = torch.optim.LBFGS(
        [u], max_iter=max_steps, tolerance_grad=tolerance, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        at = u.detach().requires_grad_()
        with torch.enable_grad():
            loss = -target(theta_of(at).unsqueeze(0)).sum() / len(target.x)
        (u.grad,) = torch.autograd.grad(loss, at)
        return loss.item()

    if not isfinite(closure()) or not u.grad.isfinite().all():  # type: ignore[union-attr]
        raise ValueError(
            "mode: the log posterior or its gradient is not finite at the parameters where the search starts"
        )
    optimizer.step(closure)
    closure()
    left = u.grad.abs().max().item()  # type: ignore[union-attr]
    if not left <= tolerance:
        warnings.warn(
            f"mode: the search for the mode ended with a gradient of {left:.2g} per point, above its tolerance of "
            f"{tolerance:g}, so the Laplace approximation is centred near the mode rather than at it",
            ResultWarning,
            stacklevel=3,
        )
    return theta_of(u).detach()
