"""Exact Gaussian-process regression: a posterior over functions in closed form, without a net."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, ExpSineSquared, WhiteKernel
from torch import Generator, Tensor, nn

from bnnbench.bayes.journal import Journal
from bnnbench.bayes.likelihood import Gaussian, LearnedNoise
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import EVALUATION_BATCH
from bnnbench.bayes.noise import normal
from bnnbench.bayes.posterior import RealPredictive, asked
from bnnbench.errors import ResultWarning

LARGEST = 5000  # points: the time of a fit grows with their cube
BOUNDS = 1e-8, 1e8  # of variance, lengths and squared noise in the search
SPREAD, TRIED = 0.5, 20  # standard deviation of the logarithms of random starts, and how many are tried for each kept
NAMES = {"constant_value": "variance", "length_scale": "length", "periodicity": "period", "noise_level": "noise"}

Array = np.ndarray[Any, np.dtype[np.float64]]


class GPParams(MethodParams):
    """Parameters of Gaussian-process regression; variance, length and period are where the search starts."""

    kernel: Literal["rbf", "periodic"] = "rbf"
    variance: PositiveFloat = Field(1.0, description="of f at every input, in the squared unit of the targets")
    length: PositiveFloat = Field(1.0, description="in the unit of the inputs for 'rbf'; without a unit for 'periodic'")
    ard: bool = Field(False, description="of 'rbf': a length for each input")
    period: PositiveFloat = Field(1.0, description="of 'periodic', in the unit of the input")
    period_factor: PositiveFloat = Field(10.0, gt=1, description="by which the period may leave its start")
    optimise: bool = Field(True, description="whether the marginal likelihood is maximised; else they stay as given")
    restarts: NonNegativeInt = Field(4, description="further starts of the search, random around the given one")

    @model_validator(mode="after")
    def _check(self) -> "GPParams":
        if self.ard and self.kernel != "rbf":
            raise ValueError("ard: a length for each input is of the kernel 'rbf' alone")
        return self


@dataclass(frozen=True)
class GPPosterior:
    """The posterior of a function f ~ GP(0, k) given y = f(x) + noise e, e ~ N(0, I).

    With K = k(X, X) + noise^2 I = L L^T at the N training inputs X, at any inputs x

        mean = k(x, X) K^-1 y,    cov = k(x, x) - k(x, X) K^-1 k(X, x)

    (Rasmussen and Williams 2006, eq. 2.23 and 2.24), all in float64. `covariance` is sklearn's kernel k, without the
    noise; `length` is one number, or one for each input where `ard` was given; `period` is `None` for 'rbf'.
    `log_evidence` is log N(y; 0, K) in nats (eq. 2.30), at these hyperparameters.
    """

    covariance: Any
    x: Array
    cholesky: Array
    weights: Array
    variance: float
    length: float | tuple[float, ...]
    period: float | None
    noise: float
    log_evidence: float

    @property
    def coherent(self) -> bool:
        """False: a prediction holds the marginals of each input; `functions` draws jointly."""
        return False

    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> RealPredictive:
        """One draw in closed form at x [N, ...]: mean [1, N] and noise [1, N] = sqrt(var f + noise^2)."""
        asked(n_draws, 1)
        means, deviations = [], []
        for part in x.split(EVALUATION_BATCH):
            rows = _rows(part)
            mean, explained = self._given(rows)
            variance = self.covariance.diag(rows) - np.square(explained).sum(0)
            means.append(mean)
            deviations.append(np.sqrt(variance.clip(0) + self.noise**2))
        return RealPredictive(_like(x, np.concatenate(means)[None]), _like(x, np.concatenate(deviations)[None]))

    def functions(self, x: Tensor, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, N] of f, without noise, jointly at x [N, ...]; other x give other functions.

        A draw uses the symmetric root of the covariance, which is continuous in the data. The cost is cubic in N.
        """
        rows = _rows(x)
        mean, explained = self._given(rows)
        values, vectors = np.linalg.eigh(self.covariance(rows) - explained.T @ explained)
        root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
        z = normal((asked(n_draws, n_draws), len(rows)), generator, torch.zeros((), dtype=torch.float64)).numpy()
        return _like(x, mean + z @ root)

    def _given(self, rows: Array) -> tuple[Array, Array]:
        """The mean [N] at inputs [N, d], and L^-1 k(X, x), whose square the data take from k(x, x)."""
        cross = self.covariance(rows, self.x)
        return cross @ self.weights, solve_triangular(self.cholesky, cross.T, lower=True)


def _rows(x: Tensor) -> Array:
    """Inputs [N, ...] as [N, d] in float64."""
    rows: Array = x.detach().flatten(1).double().cpu().numpy()
    return rows


def _like(x: Tensor, values: Array) -> Tensor:
    """Numbers on the device of x and in its dtype, where that is one of real numbers."""
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    return torch.as_tensor(values).to(x.device, dtype)


@method("gp", GPParams)
def gp(model: nn.Module, train: Train, params: GPParams, generator: Generator, journal: Journal) -> GPPosterior:
    """Exact regression with a Gaussian process of mean zero, a baseline that ignores the net and its parameters' prior.

    The kernels are

        rbf:      k(x, x') = variance exp(-1/2 sum_d (x_d - x'_d)^2 / length_d^2)
        periodic: k(x, x') = variance exp(-2 sin^2(pi (x - x') / period) / length^2), of one input.

    Variance, lengths and period, and the noise where it is to be learned, maximise the marginal likelihood
    (Rasmussen and Williams 2006, section 5.4.1). A known noise (`Gaussian`) stays as it is. A `LearnedNoise` starts at
    exp(prior_mean) and has no prior. A period stays within `period_factor` of its start. With `optimise: false` all
    of them stay as given.

    x [N, ...] are read as [N, d], y is [N]. `ValueError` for another likelihood, for several targets, for more than
    5000 points, for a periodic kernel of several inputs, and for a kernel matrix that is singular up to rounding. A
    `ResultWarning` where the search ended at a bound.
    """
    x, noise = _rows(train.x), _start_of_noise(train)
    _check_size(x, params)
    learned = isinstance(train.likelihood, LearnedNoise)
    signal = ConstantKernel(params.variance, BOUNDS) * _shape(params, x.shape[1])
    regressor = GaussianProcessRegressor(
        signal + WhiteKernel(noise**2, BOUNDS) if learned else signal,
        alpha=0.0 if learned else noise**2,
        optimizer=_search(params.restarts, generator) if params.optimise else None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is to be known of the search is said below, in one line
        try:
            regressor.fit(x, train.y.double().cpu().numpy())
        except np.linalg.LinAlgError:
            raise ValueError(
                f"likelihood: with a noise of {noise:.3g} the kernel matrix is singular in float64; give a larger one"
            ) from None
    if params.optimise:
        _warn_of_bounds(regressor.kernel_)
    return _posterior(regressor, noise, learned)


def _start_of_noise(train: Train) -> float:
    """The noise, known or where its search starts; `ValueError` for a likelihood without a single one."""
    likelihood = train.likelihood
    if not isinstance(likelihood, Gaussian | LearnedNoise):
        raise ValueError(
            f"likelihood: gp is of real targets with one noise, and {type(likelihood).__name__} was given; give "
            "Gaussian(noise) or LearnedNoise(), or take another method"
        )
    if train.y.dim() != 1:
        raise ValueError(f"y: {train.y.shape[1]} targets a point, where gp is of one; fit one gp for each target")
    return likelihood.noise if isinstance(likelihood, Gaussian) else exp(likelihood.prior_mean)


def _check_size(x: Array, params: GPParams) -> None:
    if len(x) > LARGEST:
        raise ValueError(f"x: {len(x)} points, and gp takes at most {LARGEST}, as its cost is cubic; give a subset")
    if params.kernel == "periodic" and x.shape[1] != 1:
        raise ValueError(
            f"x: {x.shape[1]} inputs, where the kernel 'periodic' is of one; take 'rbf', or give one input"
        )


def _shape(params: GPParams, n_inputs: int) -> Any:
    """The kernel with variance 1, as sklearn's."""
    if params.kernel == "periodic":
        periods = params.period / params.period_factor, params.period * params.period_factor
        return ExpSineSquared(params.length, params.period, BOUNDS, periods)
    return RBF(np.full(n_inputs, params.length) if params.ard else params.length, BOUNDS)


def _search(restarts: int, generator: Generator) -> Callable[[Any, Array, Array], tuple[Array, float]]:
    """L-BFGS-B from the given logarithms and from `restarts` others; the first of the best optima is taken.

    The others are the best of `TRIED` times as many random ones. As a function of the period the marginal likelihood
    has many optima, each narrow, which few starts would miss. sklearn's own restarts are uniform over all orders of
    magnitude within the bounds, where most gradients are zero.
    """

    def search(loss: Any, start: Array, bounds: Array) -> tuple[Array, float]:
        like = torch.zeros((), dtype=torch.float64)
        moves = SPREAD * normal((TRIED * restarts, len(start)), generator, like).numpy()
        tried = np.clip(start + moves, *bounds.T)
        order = np.argsort([loss(each, eval_gradient=False) for each in tried])
        starts = [start, *tried[order[:restarts]]]
        found = [minimize(loss, each, jac=True, method="L-BFGS-B", bounds=bounds) for each in starts]
        best = min(found, key=lambda optimum: float(np.nan_to_num(optimum.fun, nan=np.inf)))
        return best.x, best.fun

    return search


def _warn_of_bounds(kernel: Any) -> None:
    """Emits a `ResultWarning` that names the hyperparameters which ended at a bound of the search."""
    names = [NAMES[part.name.rpartition("__")[2]] for part in kernel.hyperparameters for _ in range(part.n_elements)]
    at_bound = np.isclose(kernel.theta[:, None], kernel.bounds, rtol=0, atol=1e-6).any(1)
    if at_bound.any():
        ended = ", ".join(
            f"{name} {value:.3g}" for name, value, at in zip(names, np.exp(kernel.theta), at_bound, strict=True) if at
        )
        text = f"gp: the marginal likelihood has no optimum within the bounds of the search; it ended at {ended}"
        warnings.warn(text, ResultWarning, stacklevel=2)


def _posterior(regressor: Any, noise: float, learned: bool) -> GPPosterior:
    """The closed form of a fitted regressor, with `noise` where it is known."""
    kernel = regressor.kernel_
    signal = kernel.k1 if learned else kernel
    length = np.atleast_1d(signal.k2.length_scale).tolist()
    return GPPosterior(
        covariance=signal,
        x=regressor.X_train_,
        cholesky=regressor.L_,
        weights=regressor.alpha_,
        variance=float(signal.k1.constant_value),
        length=tuple(length) if np.ndim(signal.k2.length_scale) else length[0],
        period=float(signal.k2.periodicity) if isinstance(signal.k2, ExpSineSquared) else None,
        noise=sqrt(kernel.k2.noise_level) if learned else noise,
        log_evidence=float(regressor.log_marginal_likelihood_value_),
    )
