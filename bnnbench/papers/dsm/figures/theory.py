"""What the priors say before any data."""

from typing import TYPE_CHECKING

from bnnbench.harness.charts import first_seed
from bnnbench.harness.collect import Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

THEORY = "dsm/theory"


@figure(
    "kappa_densities",
    "Prior densities of the shrinkage factor",
    "Closed-form densities of kappa, which is 1 where a weight is shrunk to 0, for known scales z; two inputs, alpha "
    "= 1.",
    source="the authors' figure of kappa",
    experiments=[THEORY],
)
def kappa_densities(results: Results) -> "Canvas":
    """A panel a law."""
    from matplotlib.figure import Figure as Canvas

    table = first_seed(results.table(THEORY, "default", "density"))
    canvas = Canvas(figsize=(7.2, 2.8))
    panels = canvas.subplots(1, 3, sharey=True)
    for axes, (law, part) in zip(panels, table.groupby("law"), strict=True):
        for (z, curve), color in zip(part.groupby("z"), PALETTE, strict=False):
            axes.plot(curve["kappa"], curve["density"], color=color, label=f"z = {z:g}")
        axes.set(title=law, xlabel="kappa", ylim=(0, 7))
    panels[0].set(ylabel="density")
    panels[-1].legend()
    return canvas


@figure(
    "dependence",
    "Competition or co-activation, and the prior effective number of weights",
    "Left: correlation of two weights' variances that share a scale X, by Monte Carlo, against Var X / (E X)^2; the "
    "predicted change of sign is at 1 / (p alpha), dashed. Right: the effective number of weights of a unit of ten "
    "inputs.",
    source="the authors' figures of the covariance's sign and of the prior m_eff",
    experiments=[THEORY],
)
def dependence(results: Results) -> "Canvas":
    """Signs and histograms."""
    from matplotlib.figure import Figure as Canvas

    table, sizes = (first_seed(results.table(THEORY, "default", name)) for name in ("dependence", "m_eff"))
    canvas = Canvas(figsize=(7.2, 3.0))
    left, right = canvas.subplots(1, 2)
    for (law, part), color, mark in zip(table.groupby("law"), PALETTE, "osD", strict=False):
        left.plot(part["r"], part["correlation"], mark, color=color, label=law, markersize=4)
    left.axvline(table["bound"].iloc[0], color="#000000", linestyle="--", linewidth=0.8)
    left.axhline(0, color="#000000", linewidth=0.8)
    left.set(xlabel="Var X / (E X)²", ylabel="correlation")
    left.legend()
    for kind, color in (("dirichlet", PALETTE[0]), ("beta", PALETTE[1])):
        right.hist(sizes[kind], bins=40, histtype="step", density=True, color=color, label=kind)
    right.set(xlabel="effective weights", ylabel="density")
    right.legend()
    return canvas
