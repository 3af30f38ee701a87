"""Friedman's function: errors, pruning, effective parameters and chains."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bnnbench.harness.charts import PUBLISHED, first_seed, measured, printed, rows
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure
from bnnbench.harness.statistics import mean_interval
from bnnbench.papers.dsm.settings import SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INDEPENDENT, CORRELATED, AUTHORS = "dsm/friedman", "dsm/friedman-correlated", "dsm/friedman-authors"
LABELS = {
    "gauss-unit": "Gaussian, sd 1", "gauss": "Gaussian, sd 1/√H", "gauss-learned": "Gaussian, learned sd", "rhs": "RHS",
    "dhs": "DHS", "dst": "DST", "dhs-local": "DHS local", "dst-local": "DST local", "rhs-node": "RHS node",
    "bhs": "BHS", "bst": "BST",
}  # fmt: skip
SHOWN: Mapping[str, str] = {f"{name},n=100": label for name, label in LABELS.items()}
DRAWN = ("gauss-unit,n=100", "gauss,n=100", "rhs,n=100", "dhs-local,n=100", "dst-local,n=100")


def _errors(results: Results, experiment: str) -> "Canvas":
    metrics = {"rmse_stored": "RMSE, authors' points\n(training sd of y)", "rmse": "RMSE, new points", "crps": "CRPS"}
    return rows(results, experiment, SHOWN, {**metrics, "coverage_95": "95 % coverage (%)"})


@figure(
    "friedman_errors",
    "Friedman's function, 100 independent points",
    "RMSE on the authors' held-out points (mean over draws, in standard deviations of y) and on new points (posterior "
    "mean), CRPS, and coverage. Points are data sets, bars their mean with its 95 % interval.",
    source="the authors' study of independent inputs",
    experiments=[INDEPENDENT],
)
def friedman_errors(results: Results) -> "Canvas":
    """A row a prior."""
    return _errors(results, INDEPENDENT)


@figure(
    "friedman_correlated_errors",
    "Friedman's function, 100 correlated points",
    "As before, for correlated inputs; diamonds are means over the same five data sets in the authors' stored outputs.",
    source="the authors' study of correlated inputs",
    experiments=[CORRELATED],
)
def friedman_correlated_errors(results: Results) -> "Canvas":
    """A row a prior."""
    return _errors(results, CORRELATED)


@figure(
    "friedman_authors_errors",
    "Friedman's function, the authors' own independent points",
    "As before, for the one data set behind the authors' five; points are seeds of the sampler, diamonds the authors' "
    "stored outputs.",
    source="the authors' study of independent inputs",
    experiments=[AUTHORS],
)
def friedman_authors_errors(results: Results) -> "Canvas":
    """A row a prior."""
    return _errors(results, AUTHORS)


@figure(
    "friedman_pruning",
    "Pruning the first layer",
    "RMSE of the posterior mean against the share of first-layer weights set to 0, by three schemes: the smallest of "
    "each draw, one mask for all draws, and one mask after hidden units are matched. Bands are 95 % intervals over "
    "data sets.",
    source="the authors' study of pruning; the third scheme is ours",
    experiments=[INDEPENDENT, CORRELATED],
)
def friedman_pruning(results: Results) -> "Canvas":
    """A row a design, a column a scheme."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 4.8))
    panels = canvas.subplots(2, 3, sharex=True, sharey="row")
    schemes = {"draw": "mask of each draw", "mask": "one mask", "matched": "one mask,\nunits matched"}
    for line, (experiment, name) in zip(
        panels, ((INDEPENDENT, "independent"), (CORRELATED, "correlated")), strict=True
    ):
        for axes, (scheme, title) in zip(line, schemes.items(), strict=True):
            if not _pruning(axes, results, experiment, scheme):
                axes.text(0.5, 0.5, "not run", ha="center", va="center", transform=axes.transAxes, fontsize="small")
            axes.set_title(title if name == "independent" else "", fontsize="medium")
        line[0].set(ylabel=f"{name} inputs\nRMSE (unit of y)")
    curves = {str(line.get_label()): line for axes in panels[:, 0] for line in axes.lines}
    if not curves:
        results.values(CORRELATED, DRAWN[0], "rmse")  # raises NotRun with the reason
    for axes in panels[1]:
        axes.set(xlabel="weights pruned (%)")
    canvas.legend([*curves.values()], [*curves], loc="outside lower center", ncols=3)
    return canvas


def _pruning(axes: "Axes", results: Results, experiment: str, scheme: str) -> int:
    """Curves of the priors that were run; how many there are."""
    drawn = 0
    for variant, color in zip(DRAWN, PALETTE, strict=False):
        points = [list(measured(results, experiment, variant, f"rmse_pruned_{scheme}_{q}").values()) for q in SHARES]
        if not all(points):
            continue
        drawn += 1
        found = [mean_interval(values) for values in points]
        axes.plot(SHARES, [one.mean for one in found], color=color, label=SHOWN[variant])
        if found[0].n > 1:
            low, high = [one.low for one in found], [one.high for one in found]
            axes.fill_between(SHARES, low, high, color=color, alpha=0.15, linewidth=0)
    return drawn


@figure(
    "friedman_effective",
    "Effective first-layer weights",
    "Left: the effective number of first-layer weights over draws, with each prior's own precision (first data set); "
    "dashed lines are modes of the authors' histograms, whose Gaussian has another precision than its prior. Right: "
    "sorted shares that the data determine, median and 10 to 90 % of draws.",
    source="the authors' study of the linearised net",
    experiments=[CORRELATED],
)
def friedman_effective(results: Results) -> "Canvas":
    """Histograms and curves."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.2))
    left, right = canvas.subplots(1, 2)
    missing = None
    for variant, color in zip(DRAWN, PALETTE, strict=False):
        try:
            sizes, curve = (first_seed(results.table(CORRELATED, variant, name)) for name in ("m_eff", "eigenvalues"))
        except NotRun as error:
            missing = error
            continue
        left.hist(sizes["own"], bins=20, histtype="step", color=color, label=SHOWN[variant])
        if "m_eff_authors" in (known := printed(CORRELATED, variant)):
            left.axvline(known["m_eff_authors"], color=color, linestyle="--", linewidth=0.8)
        right.plot(curve["rank"], curve["median"], color=color, label=SHOWN[variant])
        right.fill_between(curve["rank"], curve["low"], curve["high"], color=color, alpha=0.15, linewidth=0)
    if not right.lines and missing is not None:
        raise missing
    left.set(xlabel="effective weights", ylabel="draws")
    right.set(xlabel="rank", ylabel="share determined by the data")
    right.legend()
    return canvas


@figure(
    "friedman_traces",
    "Chains of outputs",
    "Outputs at two new points along the chains of the Dirichlet horseshoe, first data set, in standard deviations of "
    "y; colours are chains. Below, the largest rank-normalised R-hat over outputs, by prior and data set, with its "
    "bound 1.05.",
    source="the authors' study of convergence, of outputs at training points",
    experiments=[CORRELATED],
)
def friedman_traces(results: Results) -> "Canvas":
    """Traces, and R-hat of all priors."""
    from matplotlib.figure import Figure as Canvas

    traces = first_seed(results.table(CORRELATED, "dhs-local,n=100", "traces"))
    canvas = Canvas(figsize=(7.2, 4.6))
    first, second, below = canvas.subplots(3, 1)
    for axes, name in ((first, "output_0"), (second, "output_1")):
        for (_, chain), color in zip(traces.groupby("chain"), PALETTE, strict=False):
            axes.plot(chain["draw"], chain[name], color=color, linewidth=0.6)
        axes.set(ylabel="f(x)", xlabel="draw")
    for row, variant in enumerate(SHOWN):
        values = list(measured(results, CORRELATED, variant, "rhat_outputs").values())
        below.plot(values, [row] * len(values), "o", color=PALETTE[0], markersize=3)
    below.axvline(1.05, **{**PUBLISHED, "marker": "", "linestyle": "--", "label": "bound"})
    below.set(xlabel="largest R-hat of outputs")
    below.set_yticks(range(len(SHOWN)), list(SHOWN.values()), fontsize=6)
    return canvas
