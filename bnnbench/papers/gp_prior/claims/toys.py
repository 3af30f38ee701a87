"""Uncertainty between and beyond points, extrapolation, and kernels that do not fit; a seed is a data set."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than
from bnnbench.harness.collect import Results

PRIOR, GAP, PERIODIC, TREND, MOONS = (
    f"gp_prior/{name}" for name in ("prior-draws", "gap", "periodic", "trend", "moons")
)
FULL = ("laptop", "paper")


@claim(
    "priors-are-periodic",
    "A periodic kernel over the inputs makes functions periodic a priori.",
    source="abstract, which names periodicity; the bounds are ours",
    experiments=[PRIOR],
    scales=FULL,
    resolution=Resolution(0.05, "", "a tenth of the difference between the two kernels"),
)
def priors_are_periodic(results: Results) -> Evidence:
    """Correlation of functions with themselves one period later; the net is fed with 1, as x itself has no period."""
    return all_of(
        at_least("periodic kernel", results.interval(PRIOR, "periodic-constant", "autocorrelation"), 0.9),
        at_most("RBF kernel", results.interval(PRIOR, "rbf", "autocorrelation"), 0.5),
    )


@claim(
    "uncertain-between-points",
    "With an RBF kernel over the inputs the model is uncertain between and beyond its points: at least five times as "
    "much as at the points, and more so than mean field.",
    source="abstract, sensible uncertainty on inputs away from the data; the factor is ours",
    experiments=[GAP],
    scales=FULL,
    resolution=Resolution(2, "times", "less than half of the factor"),
)
def uncertain_between_points(results: Results) -> Evidence:
    """Standard deviation of f(x) in the gap, and beyond all points, over that at the points."""
    return all_of(
        *(
            part
            for place in ("gap", "beyond")
            for part in (
                at_least(place, results.interval(GAP, "local-rbf", f"{place}_ratio"), 5, "times"),
                more_than(
                    f"{place}, local RBF - mean field",
                    results.difference(GAP, f"{place}_ratio", "local-rbf", "mfvi"),
                    0,
                    "times",
                ),
            )
        )
    )


@claim(
    "better-than-mean-field-in-the-gap",
    "In the gap the local model predicts the function better than mean field.",
    source="abstract: kernels on the inputs help interpolation",
    experiments=[GAP],
    scales=FULL,
    resolution=Resolution(1, "nats", "a small share of what mean field loses"),
)
def better_than_mean_field_in_the_gap(results: Results) -> Evidence:
    """Negative log density of the function without noise."""
    return more_than("mean field - local RBF", results.difference(GAP, "nll_gap", "mfvi", "local-rbf"), 0, "nats")


@claim(
    "as-good-as-a-process-in-the-gap",
    "In the gap the local model predicts as well as a Gaussian process with the same kernel over the inputs, to 1 nat.",
    source="not in the paper; the published review asks for this comparison",
    experiments=[GAP],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.5, "nats", "half of the margin"),
)
def as_good_as_a_process_in_the_gap(results: Results) -> Evidence:
    """Negative log density of the function without noise."""
    return at_most("local RBF - process", results.difference(GAP, "nll_gap", "local-rbf", "gp"), 1, "nats")


@claim(
    "uncertain-without-a-kernel-over-inputs",
    "Without a kernel over the inputs, too, the model is at least twice as uncertain in the gap as at the points.",
    source="not in the paper as far as it was available",
    experiments=[GAP],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.5, "times", "a quarter of the factor"),
)
def uncertain_without_a_kernel_over_inputs(results: Results) -> Evidence:
    """Standard deviation of f(x) in the gap over that at the points."""
    return at_least("MetaGP", results.interval(GAP, "metagp", "gap_ratio"), 2, "times")


@claim(
    "the-prior-knows-the-gap",
    "It is the approximation and not the prior that is certain in the gap: long chains under the prior at its start "
    "(s^2 = 2, lengths of 1) are at least twice as uncertain there as at the points.",
    source="not in the paper: a control",
    experiments=[GAP],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.5, "times", "a quarter of the factor"),
)
def the_prior_knows_the_gap(results: Results) -> Evidence:
    """Standard deviation of f(x) in the gap over that at the points, by NUTS."""
    return at_least("NUTS", results.interval(GAP, "metagp-nuts", "gap_ratio"), 2, "times")


@claim(
    "periodic-kernels-extrapolate",
    "With a periodic kernel over the inputs the model goes on with a periodic function beyond its points; with an RBF "
    "kernel it does not.",
    source="abstract: kernels on the inputs help extrapolation; the bound, twice the noise, is ours",
    experiments=[PERIODIC],
    scales=FULL,
    resolution=[
        Resolution(0.05, "", "half of the noise"),
        Resolution(0.5, "nats", "a quarter of the difference between the kernels"),
    ],
)
def periodic_kernels_extrapolate(results: Results) -> Evidence:
    """Error of the median over draws, and negative log density, of the function without noise."""
    return all_of(
        at_most("local periodic", results.interval(PERIODIC, "local-periodic", "rmse_median_beyond"), 0.2),
        at_least("local RBF", results.interval(PERIODIC, "local-rbf", "rmse_median_beyond"), 0.4),
        more_than(
            "local RBF - local periodic",
            results.difference(PERIODIC, "nll_beyond", "local-rbf", "local-periodic"),
            0,
            "nats",
        ),
    )


@claim(
    "the-period-is-learned",
    "The period is learned to 1 % from a start that is 10 % away.",
    source="not in the paper: a condition of what it claims",
    experiments=[PERIODIC],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.01, "", "half of the margin"),
)
def the_period_is_learned(results: Results) -> Evidence:
    """Learned periods; the truth is 2."""
    period = results.interval(PERIODIC, "local-periodic", "period")
    return all_of(at_least("period", period, 1.98), at_most("period", period, 2.02))


@claim(
    "better-than-a-process-of-the-wrong-kernel",
    "Where the kernel over the inputs does not fit, the local model predicts better than a Gaussian process with the "
    "same kernel, at its points and beyond them.",
    source="not in the paper as far as it was available; the published review asks for such a case",
    experiments=[TREND],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.2, "", "a fifth of what the process loses"),
)
def better_than_a_process_of_the_wrong_kernel(results: Results) -> Evidence:
    """Errors of mean and median for a function with a trend, under a periodic kernel."""
    return all_of(
        *(
            more_than(place, results.difference(TREND, metric, "gp-periodic", "local-periodic"), 0)
            for place, metric in (("at points", "rmse_inside"), ("beyond", "rmse_median_beyond"))
        )
    )


@claim(
    "the-net-carries-the-trend",
    "It is the net's own input that carries the trend: fed with 1, the local model does no better than half as well.",
    source="not in the paper: a control",
    experiments=[TREND],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.5, "times", "a quarter of the factor"),
)
def the_net_carries_the_trend(results: Results) -> Evidence:
    """Ratio of errors of the mean at the points."""
    ratio = results.ratio(TREND, "rmse_inside", "local-periodic-constant", "local-periodic")
    return at_least("fed with 1 / fed with x", ratio, 2, "times")


@claim(
    "unsure-far-from-two-moons",
    "With an RBF kernel over the inputs a classifier knows nothing far from its points (entropy at least nine tenths "
    "of the largest); mean field claims to (at most 0.5 nats).",
    source="abstract, uncertainty on inputs away from the data; the bounds are ours",
    experiments=[MOONS],
    scales=FULL,
    resolution=Resolution(0.05, "nats", "a tenth of the largest entropy"),
)
def unsure_far_from_two_moons(results: Results) -> Evidence:
    """Mean entropy on a circle of six standard deviations; at most 0.693."""
    return all_of(
        at_least("local RBF", results.interval(MOONS, "local-rbf", "entropy_far"), 0.624, "nats"),
        at_most("mean field", results.interval(MOONS, "mfvi", "entropy_far"), 0.5, "nats"),
    )


@claim(
    "accurate-on-two-moons",
    "The local model classifies two moons at least as well as mean field, to 1 %.",
    source="implied by the abstract; accuracy is lost by methods that are only unsure",
    experiments=[MOONS],
    scales=FULL,
    resolution=Resolution(1, "%", "ten of a thousand points", test_points=1000),
)
def accurate_on_two_moons(results: Results) -> Evidence:
    """Accuracy at a thousand new points."""
    return at_most("mean field - local RBF", results.difference(MOONS, "accuracy", "mfvi", "local-rbf"), 1, "%")
