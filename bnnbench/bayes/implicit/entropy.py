"""The entropy of weights theta = g(z) + sigma e under a linearised generator (Uppal et al. 2023).

With z ~ N(0, I_d), e ~ N(0, I_P) and g replaced by its first-order expansion at the drawn z, theta is normal with
covariance J J^T + sigma^2 I, whose log determinant is (P - d) log sigma^2 + log det(J^T J + sigma^2 I). The entropy is
half of it, up to a constant. Where J is too large to be stored, every singular value s_i of J is replaced by the
smallest one, s_1: a lower bound of the log determinant, and an equality where all of them are equal.

The smallest singular value comes from a truncated iteration, whose estimate is a Rayleigh quotient and therefore not
below s_1. So few iterations give *more* than the bound, and nothing says that the result is below the entropy.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from bnnbench.bayes.implicit.generators import Linearised
from bnnbench.bayes.noise import normal

JITTER = 1e-5  # of the released code, in place of sigma^2


def log_det(jacobian: Tensor, sigma: float) -> Tensor:
    """1/2 log det(J^T J + sigma^2 I_d) [S] of J^T [S, d, P]: the paper's first bound, L'."""
    return _half_log_det(jacobian, sigma**2)


def log_det_released(jacobian: Tensor) -> Tensor:
    """1/2 log det(J J^T + 1e-5 I_P) [S]: the released code's form, without sigma."""
    return _half_log_det(jacobian.mT, JITTER)


def smallest_value_bound(smallest: Tensor, n_noise: int, sigma: float) -> Tensor:
    """d / 2 log(s_1^2 + sigma^2) [S]: the paper's second bound, L''."""
    return 0.5 * n_noise * (smallest.square() + sigma**2).log()


def smallest_value_bound_released(smallest: Tensor, n_noise: int, sigma: float) -> Tensor:
    """d log(s_1 + sigma^2) [S]: the released code's form, which is the same where s_1 is well above sigma."""
    return n_noise * (smallest + sigma**2).log()


class _HalfLogDet(torch.autograd.Function):
    """1/2 log det(R R^T + c I) of R [S, k, n] with its gradient (R R^T + c I)^-1 R, from one Cholesky factor.

    It is computed in double precision: in single precision the rounding of large eigenvalues hides a small c.
    """

    @staticmethod
    def forward(ctx: Any, root: Tensor, diagonal: float) -> Tensor:
        wide = root.double()
        gram = wide @ wide.mT
        gram.diagonal(dim1=-2, dim2=-1).add_(diagonal)
        factor: Tensor = torch.linalg.cholesky(gram)
        ctx.save_for_backward(wide, factor)
        return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1).to(root)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        wide, factor = ctx.saved_tensors
        return (gradients[0][:, None, None] * torch.cholesky_solve(wide, factor)).to(gradients[0]), None


def _half_log_det(root: Tensor, diagonal: float) -> Tensor:
    half: Tensor = _HalfLogDet.apply(root, diagonal)  # type: ignore[no-untyped-call]
    return half


class Directions(NamedTuple):
    """Where the iteration stands: right singular vectors v [S, d], of unit length, and its last steps p [S, d]."""

    v: Tensor
    p: Tensor


def random_directions(n_draws: int, n_noise: int, generator: Generator | None, like: Tensor) -> Directions:
    """Random unit vectors, from which the iteration starts."""
    v, p = (normal((n_draws, n_noise), generator, like) for _ in range(2))
    return Directions(v / v.norm(dim=1, keepdim=True), p / p.norm(dim=1, keepdim=True))


@torch.no_grad()
def towards_smallest(at: Linearised, start: Directions, iterations: int) -> Directions:
    """Directions in which J is smaller: steps of a locally optimal conjugate gradient method (Knyazev 2001).

    Each step takes the best direction within the span of v, of the residual J^T J v - |J v|^2 v and of the last step.
    J v of the next v is a combination of what is known, so that a step costs two products with J and one with J^T.
    """
    v, p = start.v / start.v.norm(dim=1, keepdim=True), start.p
    image = at.push(v)
    for _ in range(iterations):
        residual = at.pull(image) - _dot(image, image) * v
        # The first column is v or -v. Where the others are dependent, arbitrary orthogonal ones complete the basis.
        basis, triangle = torch.linalg.qr(torch.stack([v, residual, p], dim=2))
        images = [image.mul_(triangle[:, :1, 0].sign()), at.push(basis[..., 1]), at.push(basis[..., 2])]
        best = torch.linalg.eigh(_gram(images)).eigenvectors[..., :1]
        v, p = (basis @ best)[..., 0], (basis[..., 1:] @ best[:, 1:])[..., 0]
        image = images[0].mul_(best[:, 0]).addcmul_(images[1], best[:, 1]).addcmul_(images[2], best[:, 2])
    return Directions(v / v.norm(dim=1, keepdim=True), p)


def _gram(images: Sequence[Tensor]) -> Tensor:
    """Inner products of three vectors [S, P]: [S, 3, 3]. They are not stacked, which would copy all of them."""
    aa, ab, ac, bb, bc, cc = (_dot(a, b) for a, b in combinations_with_replacement(images, 2))
    products: Tensor = torch.cat([aa, ab, ac, ab, bb, bc, ac, bc, cc], dim=1)
    return products.view(-1, 3, 3)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """a . b of each draw [S, 1], as a matrix product, which stores no products of entries."""
    products: Tensor = torch.bmm(a[:, None], b[:, :, None])
    return products[..., 0]


def smallest_singular_value(at: Linearised, directions: Directions) -> Tensor:
    """|J v| [S] with its gradient in the generator's parameters, v held fixed.

    Where v has converged this is s_1 and its gradient that of s_1, since a singular value is stationary in its vector.
    """
    length: Tensor = at.push(directions.v.detach()).norm(dim=1)
    return length
