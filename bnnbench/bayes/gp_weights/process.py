"""The Gaussian process of weights given inducing variables, and what it makes of a layer's inputs.

A weight is w(c, t) = s g(c, t) of its code c and, where the prior depends on the input, of a context t, where g is a
process with the kernel k(c, c') k_aux(t, t'). The inducing points are all pairs of M codes and R contexts, so that
their matrix is a Kronecker product with the factors L_c and L_t, and the whitened inducing variables are a matrix
V [R, M] with prior N(0, I). With psi(c) = L_c^-1 k(U_c, c) and phi(t) = L_t^-1 k_aux(U_t, t),

    E[g(c, t) | V] = phi(t)^T V psi(c)
    Cov[g(c, t), g(c', t') | V] = k(c, c') k_aux(t, t') - phi(t)^T phi(t') psi(c)^T psi(c').

The kernel of a code is a product over its two units, k(U_c[m], c[i, j]) = A[j, m] B[i, m]. The expected weights at t
are therefore B diag(beta) A^T with beta = (phi(t)^T V L_c^-1) [M], and a layer is applied to inputs h without making
its weights: as ((h A) * beta) B^T, at N (V_in + V_out) M operations instead of N V_in V_out M. The grid and these
products are ours, and exact; the text of the paper (Karaletsos and Bui 2020) was not available.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from bnnbench.bayes.gp_weights.kernels import ContextKernel, inverse_root, rbf
from bnnbench.bayes.noise import normal

TINY = 1e-12  # least variance of a weight; rounding makes smaller ones negative


@dataclass(frozen=True)
class At:
    """The inducing variables of a draw, seen from contexts: `beta` [S, N or 1, M], and |phi(t)|^2 [N or 1, 1]."""

    beta: Tensor
    squares: Tensor


@dataclass(frozen=True)
class Grid:
    """What a step needs of the inducing points: codes, L_c^-1 [M, M], length of the kernel [2 D], and s."""

    codes: Tensor
    root: Tensor
    length: Tensor
    scale: Tensor

    def of_units(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels of units with inducing codes [S, U, M], as senders and as receivers, for latents [S, U, D]."""
        n_dims = latents.shape[-1]
        length = self.length.view(2, 1, n_dims)
        codes = self.codes.view(-1, 2, n_dims).transpose(0, 1)
        senders, receivers = rbf(latents[:, None], codes, length).unbind(1)
        return senders, receivers

    def psi(self, codes: Tensor) -> Tensor:
        """psi of codes [..., W, 2 D]: [..., W, M]."""
        return rbf(codes, self.codes, self.length) @ self.root.mT


@dataclass(frozen=True)
class LayerKernel:
    """Kernels of one layer's units with inducing codes: A [S, V_in, M] of senders, B [S, V_out, M] of receivers.

    Their products over two units are the kernel of a weight's code.
    """

    a: Tensor
    b: Tensor

    def explained(self, root: Tensor) -> Tensor:
        """|psi|^2 of all weights [S, V_out, V_in], with root = L_c^-1.

        It is the squared norm of M numbers for each weight, or, where there are more weights than that pays for, one
        product over pairs of inducing codes: sum_mk A[j, m] A[j, k] K^-1[m, k] B[i, m] B[i, k].
        """
        (n_out, n_codes), n_in = self.b.shape[-2:], self.a.shape[-2]
        if n_in * n_out <= (n_in + n_out) * n_codes:
            return ((self.b[:, :, None] * self.a[:, None]) @ root.mT).square().sum(-1)
        receivers = self.b[..., None] * self.b[..., None, :] * (root.mT @ root)
        senders = self.a[..., None] * self.a[..., None, :]
        return receivers.flatten(-2) @ senders.flatten(-2).mT


class InducingValues(nn.Module):
    """q(V) of whitened inducing variables V [R, M]: independent normals, or one with a full covariance."""

    def __init__(
        self, n_contexts: int, n_codes: int, mean: float, std: float, full: bool, stream: Generator | None
    ) -> None:
        super().__init__()
        like = torch.zeros(1, dtype=torch.float64)
        self.mean = nn.Parameter(mean * normal((n_contexts, n_codes), stream, like))
        size = n_contexts * n_codes
        self.log_std = nn.Parameter(torch.full((size,), std, dtype=torch.float64).log())
        self.below = nn.Parameter(torch.zeros(size, size, dtype=torch.float64)) if full else None

    def root(self) -> Tensor:
        """The lower factor of the covariance [R M, R M]."""
        assert self.below is not None
        return self.below.tril(-1) + torch.diag(self.log_std.exp())

    def draw(self, n_draws: int, stream: Generator | None) -> Tensor:
        """Draws [S, R, M], with their gradient."""
        noise = normal((n_draws, len(self.log_std)), stream, self.log_std.detach())
        moved = noise * self.log_std.exp() if self.below is None else noise @ self.root().mT
        return self.mean + moved.view(n_draws, *self.mean.shape)

    def kl(self) -> Tensor:
        """KL(q(V) || N(0, I)) in nats."""
        squares = (2 * self.log_std).exp().sum() if self.below is None else self.root().square().sum()
        return 0.5 * (squares + self.mean.square().sum() - len(self.log_std)) - self.log_std.sum()


class WeightProcess(nn.Module):
    """The process: inducing codes, kernel, q(V), and the kernel over contexts where the prior depends on the input."""

    def __init__(
        self, codes: Tensor, values: InducingValues, length: float, variance: float, auxiliary: ContextKernel | None
    ) -> None:
        super().__init__()
        self.codes = nn.Parameter(codes)
        self.values, self.auxiliary = values, auxiliary
        self.log_length = nn.Parameter(torch.full((codes.shape[1],), length, dtype=torch.float64).log())
        self.log_variance = nn.Parameter(torch.tensor(variance, dtype=torch.float64).log())

    def grid(self) -> Grid:
        """The inducing points as they are now."""
        length = self.log_length.exp()
        root = inverse_root(rbf(self.codes, self.codes, length))
        return Grid(self.codes, root, length, (0.5 * self.log_variance).exp())

    def phi(self, contexts: Tensor) -> Tensor:
        """phi of contexts [N, d]: [N, R]."""
        kernel = self.auxiliary
        assert kernel is not None
        both = kernel(torch.cat([kernel.inducing, contexts]), kernel.inducing)  # one call takes half the time of two
        own, cross = both.split([len(kernel.inducing), len(contexts)])
        phi: Tensor = cross @ inverse_root(own).mT
        return phi

    def at(self, x: Tensor | None, values: Tensor, grid: Grid) -> At:
        """Draws of inducing variables [S, R, M] seen from inputs x [N, D].

        For `None` they are seen from the centre of the contexts, where the weights are those of layers that do not
        depend on the input.
        """
        if self.auxiliary is None:
            return At(values @ grid.root, torch.ones(1, 1, dtype=values.dtype, device=values.device))
        contexts = self.auxiliary.centre if x is None else self.auxiliary.contexts(x)
        phi = self.phi(contexts)
        return At(phi @ values @ grid.root, phi.square().sum(1, keepdim=True))
