"""Whether two weights of one unit compete or are active together: the sign of their variances' covariance.

Two inputs of a unit share lambda and have shares phi_k, phi_l of Dirichlet(alpha, ..., alpha) over p inputs. Then
Cov(lambda phi_k, lambda phi_l) has the sign of r(lambda) - 1 / (p alpha) with r(X) = Var X / (E X)^2.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Family = Literal["half-normal", "lognormal", "gamma", "inverse-gamma", "beta-prime", "half-t"]
DECIDED = 4.0  # standard errors of a covariance from which its sign is taken as known


class Dependence(Params):
    """Parameters of `dsm/dependence`."""

    family: Family = Field("half-t", description="of lambda")
    tails: tuple[PositiveFloat, ...] = Field((2.2, 2.5, 3.0, 4.0, 6.0, 10.0), description="its parameter")
    inputs: PositiveInt = Field(10, ge=2)
    concentration: PositiveFloat = 0.1
    draws: PositiveInt = Field(200_000, description="of lambda and of shares")
    slabs: tuple[PositiveFloat, ...] = Field(
        (2.38, 7.52, 1000.0), description="c^2 of the regularised squares shown, tau = 1: quantiles of InvGamma(2, 4)"
    )


METRICS = [
    Metric("agreement", "%", True, "decided signs of covariances that are those of r(lambda) - 1 / (p alpha)"),
    Metric("decided", "", None, "covariances that are several standard errors from 0"),
    Metric("smallest_r", "", None, "of the family over its parameters"),
    Metric("largest_r", "", None, "of the family over its parameters"),
]


@experiment("dsm/dependence", params=Dependence, metrics=METRICS)
def dependence(params: Dependence, run: Run) -> Outcome:
    """The closed form of r beside covariances of draws, and r of regularised squares by draws."""
    import numpy as np

    from bnnbench.bayes.priors.shrinkage import relative_variance

    rng, border = run.rng("prior"), 1 / (params.inputs * params.concentration)
    shares = rng.dirichlet(np.full(params.inputs, params.concentration), params.draws)[:, :2]
    curve: dict[str, list[Any]] = {"tail": [], "r": [], "covariance": [], "standard_error": []}
    slab: dict[str, list[Any]] = {"tail": [], "slab": [], "r": []}
    for tail in params.tails:
        local = _draws(params.family, tail, params.draws, rng)
        products = local[:, None] * shares
        centred = (products - products.mean(0)).prod(1)
        row = tail, ratio(params.family, tail), centred.mean(), centred.std() / np.sqrt(params.draws)
        for name, value in zip(curve, row, strict=True):
            curve[name].append(float(value))
        for c2 in params.slabs:
            for name, value in zip(slab, (tail, c2, relative_variance(c2 * local**2 / (c2 + local**2))), strict=True):
                slab[name].append(float(value))
    signs = [
        np.sign(r - border) == np.sign(covariance)
        for r, covariance, error in zip(curve["r"], curve["covariance"], curve["standard_error"], strict=True)
        if abs(covariance) > DECIDED * error
    ]
    metrics = {"decided": float(len(signs)), "smallest_r": min(curve["r"]), "largest_r": max(curve["r"])}
    agreement = {"agreement": 100 * float(np.mean(signs))} if signs else {}
    return Outcome({**metrics, **agreement}, {"curve": curve, "regularised": slab})


def ratio(family: Family, tail: float) -> float:
    """r = Var / mean^2 of a family of scales; `ValueError` where the variance is not finite.

    The half-normal has no parameter; sigma of the lognormal, the shapes of gamma and inverse gamma, b of the beta prime
    with a = 1, and the degrees of freedom of the half-t.
    """
    from math import exp, gamma, pi

    if family in ("inverse-gamma", "beta-prime", "half-t") and tail <= 2:
        raise ValueError(f"tails: {family} with {tail:g} has no finite variance; take more than 2")
    if family == "half-normal":
        return pi / 2 - 1
    if family == "lognormal":
        return exp(tail**2) - 1
    if family == "gamma":
        return 1 / tail
    if family == "inverse-gamma":
        return 1 / (tail - 2)
    if family == "beta-prime":
        return tail / (tail - 2)
    mean = 2 * (tail / pi) ** 0.5 * gamma((tail + 1) / 2) / (gamma(tail / 2) * (tail - 1))
    ratio_of_t: float = tail / (tail - 2) / mean**2 - 1
    return ratio_of_t


def _draws(family: Family, tail: float, n: int, rng: "np.random.Generator") -> "NDArray[np.float64]":
    import numpy as np

    if family == "half-normal":
        return np.abs(rng.standard_normal(n))
    if family == "lognormal":
        return rng.lognormal(0, tail, n)
    if family == "gamma":
        return rng.gamma(tail, size=n)
    if family == "inverse-gamma":
        return 1 / rng.gamma(tail, size=n)
    if family == "beta-prime":
        return rng.gamma(1.0, size=n) / rng.gamma(tail, size=n)
    return np.abs(rng.standard_t(tail, n))
