"""Normalizing flows on R^P: radial and planar (Rezende and Mohamed 2015), and zuko's neural splines.

Each is a module that maps points [S, P] to points [S, P] and log |det| of its Jacobian [S].
"""

from math import e, log, sqrt
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from bnnbench.bayes.noise import seed, uniform

Kind = Literal["radial", "planar", "spline"]


class RadialFlow(nn.Module):
    """Layers y = x + beta (x - c) / (alpha + r) with r = |x - c| (Rezende and Mohamed 2015, eq. 14).

    alpha = softplus(a) and beta = softplus(b) - alpha > -alpha, so every layer is invertible. Parameters start
    uniform in +-1 / sqrt(P): near the identity, and exactly the identity (b = a) on request.
    """

    def __init__(
        self,
        n_layers: int,
        dim: int,
        generator: Generator | None = None,
        identity: bool = False,
        like: Tensor | None = None,
    ) -> None:
        super().__init__()
        like = torch.zeros(()) if like is None else like
        start = (uniform((n_layers, dim + 2), generator, like) * 2 - 1) / sqrt(dim)
        self.centres = nn.Parameter(start[:, :dim].contiguous())
        self.a = nn.Parameter(start[:, dim].contiguous())
        self.b = nn.Parameter((start[:, dim] if identity else start[:, dim + 1]).clone())

    def layers(self) -> tuple[Tensor, Tensor]:
        """alpha and beta of every layer."""
        alpha = functional.softplus(self.a)
        return alpha, functional.softplus(self.b) - alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log |det| = (P - 1) log(1 + beta h) + log(1 + alpha beta h^2), h = 1 / (alpha + r), summed over layers."""
        alpha, beta = self.layers()
        reaches, pulls = [], []
        for centre, a, b in zip(self.centres.unbind(), alpha.unbind(), beta.unbind(), strict=True):
            offset = x - centre
            reach = a + torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
            pull = b / reach
            x = torch.addcmul(x, pull, offset)
            reaches.append(reach)
            pulls.append(pull)
        pull = torch.cat(pulls, dim=-1)
        log_det = (x.shape[-1] - 1) * pull.log1p() + (pull * alpha / torch.cat(reaches, dim=-1)).log1p()
        return x, log_det.sum(-1)

    def inverse(self, y: Tensor) -> Tensor:
        """The x with forward(x) = y: r solves r^2 + (alpha + beta - R) r - alpha R = 0 with R = |y - c|."""
        alpha, beta = self.layers()
        for centre, a, b in zip(reversed(self.centres), reversed(alpha), reversed(beta), strict=True):
            offset = y - centre
            distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
            half = (a + b - distance) / 2
            root = torch.sqrt(half.square() + a * distance)
            r = torch.where(half > 0, a * distance / (half + root), root - half)  # neither form cancels
            y = centre + offset * (a + r) / (a + r + b)
        return y


class PlanarFlow(nn.Module):
    """Layers y = x + u tanh(w.x + b), with u moved along w so that w.u > -1 and the layer is invertible."""

    def __init__(
        self,
        n_layers: int,
        dim: int,
        generator: Generator | None = None,
        identity: bool = False,
        like: Tensor | None = None,
    ) -> None:
        super().__init__()
        like = torch.zeros(()) if like is None else like
        start = (uniform((n_layers, 2 * dim + 1), generator, like) * 2 - 1) / sqrt(dim)
        self.w = nn.Parameter(start[:, :dim].contiguous())
        self.u = nn.Parameter(start[:, dim:-1] * (0 if identity else 1))
        self.b = nn.Parameter(start[:, -1].clone())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log |det| = log |1 + (1 - tanh^2) w.u|, summed over layers."""
        log_det = x.new_zeros(x.shape[:-1])
        for w, u, b in zip(self.w, self.u, self.b, strict=True):
            inner = w @ u
            # m(s) = softplus(s + log(e - 1)) - 1 > -1 has m(0) = 0, so that u = 0 stays the identity.
            wanted = functional.softplus(inner + log(e - 1)) - 1
            u = u + (wanted - inner) * w / w.square().sum()
            activation = torch.tanh(x @ w + b)
            x = x + activation.unsqueeze(-1) * u
            log_det = log_det + torch.log1p((1 - activation.square()) * wanted)
        return x, log_det


class SplineFlow(nn.Module):
    """Autoregressive rational-quadratic splines of zuko, which act on [-5, 5] in each coordinate."""

    def __init__(
        self,
        n_layers: int,
        dim: int,
        generator: Generator | None = None,
        identity: bool = False,
        like: Tensor | None = None,
    ) -> None:
        super().__init__()
        from zuko.flows import NSF  # zuko takes a second to import, and few fits need it

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed(generator))
            flow: Any = NSF(dim, transforms=n_layers, hidden_features=(64, 64))
        if identity:
            for transform in flow.transform.transforms:
                if hasattr(transform, "hyper"):
                    for parameter in transform.hyper[-1].parameters():
                        nn.init.zeros_(parameter)
        self.flow = flow if like is None else flow.to(like)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One pass through the splines."""
        y, log_det = self.flow.transform(None).call_and_ladj(x)
        return y, log_det


def flow(
    kind: Kind, n_layers: int, dim: int, generator: Generator | None, identity: bool = False, like: Tensor | None = None
) -> nn.Module:
    """A new flow with the dtype and device of `like`."""
    kinds = {"radial": RadialFlow, "planar": PlanarFlow, "spline": SplineFlow}
    return kinds[kind](n_layers, dim, generator, identity, like)
