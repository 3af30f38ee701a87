"""Densities of the shrinkage factor under three priors, beside draws of the prior."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELLS = 500  # of a shown density, as in the paper's figure
SPAN = 60.0  # of logit(kappa), outside of which no density that is shown has mass


class Shrinkage(Params):
    """Parameters of `dsm/shrinkage`."""

    local: Literal["half-cauchy", "half-t"] = "half-cauchy"
    shares: bool = Field(True, description="lambda^2 is multiplied by a share phi of a Dirichlet vector")
    freedom: PositiveFloat = Field(3.0, description="degrees of freedom of half-t")
    inputs: PositiveInt = Field(2, ge=2, description="length of the Dirichlet vector")
    concentration: PositiveFloat = Field(1.0, description="alpha of the Dirichlet vector")
    known: tuple[PositiveFloat, ...] = Field((0.1, 0.7, 1.0, 2.0, 5.0), description="z, all known scales together")
    other_inputs: tuple[PositiveInt, ...] = Field((2, 3, 5, 10, 15), description="also shown, with z = 1")
    draws: PositiveInt = 1_000_000


METRICS = [
    Metric("mass_error", "", False, "largest distance of the density's integral from 1 over all z"),
    Metric("cdf_error", "", False, "largest distance of the distribution functions of density and draws over all z"),
    Metric("mean_error", "", False, "largest distance of the means of density and draws over all z"),
]


@experiment("dsm/shrinkage", params=Shrinkage, metrics=METRICS)
def shrinkage(params: Shrinkage, run: Run) -> Outcome:
    """kappa = 1 / (1 + z^2 lambda^2 phi): its density in closed form and by draws."""
    import numpy as np

    rng, columns = run.rng("prior"), dict[str, list[Any]](z=[], inputs=[], kappa=[], density=[])
    errors = []
    for z in params.known:
        errors.append(_errors(params, z, _draws(params, z, rng)))
        _show(columns, params, z, params.inputs)
    for inputs in params.other_inputs if params.shares else ():
        _show(columns, params, 1.0, inputs)
    mass, distribution, mean = np.array(errors).max(0)
    return Outcome({"mass_error": mass, "cdf_error": distribution, "mean_error": mean}, {"density": columns})


def _density(params: Shrinkage, kappa: "NDArray[np.float64]", z: float, inputs: int) -> "NDArray[np.float64]":
    from bnnbench.bayes.priors.shrinkage import horseshoe_density, shared_density

    if params.shares:
        freedom = 1.0 if params.local == "half-cauchy" else params.freedom
        return shared_density(kappa, z, freedom, params.concentration, inputs)
    if params.local != "half-cauchy":
        raise ValueError("without shares the density is known of half-cauchy alone")
    return horseshoe_density(kappa, z)


def _draws(params: Shrinkage, z: float, rng: "np.random.Generator") -> "NDArray[np.float64]":
    import numpy as np

    freedom = 1.0 if params.local == "half-cauchy" else params.freedom
    local = rng.standard_t(freedom, params.draws)
    alpha = params.concentration
    share = rng.beta(alpha, (params.inputs - 1) * alpha, params.draws) if params.shares else np.ones(params.draws)
    return 1 / (1 + (z * local) ** 2 * share)


def _errors(params: Shrinkage, z: float, draws: "NDArray[np.float64]") -> tuple[float, float, float]:
    """Of the integral, of the distribution function at quantiles of the draws, and of the mean."""
    import numpy as np
    from scipy.integrate import cumulative_trapezoid
    from scipy.special import expit

    logit = np.linspace(-SPAN, SPAN, 40_001)
    kappa, rest = expit(logit), expit(-logit)
    with np.errstate(all="ignore"):  # where kappa rounds to 1 the density is 0 times infinity
        weight = np.nan_to_num(_density(params, kappa, z, params.inputs) * kappa * rest, posinf=0.0)
    mass = cumulative_trapezoid(weight, logit, initial=0.0)
    mean = np.trapezoid(weight * kappa, logit)
    at = np.quantile(draws, np.linspace(0.01, 0.99, 99))
    at_quantiles = np.interp(np.log(at) - np.log1p(-np.minimum(at, 1 - 1e-15)), logit, mass)
    return abs(mass[-1] - 1), np.abs(at_quantiles - np.linspace(0.01, 0.99, 99)).max(), abs(mean - draws.mean())


def _show(columns: dict[str, list[Any]], params: Shrinkage, z: float, inputs: int) -> None:
    import numpy as np

    kappa = np.linspace(0.001, 0.999, CELLS)
    columns["z"] += [z] * CELLS
    columns["inputs"] += [inputs] * CELLS
    columns["kappa"] += kappa.tolist()
    columns["density"] += _density(params, kappa, z, inputs).tolist()
