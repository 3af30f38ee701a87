"""The prior of the effective number of parameters of a unit, with shares that compete and with independent ones."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

SHOWN = 5000


class EffectiveParameters(Params):
    """Parameters of `dsm/effective-parameters`."""

    shares: Literal["dirichlet", "beta"] = Field("dirichlet", description="beta: independent, of the same marginals")
    local: Literal["weight", "unit"] = Field("weight", description="what has a half-Cauchy lambda of its own")
    inputs: PositiveInt = Field(10, ge=2)
    concentration: PositiveFloat = 0.1
    known: PositiveFloat = Field(1.0, description="z, all known scales together")
    draws: PositiveInt = 400_000


METRICS = [
    Metric("m_eff", "", None, "mean of m_eff"),
    Metric("m_eff_std", "", None, "standard deviation of m_eff"),
    Metric("m_eff_small", "%", None, "prior probability of m_eff below a quarter"),
    Metric("m_eff_large", "%", None, "prior probability of m_eff above three"),
]


@experiment("dsm/effective-parameters", params=EffectiveParameters, metrics=METRICS)
def effective_parameters(params: EffectiveParameters, run: Run) -> Outcome:
    """m_eff = sum_k (1 - kappa_k), kappa_k = 1 / (1 + z^2 lambda^2 phi_k), with lambda half-Cauchy."""
    import numpy as np

    rng, alpha, shape = run.rng("prior"), params.concentration, (params.draws, params.inputs)
    local = rng.standard_cauchy(shape if params.local == "weight" else (params.draws, 1))
    if params.shares == "dirichlet":
        shares = rng.dirichlet(np.full(params.inputs, alpha), params.draws)
    else:
        shares = rng.beta(alpha, (params.inputs - 1) * alpha, shape)
    scaled = (params.known * local) ** 2 * shares
    m_eff = (scaled / (1 + scaled)).sum(1)
    metrics = {
        "m_eff": float(m_eff.mean()),
        "m_eff_std": float(m_eff.std()),
        "m_eff_small": 100 * float((m_eff < 0.25).mean()),
        "m_eff_large": 100 * float((m_eff > 3).mean()),
    }
    return Outcome(metrics, {"draws": {"m_eff": m_eff[:SHOWN].tolist()}})
