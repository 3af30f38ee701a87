"""Figures of the priors themselves, redrawn from results."""

from typing import TYPE_CHECKING

from bnnbench.harness.charts import first_seed
from bnnbench.harness.collect import Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

SHRINKAGE, DEPENDENCE = "dsm/shrinkage", "dsm/dependence"
EFFECTIVE, DESCENT = "dsm/effective-parameters", "dsm/double-descent"
PRIORS = {"dhs": "Dirichlet-horseshoe", "dst": "Dirichlet-Student (3)", "horseshoe": "horseshoe"}
HIGHEST = 7.0  # where the paper's figure cuts densities


@figure(
    "shrinkage",
    "Prior density of the shrinkage factor",
    "kappa is 1 where a weight is shrunk to 0. Above: by z, all known scales of a weight together, with two inputs and "
    "alpha = 1. Below: by the number of inputs, with z = 1. Densities are in closed form and cut at 7.",
    source="densities of kappa, authors' code",
    experiments=[SHRINKAGE],
)
def shrinkage(results: Results) -> "Canvas":
    """A panel a prior; the horseshoe has no inputs to vary."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.4, 5.0))
    panels = canvas.subplots(2, 3, sharey=True)
    for column, (variant, title) in enumerate(PRIORS.items()):
        table = first_seed(results.table(SHRINKAGE, variant, "density"))
        first = table["inputs"].iloc[0]
        for axes, part, by in (
            (panels[0, column], table[table["inputs"] == first], "z"),
            (panels[1, column], table[table["z"] == 1], "inputs"),
        ):
            if by == "inputs" and variant == "horseshoe":
                axes.axis("off")
                continue
            for k, (value, curve) in enumerate(part.drop_duplicates([by, "kappa"]).groupby(by)):
                style = {"color": PALETTE[k % len(PALETTE)], "linestyle": ("-", "--", "-.", ":", (0, (1, 1)))[k % 5]}
                axes.plot(curve["kappa"], curve["density"].clip(upper=HIGHEST), label=f"{value:g}", **style)
            axes.set(title=title if by == "z" else "", xlabel=r"$\kappa$", ylim=(0, HIGHEST))
            axes.legend(title=by, fontsize="x-small", title_fontsize="x-small", loc="upper center")
    for axes in panels[:, 0]:
        axes.set_ylabel("density")
    return canvas


@figure(
    "dependence",
    "Where two weights of a unit compete",
    "r = variance / squared mean of the local scale against the parameter of its tail. Below the dashed border "
    "1 / (p alpha) = 1 the covariance of two scaled shares is negative (they compete), above it positive (they are "
    "active together). Markers are signs of covariances of draws, first seed: a disc where it is positive, a ring "
    "where it is negative, none where draws do not decide.",
    source="sign of the covariance, authors' code",
    experiments=[DEPENDENCE],
)
def dependence(results: Results) -> "Canvas":
    """A line a family."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.6))
    axes = canvas.subplots()
    for k, name in enumerate(("half-normal", "lognormal", "gamma", "inverse-gamma", "beta-prime", "half-t")):
        curve = first_seed(results.table(DEPENDENCE, name, "curve")).sort_values("tail")
        color = PALETTE[k % len(PALETTE)]
        axes.plot(curve["tail"], curve["r"], color=color, label=name, linewidth=1)
        decided = curve[curve["covariance"].abs() > 4 * curve["standard_error"]]
        for part, face in ((decided[decided["covariance"] > 0], color), (decided[decided["covariance"] < 0], "none")):
            axes.plot(part["tail"], part["r"], "o", color=color, markerfacecolor=face, markersize=6)
    axes.axhline(1.0, color="0.3", linestyle="--", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="parameter of the tail (sigma, shape, b, degrees of freedom)")
    axes.set_ylabel(r"$r(\lambda)$ = variance / mean$^2$")
    axes.legend(fontsize="x-small", ncols=2)
    return canvas


@figure(
    "effective-parameters",
    "Prior of the effective number of parameters of a unit",
    "Ten inputs, alpha = 0.1, half-Cauchy scales of weights or of the unit; Dirichlet shares and independent beta "
    "shares of the same marginals; 5,000 draws of the first seed.",
    source="histogram of m_eff, authors' code",
    experiments=[EFFECTIVE],
)
def effective_parameters(results: Results) -> "Canvas":
    """A histogram a prior."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(6.0, 3.2))
    axes = canvas.subplots()
    names = {"dirichlet": "Dirichlet", "beta": "independent beta", "dirichlet-unit": "Dirichlet, one scale a unit"}
    for k, (name, label) in enumerate(names.items()):
        values = first_seed(results.table(EFFECTIVE, name, "draws"))["m_eff"]
        style = ("-", "--", ":")[k]
        axes.hist(
            values, bins=60, range=(0, 6), density=True, histtype="step", label=label, color=PALETTE[k], linestyle=style
        )
    axes.set(xlabel=r"$m_\mathrm{eff}$ = $\sum_k (1 - \kappa_k)$", ylabel="density", xlim=(0, 6))
    axes.legend()
    return canvas


@figure(
    "double-descent",
    "Ridgeless regression from few to many features",
    "Risk of the least-squares solution of smallest norm on the inputs and on as many random tanh features drawn from "
    "each prior: median over seeds and the middle 80 % of seeds. Dashed: the risk of predicting 0.",
    source="a study in the authors' code",
    experiments=[DESCENT],
)
def double_descent(results: Results) -> "Canvas":
    """A line a prior."""
    from matplotlib.figure import Figure as Canvas

    names = {"inputs": "inputs", "gauss": "Gaussian", "rhs": "horseshoe", "dhs": "Dirichlet-horseshoe",
             "dst": "Dirichlet-Student"}  # fmt: skip
    canvas = Canvas(figsize=(6.4, 3.8))
    axes = canvas.subplots()
    for k, (variant, label) in enumerate(names.items()):
        by_ratio = results.table(DESCENT, variant, "risk").groupby("ratio")["risk"]
        middle = by_ratio.median()
        axes.plot(middle.index, middle, color=PALETTE[k], marker="osD^v"[k], markersize=4, label=label, linewidth=1.2)
        axes.fill_between(middle.index, by_ratio.quantile(0.1), by_ratio.quantile(0.9), color=PALETTE[k], alpha=0.15)
    axes.axvline(1.0, color="0.3", linestyle=":", linewidth=1)
    axes.axhline(1.0, color="0.3", linestyle="--", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="features and inputs for each training point", ylabel="risk")
    axes.set_xticks(middle.index, [f"{ratio:g}" for ratio in middle.index], minor=False)
    axes.minorticks_off()
    axes.legend(fontsize="x-small")
    return canvas
