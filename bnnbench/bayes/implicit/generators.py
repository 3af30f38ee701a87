"""Generators: nets g from noise z [S, d] to the weights theta [S, P] of another net (Uppal et al. 2023).

A generator is linearised at the noise of a step. The forward pass then also keeps the slopes of its activations, so
that products with its Jacobian J = dg/dz cost one pass each: `push` gives J v, `pull` gives J^T w. They are written out
layer by layer, for all draws at once, which needs no automatic differentiation and stores no Jacobian.

Outputs beyond the P weights are cut off, since the net does not read them. In the authors' released code they enter the
prior and the Jacobian.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

Product = Callable[[Tensor], Tensor]
Shape = tuple[int, int]


@dataclass(frozen=True)
class Linearised:
    """A generator at noise z [S, d]: its outputs theta [S, P], and products with its Jacobian there.

    Both products take any leading dimensions before that of the draws.
    """

    theta: Tensor
    push: Product
    """J v [..., S, P] of v [..., S, d]."""
    pull: Product
    """J^T w [..., S, d] of w [..., S, P]."""
    parts: "tuple[Linearised, ...]" = ()
    """Those of independent parts, whose Jacobians are the blocks of J."""

    def jacobian(self) -> Tensor:
        """J^T of every draw [S, d, P]: d passes and d P numbers a draw, so for small generators alone."""
        n_draws, n_noise = len(self.theta), self.pull(torch.zeros_like(self.theta)).shape[-1]
        unit = torch.eye(n_noise, dtype=self.theta.dtype, device=self.theta.device)
        return self.push(unit[:, None].expand(-1, n_draws, -1)).movedim(0, 1)


class Dense(nn.Linear):
    """x W^T + b, and the products with its Jacobian W."""

    def push(self, tangent: Tensor) -> Tensor:
        """W t."""
        return tangent @ self.weight.T

    def pull(self, cotangent: Tensor) -> Tensor:
        """W^T c."""
        return cotangent @ self.weight


class MatrixProduct(nn.Module):
    """Y = (L X + B) R + C of a matrix X [i0, i1], with L [o0, i0], B [o0, i1], R [i1, o1] and C [o0, o1].

    It has o0 i0 + o0 i1 + i1 o1 + o0 o1 parameters, where a dense layer of the same sizes has more than i0 i1 o0 o1. As
    in the released code, L and B start uniform within 1 / sqrt(i0), and R and C within 1 / sqrt(o1).
    """

    def __init__(self, inputs: Shape, outputs: Shape) -> None:
        super().__init__()
        (i0, i1), (o0, o1) = inputs, outputs
        self.left, self.inner = nn.Parameter(torch.empty(o0, i0)), nn.Parameter(torch.empty(o0, i1))
        self.right, self.outer = nn.Parameter(torch.empty(i1, o1)), nn.Parameter(torch.empty(o0, o1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        bound, last = 1 / sqrt(self.left.shape[1]), 1 / sqrt(self.right.shape[1])
        for parameter, limit in ((self.left, bound), (self.inner, bound), (self.right, last), (self.outer, last)):
            nn.init.uniform_(parameter, -limit, limit)

    def forward(self, x: Tensor) -> Tensor:
        """Y [..., o0, o1] of X [..., i0, i1]."""
        return (self.left @ x + self.inner) @ self.right + self.outer

    def push(self, tangent: Tensor) -> Tensor:
        """L T R."""
        return self.left @ tangent @ self.right

    def pull(self, cotangent: Tensor) -> Tensor:
        """L^T C R^T."""
        return self.left.T @ cotangent @ self.right.T


Layer = Dense | MatrixProduct


class Chain(nn.Module):
    """Layers with ELU between them, from inputs [S, d] to outputs [S, P], both flattened.

    With `activated` an ELU follows the last layer, too.
    """

    n_noise: int
    n_outputs: int

    def __init__(self, layers: Sequence[Layer], inputs: Shape | None, n_outputs: int, activated: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.inputs, self.n_outputs, self.activated = inputs, n_outputs, activated
        first = layers[0]
        self.n_noise = first.in_features if isinstance(first, Dense) else first.left.shape[1] * first.inner.shape[1]

    def linearised(self, z: Tensor) -> Linearised:
        """The chain at z [S, d]."""
        x, slopes = self._shaped(z), []
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k + 1 < len(self.layers) or self.activated:
                slopes.append(torch.where(x > 0, torch.ones_like(x), x.clamp(max=0).exp()))
                x = functional.elu(x)
        whole = x.flatten(1)
        missing = whole.shape[1] - self.n_outputs
        shape = x.shape[1:]

        def push(tangent: Tensor) -> Tensor:
            t = self._shaped(tangent)
            for k, layer in enumerate(self.layers):
                t = layer.push(t)  # type: ignore[operator]
                t = t * slopes[k] if k < len(slopes) else t
            return t.reshape(*tangent.shape[:-1], -1)[..., : self.n_outputs]

        def pull(cotangent: Tensor) -> Tensor:
            c = functional.pad(cotangent, (0, missing)).reshape(*cotangent.shape[:-1], *shape)
            for k in reversed(range(len(self.layers))):
                c = c * slopes[k] if k < len(slopes) else c
                c = self.layers[k].pull(c)  # type: ignore[operator]
            return c.reshape(*cotangent.shape[:-1], -1)

        return Linearised(whole[:, : self.n_outputs], push, pull)

    def _shaped(self, z: Tensor) -> Tensor:
        return z if self.inputs is None else z.reshape(*z.shape[:-1], *self.inputs)


def perceptron(n_noise: int, hidden: Sequence[int], n_outputs: int) -> Chain:
    """A dense generator with ELU between its layers, for nets of at most some 50,000 weights."""
    sizes = (n_noise, *hidden, n_outputs)
    return Chain([Dense(a, b) for a, b in pairwise(sizes)], None, n_outputs)


def matrix_generator(shapes: Sequence[Shape], n_outputs: int) -> Chain:
    """A generator of matrix products from a matrix of noise through the shapes given; the last one holds theta.

    `ValueError` for fewer than two shapes and for a last one with fewer entries than `n_outputs`.
    """
    _check_shapes(shapes, n_outputs)
    return Chain([MatrixProduct(a, b) for a, b in pairwise(shapes)], shapes[0], n_outputs)


def _check_shapes(shapes: Sequence[Shape], n_outputs: int) -> None:
    if len(shapes) < 2:
        raise ValueError(f"shapes: {len(shapes)} given; the noise and the outputs need one each")
    if prod(shapes[-1]) < n_outputs:
        raise ValueError(f"shapes: the last one, {shapes[-1]}, holds {prod(shapes[-1])} of {n_outputs} weights")


def shares(parts: Sequence[Sequence[Shape]], n_outputs: int, name: str) -> list[int]:
    """How many of `n_outputs` consecutive weights each part makes: what its last shape holds, or what is left.

    `ValueError`, with the parts' `name`, where together they hold too few or the last ones are not needed.
    """
    sizes = [prod(shapes[-1]) for shapes in parts]
    kept = [min(size, n_outputs - sum(sizes[:k])) for k, size in enumerate(sizes)]
    if sum(sizes) < n_outputs or min(kept) < 1:
        raise ValueError(f"{name}: the {len(sizes)} hold {sum(sizes)} weights, and the net has {n_outputs}")
    return kept


class Correlated(nn.Module):
    """A trunk whose outputs are cut into one matrix for each branch; the branches' outputs follow each other in theta.

    The trunk is what lets weights of different layers depend on each other.
    """

    n_noise: int
    n_outputs: int

    def __init__(self, trunk: Sequence[Shape], branches: Sequence[Sequence[Shape]], n_outputs: int) -> None:
        super().__init__()
        kept = shares(branches, n_outputs, "branches")
        self.slices = [prod(branch[0]) for branch in branches]
        if prod(trunk[-1]) < sum(self.slices):
            raise ValueError(f"trunk: it gives {prod(trunk[-1])} numbers, and the branches take {sum(self.slices)}")
        self.n_noise, self.n_outputs, self.sizes = prod(trunk[0]), n_outputs, kept
        layers = [MatrixProduct(a, b) for a, b in pairwise(trunk)]
        self.trunk = Chain(layers, trunk[0], sum(self.slices), activated=True)
        self.branches = nn.ModuleList(
            matrix_generator(shapes, size) for shapes, size in zip(branches, kept, strict=True)
        )

    def linearised(self, z: Tensor) -> Linearised:
        """The generator at z [S, d]."""
        below = self.trunk.linearised(z)
        parts = below.theta.split(self.slices, dim=1)
        above = [branch.linearised(part) for branch, part in zip(self.branches, parts, strict=True)]  # type: ignore[operator]
        theta = torch.cat([part.theta for part in above], dim=1)
        pushes, pulls = [part.push for part in above], [part.pull for part in above]  # the parts' thetas are let go

        def push(tangent: Tensor) -> Tensor:
            tangents = below.push(tangent).split(self.slices, dim=-1)
            return torch.cat([product(t) for product, t in zip(pushes, tangents, strict=True)], dim=-1)

        def pull(cotangent: Tensor) -> Tensor:
            cotangents = cotangent.split(self.sizes, dim=-1)
            return below.pull(torch.cat([product(c) for product, c in zip(pulls, cotangents, strict=True)], dim=-1))

        return Linearised(theta, push, pull)


class Independent(nn.Module):
    """Generators with noise of their own, whose outputs follow each other in theta; J is block-diagonal."""

    n_noise: int
    n_outputs: int

    def __init__(self, parts: Sequence[Chain]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.noises, self.sizes = [part.n_noise for part in parts], [part.n_outputs for part in parts]
        self.n_noise, self.n_outputs = sum(self.noises), sum(self.sizes)

    def linearised(self, z: Tensor) -> Linearised:
        """The generators at z [S, d]."""
        at = [part.linearised(own) for part, own in zip(self.parts, z.split(self.noises, dim=1), strict=True)]  # type: ignore[operator]

        def push(tangent: Tensor) -> Tensor:
            own = tangent.split(self.noises, dim=-1)
            return torch.cat([part.push(t) for part, t in zip(at, own, strict=True)], dim=-1)

        def pull(cotangent: Tensor) -> Tensor:
            own = cotangent.split(self.sizes, dim=-1)
            return torch.cat([part.pull(c) for part, c in zip(at, own, strict=True)], dim=-1)

        return Linearised(torch.cat([part.theta for part in at], dim=1), push, pull, tuple(at))


WeightGenerator = Chain | Correlated | Independent
