"""Kernels over codes and over contexts, all with k(a, a) = 1.

They are written out, since a kernel of a code is a product over its two units and the products of a step use that;
`gpytorch` and scikit-learn give matrices only. The periodic kernel has the convention of scikit-learn's
`ExpSineSquared`, with the squared length.
"""

from math import log, pi
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from bnnbench.bayes.method import MethodParams
from bnnbench.bayes.noise import normal, permutation

EXACT = "donot_use_mm_for_euclid_dist"  # products instead would lose small distances, and their gradients
JITTER = 1e-5  # added to the diagonal of matrices of inducing points, whose entries are at most 1


def rbf(a: Tensor, b: Tensor, length: Tensor) -> Tensor:
    """exp(-|(a - b) / length|^2 / 2) for a [..., n, D], b [..., m, D]: [..., n, m]."""
    return (-0.5 * torch.cdist(a / length, b / length, compute_mode=EXACT).square()).exp()


def periodic(a: Tensor, b: Tensor, length: Tensor, period: Tensor) -> Tensor:
    """exp(-2 sum_d sin^2(pi (a_d - b_d) / period) / length^2) for a [n, D], b [m, D]: [n, m]."""
    waves = torch.sin(pi * (a[:, None] - b[None]) / period).square().sum(-1)
    return (-2 * waves / length.square()).exp()


class Auxiliary(MethodParams):
    """The kernel over contexts, which are the net's inputs or a learned linear map of them."""

    kind: Literal["rbf", "periodic", "locally-periodic"] = Field(
        "rbf", description="locally-periodic: the product of the other two"
    )
    length: PositiveFloat = Field(0.5, description="of rbf, at the start of the fit")
    wave_length: PositiveFloat = Field(1.0, description="length of the periodic kernel, at the start")
    period: PositiveFloat = Field(2.0, description="at the start; from more than 15 % away it is rarely found")
    contexts: PositiveInt = Field(15, description="inducing contexts")
    dims: PositiveInt | None = Field(None, description="of a learned linear map of the inputs; null: the inputs")

    @model_validator(mode="after")
    def _uses_what_is_given(self) -> "Auxiliary":
        unused = {"rbf": {"wave_length", "period"}, "periodic": {"length"}}.get(self.kind, set())
        if given := sorted(unused & self.model_fields_set):
            raise ValueError(f"{given[0]}: the kernel {self.kind!r} has none; leave it out")
        return self

    def made(self, x: Tensor, generator: torch.Generator | None) -> "ContextKernel":
        """The kernel at the start of a fit to inputs x [N, D]."""
        return ContextKernel(self, x, generator)


class ContextKernel(nn.Module):
    """k_aux over contexts t = x, or t = x A^T, with its inducing contexts; all of it is learned.

    In one dimension inducing contexts start on a grid: for rbf over the range of the data and a quarter of it on either
    side, for a periodic kernel over one period. In several they start at points of the data.
    """

    def __init__(self, params: Auxiliary, x: Tensor, generator: torch.Generator | None) -> None:
        super().__init__()
        self.kind = params.kind
        n_inputs = x.shape[1]
        self.map: nn.Parameter | None = None
        if params.dims is not None:
            start = normal((params.dims, n_inputs), generator, x)
            spread = (x @ start.T).std(0, keepdim=True, correction=0).mT
            self.map = nn.Parameter(start / torch.where(spread > 0, spread, 1.0))
        contexts = self.contexts(x).detach()
        self.log_length = nn.Parameter(torch.full((contexts.shape[1],), log(params.length), dtype=torch.float64))
        self.log_wave_length = nn.Parameter(torch.tensor(log(params.wave_length), dtype=torch.float64))
        self.log_period = nn.Parameter(torch.tensor(log(params.period), dtype=torch.float64))
        self.inducing = nn.Parameter(_spread(contexts, params, generator))
        self.register_buffer("mean_input", x.mean(0, keepdim=True))
        for unused in {"rbf": ("log_wave_length", "log_period"), "periodic": ("log_length",)}.get(params.kind, ()):
            self.get_parameter(unused).requires_grad_(False)

    mean_input: Tensor

    @property
    def centre(self) -> Tensor:
        """The context of the mean input [1, d]."""
        return self.contexts(self.mean_input)

    def contexts(self, x: Tensor) -> Tensor:
        """Contexts [N, d] of inputs [N, D]."""
        return x if self.map is None else x @ self.map.T

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """k_aux of contexts a [n, d] and b [m, d]: [n, m]."""
        values = torch.ones((), dtype=a.dtype, device=a.device)
        if self.kind != "periodic":
            values = values * rbf(a, b, self.log_length.exp())
        if self.kind != "rbf":
            values = values * periodic(a, b, self.log_wave_length.exp(), self.log_period.exp())
        return values

    @property
    def period(self) -> float | None:
        """The learned period, where the kernel has one."""
        return None if self.kind == "rbf" else self.log_period.exp().item()


def _spread(contexts: Tensor, params: Auxiliary, generator: torch.Generator | None) -> Tensor:
    """Where inducing contexts start [M, d]."""
    n_points, n_dims = contexts.shape
    if n_dims > 1:
        order = permutation(n_points, generator, contexts.device)
        rows = order.repeat(-(-params.contexts // n_points))[: params.contexts]
        jitter = 0.05 * normal((len(rows), n_dims), generator, contexts)
        return contexts[rows] + jitter * contexts.std(0, correction=0)
    low, high = contexts.min().item(), contexts.max().item()
    if params.kind == "periodic":
        middle = (low + high) / 2
        ends = torch.linspace(middle - params.period / 2, middle + params.period / 2, params.contexts + 1)
        return ends[:-1, None].to(contexts)
    margin = (high - low) / 4
    return torch.linspace(low - margin, high + margin, params.contexts)[:, None].to(contexts)


def inverse_root(matrix: Tensor) -> Tensor:
    """L^-1 of the Cholesky factor L of a kernel matrix [M, M] with `JITTER` on its diagonal."""
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    root: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(matrix + JITTER * eye), eye, upper=False)
    return root
