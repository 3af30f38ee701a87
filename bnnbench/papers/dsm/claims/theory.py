"""What the paper derives, held against draws from the priors."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than, within
from bnnbench.harness.collect import Results

THEORY = "dsm/theory"
FULL = ("laptop", "paper")


@claim(
    "shrinkage-has-closed-forms",
    "The shrinkage factor has the closed-form densities under horseshoe and both Dirichlet mixtures.",
    source="the abstract's closed forms of shrinkage; the margin of 0.005 is ours",
    experiments=[THEORY],
    scales=FULL,
    resolution=Resolution(0.0025, "", "half of the margin"),
)
def shrinkage_has_closed_forms(results: Results) -> Evidence:
    """Probabilities of 20 bins, each with a standard error below 0.001."""
    laws = ("horseshoe", "dhs", "dst")
    return all_of(*(at_most(law, results.interval(THEORY, "default", f"density_error_{law}"), 0.005) for law in laws))


@claim(
    "inputs-compete-or-not-by-the-tail",
    "Shares of a unit are negatively correlated, and weights that share a heavy-tailed scale co-vary with the sign "
    "that the tail predicts.",
    source="the abstract's closed forms of dependence; the margins are ours",
    experiments=[THEORY],
    scales=FULL,
    resolution=[
        Resolution(0.005, "", "half of the margin", of="correlation"),
        Resolution(5, "%", "less than one of the eight laws"),
    ],
)
def inputs_compete_or_not_by_the_tail(results: Results) -> Evidence:
    """-1 / 9 for ten inputs, and all laws."""
    correlation = results.interval(THEORY, "default", "share_correlation")
    signs = results.interval(THEORY, "default", "signs_as_predicted")
    return all_of(within("correlation", correlation, 0.01, around=-1 / 9), at_least("laws", signs, 94, "%"))


@claim(
    "dirichlet-bounds-the-prior-size",
    "Before any data, the effective number of weights of a unit spreads less with Dirichlet shares than with "
    "independent beta shares of the same marginals.",
    source="not in the paper as a number: a picture of the authors' code shows less mass at 0 and in the tail",
    experiments=[THEORY],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.02, "", "a fifth of the difference by draws of our own"),
)
def dirichlet_bounds_the_prior_size(results: Results) -> Evidence:
    """Standard deviations over draws."""
    gap = results.between(THEORY, "default", "m_eff_sd_beta", "m_eff_sd_dirichlet")
    return more_than("beta - Dirichlet", gap, 0)
