"""Ridgeless regression on random tanh features whose weights are drawn from a prior, from few to many features.

The data are a latent-factor model of Hastie, Montanari, Rosset and Tibshirani (2022, section 5.4): d latent variables
z ~ N(0, I), inputs x = W z + u with rows of W of length 1 and u ~ N(0, I), and targets y = z . theta with |theta| = 1.
"""

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.bayes.priors.mixture import ScaleMixture
from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATIOS = (0.16, 0.3, 0.7, 0.9, 1.5, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0)


class DoubleDescent(Params):
    """Parameters of `dsm/double-descent`."""

    prior: ScaleMixture | None = Field(None, description="of the features' weights; null: regression on the inputs")
    boost: PositiveFloat = Field(1.0, description="a factor of all weights that are drawn")
    n_train: PositiveInt = 100
    latent: PositiveInt = Field(20, description="d")
    ratios: tuple[PositiveFloat, ...] = Field(RATIOS, description="inputs, and features, for each training point")
    n_test: PositiveInt = 1000


METRICS = [
    Metric(f"risk_{ratio:g}", "", False, f"mean squared error at {ratio:g} features a point") for ratio in RATIOS
]
METRICS += [
    Metric("peak", "x", None, "largest risk between 0.7 and 1.5 features a point over that at the most features"),
    Metric("best", "", False, "smallest risk of all ratios"),
]


@experiment("dsm/double-descent", params=DoubleDescent, metrics=METRICS)
def double_descent(params: DoubleDescent, run: Run) -> Outcome:
    """The risk of the least-squares solution of smallest norm at each ratio."""
    rng, risks = run.rng("data"), dict[float, float]()
    for index, ratio in enumerate(params.ratios):
        inputs = max(1, round(ratio * params.n_train))
        x, y, x_test, y_test = _data(params, inputs, rng)
        weights = _features(params, inputs, seed=1000 * run.seed + index)
        risks[ratio] = _risk(_activated(x, weights), y, _activated(x_test, weights), y_test)
    metrics = {f"risk_{ratio:g}": risk for ratio, risk in risks.items() if ratio in RATIOS}
    near = [risk for ratio, risk in risks.items() if 0.7 <= ratio <= 1.5]
    peak = {"peak": max(near) / risks[max(risks)]} if near else {}
    return Outcome(
        {**metrics, **peak, "best": min(risks.values())}, {"risk": {"ratio": [*risks], "risk": [*risks.values()]}}
    )


def _data(params: DoubleDescent, inputs: int, rng: "np.random.Generator") -> "tuple[NDArray[np.float64], ...]":
    import numpy as np

    loadings = rng.standard_normal((inputs, params.latent))
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    theta = rng.standard_normal(params.latent)
    theta /= np.linalg.norm(theta)
    latent = rng.standard_normal((params.n_train + params.n_test, params.latent))
    x = latent @ loadings.T + rng.standard_normal((len(latent), inputs))
    y, n = latent @ theta, params.n_train
    return x[:n], y[:n], x[n:], y[n:]


def _features(params: DoubleDescent, inputs: int, seed: int) -> Any:
    """Weights [inputs, inputs] of as many features as inputs, one draw from the prior; none where it has none."""
    import jax
    import numpy as np

    from bnnbench.bayes.priors.scale_mixture import draws

    if params.prior is None:
        return None
    with jax.enable_x64(True):
        weights = draws(params.prior, (inputs, inputs), params.n_train, 1, seed)["weight"]
        return params.boost * np.asarray(weights)[0]


def _activated(x: "NDArray[np.float64]", weights: Any) -> "NDArray[np.float64]":
    import numpy as np

    return x if weights is None else np.tanh(x @ weights.T)


def _risk(features: Any, y: Any, test_features: Any, y_test: Any) -> float:
    import numpy as np

    coefficients = np.linalg.lstsq(features, y, rcond=None)[0]  # of smallest norm where there are several
    return float(np.mean((test_features @ coefficients - y_test) ** 2))
