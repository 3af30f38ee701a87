"""What the priors say before any data: densities of the shrinkage factor, and whether inputs of a unit compete."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, study
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

SCALES = (0.1, 0.7, 1.0, 2.0, 5.0)  # z of the drawn densities
DRAWN_INPUTS, DRAWN_ALPHA = 2, 1.0  # of the drawn densities, as in the authors' figure
METRICS = (
    *(
        Metric(f"density_error_{law}", "", False, f"largest gap of probabilities of 20 bins of kappa: {law}")
        for law in ("horseshoe", "dhs", "dst")
    ),
    Metric("share_correlation", "", None, "of two Dirichlet shares of a unit; -1 / (p - 1) in closed form"),
    Metric("signs_as_predicted", "%", True, "laws of a unit's scale whose weights co-vary with the predicted sign"),
    *(
        Metric(
            f"m_eff_{moment}_{kind}", "", None, f"{moment} of the prior effective number of weights of a unit: {kind}"
        )
        for moment in ("mean", "sd")
        for kind in ("dirichlet", "beta")
    ),
)


class Theory(Params):
    """Inputs of a unit, and how many draws check a closed form."""

    inputs: PositiveInt = Field(10, description="p")
    alpha: PositiveFloat = Field(0.1, description="concentration of a share")
    draws: PositiveInt = 400_000


@study(params=Theory, metrics=METRICS)
def theory(params: Theory, run: Run) -> Outcome:
    """Closed forms beside Monte Carlo."""
    import numpy as np

    rng = run.rng("theory")
    gammas = rng.gamma(params.alpha, size=(params.draws, params.inputs))
    shares = gammas / gammas.sum(1, keepdims=True)
    betas = rng.beta(params.alpha, (params.inputs - 1) * params.alpha, size=shares.shape)
    cauchy, student = np.abs(rng.standard_cauchy(params.draws)), np.abs(rng.standard_t(3, params.draws))
    found = {
        "density_error_horseshoe": _density_error(cauchy**2, None, params),
        "density_error_dhs": _density_error(cauchy**2 * shares[:, 0], 1.0, params),
        "density_error_dst": _density_error(student**2 * shares[:, 0], 3.0, params),
        "share_correlation": float(np.corrcoef(shares[:, 0], shares[:, 1])[0, 1]),
    }
    local = np.abs(rng.standard_cauchy(shares.shape))
    sizes = {"dirichlet": _effective(local, shares), "beta": _effective(local, betas)}
    for kind, size in sizes.items():
        found |= {f"m_eff_mean_{kind}": float(size.mean()), f"m_eff_sd_{kind}": float(size.std())}
    dependence = _dependence(params, shares, rng)
    agree = [
        (c > 0) == (r > b) for c, r, b in zip(*(dependence[k] for k in ("correlation", "r", "bound")), strict=True)
    ]
    found["signs_as_predicted"] = 100 * float(np.mean(agree))
    kept = {kind: size[:4000].tolist() for kind, size in sizes.items()}
    return Outcome(found, {"density": _densities(), "dependence": dependence, "m_eff": kept})


def _density(kappa: "Reals", freedom: float | None, z: float, alpha: float, inputs: int) -> "Reals":
    from bnnbench.bayes.priors import shrinkage

    if freedom is None:
        return shrinkage.horseshoe_density(kappa, z)
    return shrinkage.shared_density(kappa, z, freedom, alpha, inputs)


def _density_error(squares: "Reals", freedom: float | None, params: Theory) -> float:
    """Of 20 bins of kappa = 1 / (1 + lambda^2 phi) between 0.02 and 0.98, by the midpoint rule on 200 cells a bin."""
    import numpy as np

    edges = np.linspace(0.02, 0.98, 21)
    drawn = np.histogram(1 / (1 + squares), edges)[0] / len(squares)
    cells = np.linspace(0.02, 0.98, 20 * 200 + 1)
    density = _density((cells[1:] + cells[:-1]) / 2, freedom, 1.0, params.alpha, params.inputs)
    return float(np.abs(drawn - (density * np.diff(cells)).reshape(20, 200).sum(1)).max())


def _effective(local: "Reals", shares: "Reals") -> "Reals":
    """sum_k (1 - kappa_k) of each draw, z = 1, with a local scale for each weight."""
    found: Reals = (1 - 1 / (1 + local**2 * shares)).sum(1)
    return found


def _dependence(params: Theory, shares: "Reals", rng: "np.random.Generator") -> dict[str, list[Any]]:
    """Correlation of X phi_1 and X phi_2 for laws of X, beside r(X) = Var X / (E X)^2 and its bound 1 / (p alpha).

    Var and E are closed forms, so that heavy tails need no draws; laws near the bound, whose correlation is near 0, are
    left out.
    """
    import numpy as np

    n, bound = len(shares), 1 / (params.inputs * params.alpha)
    laws: dict[tuple[str, float], tuple[float, Reals]] = {
        ("half-normal", 1.0): (np.pi / 2 - 1, np.abs(rng.normal(size=n)))
    }
    for sigma in (0.3, 0.5, 1.2):
        laws["log-normal", sigma] = float(np.expm1(sigma**2)), rng.lognormal(0, sigma, n)
    for shape in (0.3, 0.5, 3.0, 6.0):
        laws["gamma", shape] = 1 / shape, rng.gamma(shape, size=n)
    rows = [
        {
            "law": law,
            "tail": tail,
            "r": r,
            "bound": bound,
            "correlation": float(np.corrcoef(x * shares[:, 0], x * shares[:, 1])[0, 1]),
        }
        for (law, tail), (r, x) in laws.items()
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _densities() -> dict[str, list[Any]]:
    """Curves for the figure, with two inputs and alpha = 1."""
    import numpy as np

    kappa = np.linspace(0.001, 0.999, 200)
    table: dict[str, list[Any]] = {"law": [], "z": [], "kappa": [], "density": []}
    for law, freedom in (("DHS", 1.0), ("DST", 3.0), ("horseshoe", None)):
        for z in SCALES:
            table["law"] += [law] * len(kappa)
            table["z"] += [z] * len(kappa)
            table["kappa"] += kappa.tolist()
            table["density"] += _density(kappa, freedom, z, DRAWN_ALPHA, DRAWN_INPUTS).tolist()
    return table
