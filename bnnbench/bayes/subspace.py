"""A posterior over a few coordinates of the parameters, with the others fixed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnbench.bayes.gaussian import Affine
from bnnbench.bayes.network import Net


@dataclass(frozen=True)
class Subspace:
    """`net` with the parameters at positions `chosen` [K] free and the others as in `rest` [P]."""

    net: Net
    chosen: Tensor
    rest: Tensor

    @property
    def n_params(self) -> int:
        """The number K of free parameters."""
        return len(self.chosen)

    def full(self, theta: Tensor) -> Tensor:
        """All parameters [S, P] from the chosen ones [S, K]."""
        return self.rest.expand(len(theta), -1).index_copy(1, self.chosen, theta)

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """The outputs of the net."""
        return self.net.outputs(self.full(theta), x)


@dataclass(frozen=True)
class DenseNormal:
    """N(mean, root root^T) with a lower-triangular root [K, K]."""

    mean: Tensor
    root: Tensor

    def rows(self, positions: Tensor) -> Tensor:
        """Rows of the root at `positions`."""
        return self.root[positions]

    @property
    def marginal_variances(self) -> Tensor:
        """Diagonal [K] of root root^T."""
        return self.root.square().sum(1)

    @property
    def log_det(self) -> Tensor:
        """Half the log determinant of the covariance."""
        return self.root.diagonal().log().sum()

    def push(self, e: Tensor) -> Tensor:
        """mean + root e."""
        return self.mean + e @ self.root.T

    def pull(self, theta: Tensor) -> Tensor:
        """root^-1 (theta - mean)."""
        column = (theta - self.mean).unsqueeze(-1)
        e: Tensor = torch.linalg.solve_triangular(self.root, column, upper=False).squeeze(-1)
        return e


def subspace(base: Affine, size: int) -> tuple[Tensor, DenseNormal]:
    """The `size` coordinates of largest variance under `base` (in their order), and their marginal distribution.

    `ValueError` where there are fewer than `size`.
    """
    if size > len(base.mean):
        raise ValueError(f"subspace: {size} coordinates of {len(base.mean)} parameters; ask for fewer")
    chosen = base.marginal_variances.topk(size).indices.sort().values
    rows = base.rows(chosen)
    return chosen, DenseNormal(base.mean[chosen], torch.linalg.cholesky(rows @ rows.T))
