"""Priors over the parameters of a net.

A `Prior` is given with the data (`Train.prior`) and does not depend on a net; its method `on` gives a `Density` of one
flat vector theta [P]. A `NumpyroPrior` samples the weights, and latent variables of its own such as scales of layers,
inside a NumPyro model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from bnnbench.bayes.noise import normal

if TYPE_CHECKING:
    import jax

Shapes = Mapping[str, torch.Size]
Values = float | Tensor | Mapping[str, float | Tensor]
SAMPLED = 1000  # draws from which the scale of a prior is estimated where it has no closed form
CHI_SQUARE_MEDIAN = 0.4549  # with one degree of freedom


@runtime_checkable
class Density(Protocol):
    """A distribution of theta [P]."""

    def log_prob(self, theta: Tensor) -> Tensor:
        """Normalised log density, for theta [S, P]: [S]."""

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""

    def log_prob_jax(self, theta: "jax.Array") -> "jax.Array":
        """The log density of one theta [P] in JAX, up to a constant."""


@runtime_checkable
class Prior(Protocol):
    """A prior over the parameters that are inferred."""

    def on(self, shapes: Shapes, like: Tensor) -> Density:
        """The prior of parameters with these shapes by name, flattened one after the other.

        Draws have the dtype and device of `like`. `ValueError` for parameters that the prior does not know.
        """


@dataclass(frozen=True)
class NumpyroPrior:
    """A prior that only NumPyro can sample: a function from shapes by name to weights by name, using `numpyro.sample`.

        def per_layer(shapes):
            weights = {}
            for name, shape in shapes.items():
                scale = numpyro.sample(f"{name}.scale", dist.HalfCauchy(1.0))
                raw = numpyro.sample(f"{name}.raw", dist.Normal(0.0, 1.0).expand(shape))
                weights[name] = scale * raw
            return weights

    All its sites are kept with the draws of the weights (`ChainPosterior.sites`). A function that also returns
    "log_noise" [D] sets the prior of a learned noise; otherwise the likelihood's own prior is used.
    """

    function: Callable[[Shapes], Mapping[str, Any]]
    output_scale: float | None = None
    """To be set where the last layer's weights and bias are N(0, output_scale^2), independent of everything else. They
    can then be integrated out, in which case `function` is given the shapes of the other layers alone."""
    name: str = ""
    """A name that distinguishes the prior from others in checkpoints, where functions cannot be compared."""


@dataclass(frozen=True)
class IsotropicNormal:
    """N(0, 1 / precision) for every parameter."""

    precision: float

    def __post_init__(self) -> None:
        if not 0 < self.precision < float("inf"):
            raise ValueError(f"prior: a precision of {self.precision} is no positive number")

    def on(self, shapes: Shapes, like: Tensor) -> "Isotropic":
        """A density with the same precision for all parameters."""
        return Isotropic(self.precision, like.new_zeros(_total(shapes)))


@dataclass(frozen=True)
class IndependentNormal:
    """N(mean, scale^2), independently for every parameter.

    `scale` (the standard deviation) and `mean` are a number for all parameters, or numbers or tensors by name. A name
    is that of a parameter ("0.weight") or of a layer that holds it ("0"); the longest name that fits is used. A tensor
    is broadcast to the shape of the parameter. `ValueError` for a name that the net lacks, a parameter without a value,
    or a scale that is not positive.
    """

    scale: Values
    mean: Values = 0.0

    def on(self, shapes: Shapes, like: Tensor) -> "Independent":
        """A density whose `mean` and `scale` are laid out as the flat vector."""
        density = Independent(_spread("mean", self.mean, shapes, like), _spread("scale", self.scale, shapes, like))
        if not (density.scale > 0).all():
            raise ValueError("prior: a scale is not positive")
        return density


@dataclass(frozen=True)
class Isotropic:
    """N(0, I / precision) for as many parameters as `zero` [P] has."""

    precision: float
    zero: Tensor

    def log_prob(self, theta: Tensor) -> Tensor:
        """P / 2 log(precision / 2 pi) - precision / 2 |theta|^2."""
        constant = 0.5 * theta.shape[-1] * log(self.precision / (2 * pi))
        return constant - 0.5 * self.precision * theta.square().sum(-1)

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        noise = normal((n_draws, len(self.zero)), generator, self.zero)
        return noise / sqrt(self.precision)

    def log_prob_jax(self, theta: "jax.Array") -> "jax.Array":
        """The log density without its constant."""
        return -0.5 * self.precision * (theta**2).sum()


@dataclass(frozen=True)
class Independent:
    """Normals with mean [P] and standard deviation scale [P]."""

    mean: Tensor
    scale: Tensor

    def log_prob(self, theta: Tensor) -> Tensor:
        """The sum over parameters."""
        scale = self.scale.to(theta)
        z = (theta - self.mean.to(theta)) / scale
        return -0.5 * z.square().sum(-1) - scale.log().sum() - 0.5 * theta.shape[-1] * log(2 * pi)

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        return self.mean + self.scale * normal((n_draws, len(self.mean)), generator, self.mean)

    def log_prob_jax(self, theta: "jax.Array") -> "jax.Array":
        """The log density without its constant."""
        mean, scale = self.mean.cpu().numpy(), self.scale.cpu().numpy()
        return -0.5 * (((theta - mean) / scale) ** 2).sum()


@dataclass(frozen=True)
class Product:
    """Independent parts of theta, one after the other: the density of each part and its number of parameters."""

    parts: Sequence[Density]
    sizes: Sequence[int]

    def log_prob(self, theta: Tensor) -> Tensor:
        """The sum over parts."""
        split = theta.split(list(self.sizes), dim=-1)
        return torch.stack([part.log_prob(own) for part, own in zip(self.parts, split, strict=True)]).sum(0)

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        return torch.cat([part.sample(n_draws, generator) for part in self.parts], dim=1)

    def log_prob_jax(self, theta: "jax.Array") -> "jax.Array":
        """The sum over parts."""
        first, *others = zip(self.parts, self.sizes, strict=True)
        total, theta = first[0].log_prob_jax(theta[: first[1]]), theta[first[1] :]
        for part, size in others:
            total, theta = total + part.log_prob_jax(theta[:size]), theta[size:]
        return total


def typical_precision(density: Density) -> float:
    """A typical precision of the prior, which only conditions searches and samplers and does not change the posterior.

    For an isotropic prior it is exact. Otherwise it is the precision of the normal with the same median of theta^2,
    which is estimated from draws.
    """
    if isinstance(density, Isotropic):
        return density.precision
    squares = density.sample(SAMPLED, Generator().manual_seed(0)).square()
    return CHI_SQUARE_MEDIAN / squares.median().item()


def _total(shapes: Shapes) -> int:
    return sum(shape.numel() for shape in shapes.values())


def _spread(what: str, values: Values, shapes: Shapes, like: Tensor) -> Tensor:
    """`values` for all parameters [P]; error messages call them `what`."""
    if not isinstance(values, Mapping):
        values = dict.fromkeys(shapes, values)
    keys = {name: _longest(name, values) for name in shapes}
    if missing := [name for name, key in keys.items() if key is None]:
        raise ValueError(f"prior: no {what} for parameter {missing[0]!r}; name it, or the layer that holds it")
    if unused := set(values) - set(keys.values()) - {""}:  # the empty name stands for all parameters that are not named
        raise ValueError(f"prior: a {what} for {min(unused)!r}, and the net has {', '.join(map(repr, shapes))}")
    parts = []
    for name, shape in shapes.items():
        value = torch.as_tensor(values[keys[name]], dtype=like.dtype, device=like.device)  # type: ignore[index]
        try:
            parts.append(value.expand(shape).reshape(-1))
        except RuntimeError:
            raise ValueError(
                f"prior: the {what} of {name!r} has shape {tuple(value.shape)}, and the parameter {tuple(shape)}"
            ) from None
    return torch.cat(parts)


def _longest(name: str, keys: Mapping[str, Any]) -> str | None:
    """The longest of `keys` that is `name` or the name of a layer around it; the empty name is the whole net."""
    fitting = [key for key in keys if key in ("", name) or name.startswith(f"{key}.")]
    return max(fitting, key=len, default=None)
