"""What the paper derives of its priors, as tests over draws."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than, within
from bnnbench.harness.collect import Results

SHRINKAGE, DEPENDENCE = "dsm/shrinkage", "dsm/dependence"
EFFECTIVE, DESCENT = "dsm/effective-parameters", "dsm/double-descent"
FULL = ("laptop", "paper")
FAMILIES = ("half-normal", "lognormal", "gamma", "inverse-gamma", "beta-prime", "half-t")


@claim(
    "densities-of-shrinkage",
    "The shrinkage factor has a density in closed form under the horseshoe, the Dirichlet-horseshoe and the "
    "Dirichlet-Student prior.",
    source="densities of kappa in the paper's theory, by its authors' code",
    experiments=[SHRINKAGE],
    scales=FULL,
    resolution=Resolution(0.001, "", "a quarter of the bound, and what 300,000 draws tell"),
)
def densities_of_shrinkage(results: Results) -> Evidence:
    """Draws of the prior, whose own error is 0.0009 for 300,000 (half of 0.5 / sqrt(n) at the worst quantile)."""
    parts = []
    for variant in ("horseshoe", "dhs", "dst"):
        parts += [
            at_most(f"integral - 1, {variant}", results.interval(SHRINKAGE, variant, "mass_error"), 0.004),
            at_most(f"distribution, {variant}", results.interval(SHRINKAGE, variant, "cdf_error"), 0.004),
            at_most(f"mean, {variant}", results.interval(SHRINKAGE, variant, "mean_error"), 0.004),
        ]
    return all_of(*parts)


@claim(
    "tails-decide-competition",
    "Two weights of a unit compete where the local scale has light tails, and are active together where it has heavy "
    "ones: their covariance has the sign of r(lambda) - 1 / (p alpha).",
    source="the paper's result on dependence, by its authors' code",
    experiments=[DEPENDENCE],
    scales=FULL,
    resolution=[
        Resolution(2.0, "%", "less than one sign of the seven of a family"),
        Resolution(0.05, "", "a twentieth of the border, which is 1"),
    ],
)
def tails_decide_competition(results: Results) -> Evidence:
    """Signs that draws decide, in six families of which some lie on both sides of the border."""
    parts = [
        at_least(f"signs that agree, {name}", results.interval(DEPENDENCE, name, "agreement"), 95.0, "%")
        for name in FAMILIES
    ]
    light = at_most("r of lognormal, light tail", results.interval(DEPENDENCE, "lognormal", "smallest_r"), 0.9)
    heavy = at_least("r of lognormal, heavy tail", results.interval(DEPENDENCE, "lognormal", "largest_r"), 1.1)
    return all_of(*parts, light, heavy)


@claim(
    "shares-concentrate-the-effective-parameters",
    "A Dirichlet vector leaves the mean of a unit's effective number of parameters as independent shares have it, and "
    "makes it vary less: fewer units with none and fewer with many.",
    source="histogram of the prior of m_eff in the authors' code",
    experiments=[EFFECTIVE],
    scales=FULL,
    resolution=[
        Resolution(0.02, "", "a fiftieth of the mean, and a fifth of the difference of the deviations"),
        Resolution(0.5, "%", "half a percent of units"),
    ],
)
def shares_concentrate_the_effective_parameters(results: Results) -> Evidence:
    """Differences of independent draws."""
    mean, spread, none, many = (
        results.difference(EFFECTIVE, metric, "beta", "dirichlet")
        for metric in ("m_eff", "m_eff_std", "m_eff_small", "m_eff_large")
    )
    return all_of(
        within("mean, beta - Dirichlet", mean, 0.05),
        more_than("deviation, beta - Dirichlet", spread, 0.05),
        more_than("units below 0.25, beta - Dirichlet", none, 1.0, "%"),
        more_than("units above 3, beta - Dirichlet", many, 0.5, "%"),
    )


@claim(
    "features-of-priors-show-double-descent",
    "The risk of ridgeless regression peaks where there are as many features as points, for the inputs themselves and "
    "for random features drawn from every prior.",
    source="a study in the authors' code; the factor of 2 is ours",
    experiments=[DESCENT],
    scales=FULL,
    resolution=[Resolution(0.5, "x", "a quarter of the factor of 2")],
)
def features_of_priors_show_double_descent(results: Results) -> Evidence:
    """The largest risk near one feature a point beside that at the most features."""
    return all_of(
        *(
            at_least(f"peak, {name}", results.interval(DESCENT, name, "peak"), 2.0, "x")
            for name in ("inputs", "gauss", "rhs", "dhs", "dst")
        )
    )
