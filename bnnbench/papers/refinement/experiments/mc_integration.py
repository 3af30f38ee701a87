"""How well few draws integrate a sigmoid under a normal logit (Figures 4.1a and 4.2)."""

from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SAMPLES = (5, 10, 20, 30, 50, 100, 200, 500, 1000, 2000, 5000)
METRICS = (
    *(
        Metric(
            f"standard_error_{s}", "probability", False, f"standard error of {s} draws of sigmoid(f), f ~ N(5, 10^2)"
        )
        for s in SAMPLES
    ),
    Metric("largest_error_100", "probability", False, "largest error of 100 draws over the grid"),
    Metric("largest_error_10000", "probability", False, "largest error of 10,000 draws over the grid"),
    Metric("largest_error_probit", "probability", False, "largest error of the probit approximation over the grid"),
)


class Integration(Params):
    """Parameters of `refinement/mc-integration`."""

    cells: PositiveInt = Field(100, description="of a side of the grid: means from -100 to 100, variances up to 1000")
    nodes: PositiveInt = Field(20_000, description="of the trapezoidal rule that errors are measured against")


@experiment("refinement/mc-integration", params=Integration, metrics=METRICS)
def mc_integration(params: Integration, run: Run) -> Outcome:
    """Errors of Monte Carlo and of the probit approximation against a fine trapezoidal rule, cell by cell."""
    import torch

    generator = run.generator("draws")
    means = torch.linspace(-100, 100, params.cells, dtype=torch.float64)
    deviations = torch.linspace(1000**0.5 / params.cells, 1000**0.5, params.cells, dtype=torch.float64)
    table: dict[str, list[float]] = {"mean": [], "deviation": [], "100": [], "10000": [], "probit": []}
    for mean in means:
        exact = _trapezoid(mean, deviations, params.nodes)
        metrics = {
            "100": _monte_carlo(mean, deviations, 100, generator),
            "10000": _monte_carlo(mean, deviations, 10_000, generator),
            "probit": _probit(mean, deviations),
        }
        table["mean"] += [mean.item()] * params.cells
        table["deviation"] += deviations.tolist()
        for name, value in metrics.items():
            table[name] += (value - exact).abs().tolist()
    errors = {f"largest_error_{name}": max(table[name]) for name in ("100", "10000", "probit")}
    draws = torch.sigmoid(5 + 10 * torch.randn(SAMPLES[-1], generator=generator, dtype=torch.float64))
    curve = {"samples": list(SAMPLES), "standard_error": [(draws[:s].std() / s**0.5).item() for s in SAMPLES]}
    spread = torch.sigmoid(5 + 10 * torch.randn(10**6, generator=generator, dtype=torch.float64)).std()
    standard = {f"standard_error_{s}": (spread / s**0.5).item() for s in SAMPLES}
    return Outcome({**errors, **standard}, {"grid": table, "curve": curve})


def _trapezoid(mean: "Tensor", deviations: "Tensor", nodes: int) -> "Tensor":
    """The mean of sigmoid(f) under N(mean, deviation^2) within 8 deviations, for each deviation."""
    import torch

    z = torch.linspace(-8, 8, nodes, dtype=torch.float64)
    density = torch.exp(-0.5 * z**2)
    values = torch.sigmoid(mean + deviations[:, None] * z) * density
    return torch.trapezoid(values, z) / torch.trapezoid(density, z)


def _monte_carlo(mean: "Tensor", deviations: "Tensor", samples: int, generator: "torch.Generator") -> "Tensor":
    import torch

    noise = torch.randn(len(deviations), samples, generator=generator, dtype=torch.float64)
    return torch.sigmoid(mean + deviations[:, None] * noise).mean(1)


def _probit(mean: "Tensor", deviations: "Tensor") -> "Tensor":
    from bnnbench.bayes.predictives import binary_probit

    return binary_probit(mean, deviations.square())
