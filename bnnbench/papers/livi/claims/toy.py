"""Shape of the posterior and the entropy's bounds, on the toy regression; a seed is a data set."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than
from bnnbench.harness.collect import Results

TOY, SINGULAR = "livi/toy", "livi/singular-value"
FULL = ("laptop", "paper")


@claim(
    "nearer-to-chains-than-mean-field",
    "Functions that LIVI draws are nearer to those of HMC than mean-field variational inference's are, at the points, "
    "in the gap and beyond them.",
    source="abstract and Figure 1",
    experiments=[TOY],
    scales=FULL,
    resolution=Resolution(0.05, "", "a sixth of the noise"),
)
def nearer_to_chains_than_mean_field(results: Results) -> Evidence:
    """Wasserstein distances of f(x), with the evidence bound of mean field."""
    return all_of(
        *(
            more_than(region, results.difference(TOY, f"distance_{region}", "mfvi", "livi"), 0)
            for region in ("inside", "gap", "outside")
        )
    )


@claim(
    "as-wide-as-chains-in-the-gap",
    "Between the points LIVI is as uncertain as HMC, to a factor of two.",
    source="Figure 1, by the eye; the factor is ours",
    experiments=[TOY],
    scales=FULL,
    resolution=Resolution(0.2, "times", "less than half of the distance of the bound from 1"),
)
def as_wide_as_chains_in_the_gap(results: Results) -> Evidence:
    """Ratio of the widths of the central 90 % of functions."""
    return at_least("LIVI / HMC", results.ratio(TOY, "width_gap", "livi", "hmc"), 0.5, "times")


@claim(
    "correlated-across-layers",
    "LIVI's posterior has correlations between weights of different layers, which mean field's has not.",
    source="abstract",
    experiments=[TOY],
    scales=FULL,
    resolution=Resolution(0.02, "", "half of what 500 independent draws show by chance"),
)
def correlated_across_layers(results: Results) -> Evidence:
    """Mean absolute correlations above those of reordered draws, whose mean is 0.036."""
    return all_of(
        at_least("LIVI", results.interval(TOY, "livi", "correlation"), 0.06),
        at_most("mean field", results.interval(TOY, "mfvi", "correlation"), 0.045),
    )


@claim(
    "multimodal",
    "LIVI's posterior has several modes: at least one weight in twenty has more than one.",
    source="abstract; the share is ours, and mean field has none",
    experiments=[TOY],
    scales=FULL,
    resolution=Resolution(2, "%", "two of 105 weights"),
)
def multimodal(results: Results) -> Evidence:
    """Prominent peaks of densities of single weights."""
    return at_least("LIVI", results.interval(TOY, "livi", "multimodal"), 5, "%")


@claim(
    "entropy-widens",
    "Without the entropy, bands of functions are at most half as wide.",
    source="not in the paper: a control",
    experiments=[TOY],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.1, "times", "a fifth of the bound"),
)
def entropy_widens(results: Results) -> Evidence:
    """At the points and beyond them."""
    return all_of(
        *(
            at_most(region, results.ratio(TOY, f"width_{region}", "no-entropy", "livi"), 0.5, "times")
            for region in ("inside", "outside")
        )
    )


@claim(
    "iterations-suffice",
    "At the number of iterations that is used, the smallest singular value is found to 5 %, so that the bound is one.",
    source="not in the paper, which takes it for granted",
    experiments=[TOY, SINGULAR],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.02, "times", "less than half of the 5 %"),
)
def iterations_suffice(results: Results) -> Evidence:
    """Iterated over exact value, of a trained generator and of one of 400 dimensions at its start."""
    return all_of(
        at_most("trained, 60 dimensions", results.interval(TOY, "livi", "excess"), 1.05, "times"),
        at_most("start, 400 dimensions", results.interval(SINGULAR, "d-400", "excess_5"), 1.05, "times"),
    )
