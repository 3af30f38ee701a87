"""Curvatures of the negative log-likelihood (P x P, positive semi-definite) in a form that any prior precision can use.

Each keeps H = Q diag(e) Q^T with orthogonal Q. Under the precision tau the covariance is Q diag(1 / (e + tau)) Q^T, so
for any tau its determinant is a product, and a draw takes only one rotation by Q^T and one by Q.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from bnnbench.bayes.targets import check_finite


class Curvature(Protocol):
    """H = Q diag(eigenvalues) Q^T."""

    @property
    def eigenvalues(self) -> Tensor:
        """The eigenvalue of each column of Q [P]; none is negative."""

    def rotate(self, z: Tensor) -> Tensor:
        """Q z for z [..., P]."""

    def rotate_back(self, theta: Tensor) -> Tensor:
        """Q^T theta for theta [..., P]."""

    def scaled(self, factors: Tensor, z: Tensor) -> Tensor:
        """Q diag(factors) Q^T z for factors [P], z [..., P]; with factors f(eigenvalues) this is the product f(H) z."""

    def scaling(self, factors: Tensor) -> Callable[[Tensor], Tensor]:
        """`scaled` with these factors as a function of z, for repeated use; it precomputes what it can."""

    def marginal(self, variances: Tensor) -> Tensor:
        """Diagonal [P] of Q diag(variances) Q^T."""


@dataclass(frozen=True)
class Diagonal:
    """Only the diagonal: `eigenvalues` [P] are its entries."""

    eigenvalues: Tensor

    def rotate(self, z: Tensor) -> Tensor:
        """z itself, as Q is the identity."""
        return z

    def rotate_back(self, theta: Tensor) -> Tensor:
        """theta itself."""
        return theta

    def scaled(self, factors: Tensor, z: Tensor) -> Tensor:
        """The product, entry by entry."""
        return factors * z

    def scaling(self, factors: Tensor) -> Callable[[Tensor], Tensor]:
        """`scaled` with these factors; there is nothing to precompute."""
        return partial(self.scaled, factors)

    def marginal(self, variances: Tensor) -> Tensor:
        """The variances themselves."""
        return variances


@dataclass(frozen=True)
class Full:
    """All entries; each column of `vectors` [P, P] is an eigenvector."""

    eigenvalues: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> "Full":
        """The eigendecomposition of H [P, P], in the precision that H has; `ValueError` for NaN or infinity."""
        check_finite(matrix, "curvature")
        values, vectors = torch.linalg.eigh(matrix)
        return cls(values.clamp_min(0), vectors)

    def to(self, dtype: torch.dtype) -> "Full":
        """The same in another precision."""
        return Full(self.eigenvalues.to(dtype), self.vectors.to(dtype))

    def rotate(self, z: Tensor) -> Tensor:
        """Q z."""
        return z @ self.vectors.T

    def rotate_back(self, theta: Tensor) -> Tensor:
        """Q^T theta."""
        return theta @ self.vectors

    def scaled(self, factors: Tensor, z: Tensor) -> Tensor:
        """A rotation by Q^T, the scaling, and a rotation by Q."""
        return self.rotate(factors * self.rotate_back(z))

    def scaling(self, factors: Tensor) -> Callable[[Tensor], Tensor]:
        """One product with a matrix [P, P] for each call, instead of two."""
        return partial(_times, (self.vectors * factors) @ self.vectors.T)

    def marginal(self, variances: Tensor) -> Tensor:
        """Weighted sums of the squared eigenvectors."""
        return self.vectors.square() @ variances


@dataclass(frozen=True)
class Kronecker:
    """H as the Kronecker product A x B of a matrix over outputs [C, C] and one over augmented features [D, D].

    `order` [C D] holds, for each entry of the C x D matrix [W, b], its position in theta.
    """

    eigenvalues: Tensor
    output_vectors: Tensor
    feature_vectors: Tensor
    order: Tensor

    @classmethod
    def of(cls, over_outputs: Tensor, over_features: Tensor, order: Tensor, n_params: int) -> "Kronecker":
        """From both factors; entries of theta outside `order` have no curvature. `ValueError` for NaN or infinity."""
        for factor in (over_outputs, over_features):
            check_finite(factor, "curvature")
        a, u = torch.linalg.eigh(over_outputs)
        b, v = torch.linalg.eigh(over_features)
        values = torch.outer(a.clamp_min(0), b.clamp_min(0)).reshape(-1)
        return cls(values.new_zeros(n_params).index_copy(0, order, values), u, v, order)

    def rotate(self, z: Tensor) -> Tensor:
        """U Z V^T."""
        return self._apply(z, self.output_vectors, self.feature_vectors)

    def rotate_back(self, theta: Tensor) -> Tensor:
        """U^T Z V."""
        return self._apply(theta, self.output_vectors.T, self.feature_vectors.T)

    def scaled(self, factors: Tensor, z: Tensor) -> Tensor:
        """A rotation by Q^T, the scaling, and a rotation by Q."""
        return self.rotate(factors * self.rotate_back(z))

    def scaling(self, factors: Tensor) -> Callable[[Tensor], Tensor]:
        """`scaled` with these factors; nothing is precomputed, as the factors [C, D] need not be an outer product."""
        return partial(self.scaled, factors)

    def marginal(self, variances: Tensor) -> Tensor:
        """U^2 (variances as a C x D matrix) (V^2)^T, with the squares taken entry by entry."""
        return self._apply(variances, self.output_vectors.square(), self.feature_vectors.square())

    def _apply(self, z: Tensor, u: Tensor, v: Tensor) -> Tensor:
        matrix = z[..., self.order].unflatten(-1, (len(u), len(v)))
        return z.index_copy(-1, self.order, (u @ matrix @ v.T).flatten(-2))


def _times(matrix: Tensor, z: Tensor) -> Tensor:
    return z @ matrix  # symmetric
