"""Small problems with a known answer: 2-D posteriors on a grid, features of random classes, a Gaussian posterior."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import LinearNet
from bnnbench.bayes.target import Target


def stream(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def classes(
    n: int, n_features: int, n_outputs: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[LinearNet, Tensor, Tensor, Tensor]:
    """A linear net, parameters of it, features [n, d] and labels drawn from the net."""
    net = LinearNet(n_features, n_outputs)
    features = torch.randn(n, n_features, generator=stream(seed), dtype=dtype)
    theta = torch.randn(net.n_params, generator=stream(seed + 1), dtype=dtype)
    labels = torch.multinomial(net.outputs(theta[None], features)[0].softmax(-1), 1, generator=stream(seed + 2))
    return net, theta, features, labels[:, 0]


class Logistic:
    """Binary logistic regression without a bias as a net of two parameters: logits (0, x.theta)."""

    n_params = 2

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        logit = theta @ x.T
        return torch.stack([torch.zeros_like(logit), logit], dim=-1)


def skewed(n: int = 50, precision: float = 0.1) -> Target:
    """The toy of refinement, section 7: two clusters at +-(1, 1), a posterior of two parameters with a long tail."""
    y = torch.arange(n) % 2
    x = (2.0 * y - 1).unsqueeze(1) + torch.randn(n, 2, generator=stream(4))
    return Target(Logistic(), x.double(), y, Categorical(), precision)


@dataclass(frozen=True)
class Grid:
    """A density of two parameters on size x size cells: their centres [M, 2] and probabilities [M]."""

    points: Tensor
    probabilities: Tensor
    cell: Tensor

    @property
    def mean(self) -> Tensor:
        return self.probabilities @ self.points

    @property
    def covariance(self) -> Tensor:
        offset = self.points - self.mean
        return (offset * self.probabilities[:, None]).T @ offset

    def sample(self, n: int, seed: int = 0) -> Tensor:
        chosen = torch.multinomial(self.probabilities, n, replacement=True, generator=stream(seed))
        jitter = torch.rand(n, 2, generator=stream(seed + 1), dtype=self.points.dtype) - 0.5
        return self.points[chosen] + jitter * self.cell


def grid(target: Target, centre: Tensor, half_width: Tensor, size: int = 400) -> Grid:
    """The target's posterior within centre +- half_width."""
    steps = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    points = centre + torch.cartesian_prod(steps, steps) * half_width
    log_density = torch.cat([target(part) for part in points.split(4000)])
    return Grid(points, log_density.softmax(0), 2 * half_width / size)


def mmd(x: Tensor, y: Tensor, width: float) -> float:
    """Squared maximum mean discrepancy, unbiased, with a Gaussian kernel of the given width."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / width**2)

    n, m = len(x), len(y)
    within = (kernel(x, x).sum() - n) / (n * (n - 1)) + (kernel(y, y).sum() - m) / (m * (m - 1))
    return (within - 2 * kernel(x, y).mean()).item()


@dataclass(frozen=True)
class Conjugate:
    """Linear regression with known noise: the posterior of (w [d], b) is normal with this mean and covariance."""

    train: Train
    model: nn.Linear
    precision: float
    mean: Tensor
    covariance: Tensor


def conjugate(n: int = 64, n_features: int = 2, precision: float = 2.0, noise: float = 0.5) -> Conjugate:
    """Features are standard normal and targets those of a linear function."""
    x = torch.randn(n, n_features, generator=stream(10))
    y = x @ torch.tensor([1.0, -0.5, 0.25][:n_features]) + 0.3 + noise * torch.randn(n, generator=stream(11))
    design = torch.cat([x, torch.ones(n, 1)], dim=1).double()
    covariance = (design.T @ design / noise**2 + precision * torch.eye(n_features + 1, dtype=torch.float64)).inverse()
    mean = covariance @ design.T @ y.double() / noise**2
    model = nn.Linear(n_features, 1)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    return Conjugate(Train(x, y, Gaussian(noise)), model, precision, mean, covariance)
