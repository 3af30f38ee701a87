"""What the paper says of integrals and toys, as tests over results."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than, within
from bnnbench.harness.collect import Results
from bnnbench.papers.refinement.claims.scales import FULL

TOY, INTEGRATION = "refinement/toy", "refinement/mc-integration"
LINEAR, PROBIT = "refinement/linearisation", "refinement/mpa-toy"


@claim(
    "few-samples-are-inaccurate",
    "With a normal logit few samples integrate badly: 30 have a standard error of 0.08 (0.07 to 0.09) and 100 are "
    "off by more than 0.1 somewhere.",
    source="Section 2, Figures 4.1a and 4.2 (largest error of 100 samples printed: 0.185, itself random)",
    experiments=[INTEGRATION],
    scales=FULL,
    resolution=[
        Resolution(0.005, "", "half of the last digit of the printed 0.08", of="standard error of 30"),
        Resolution(0.04, "", "half of what lies between the printed 0.185 and the bound", of="largest error of 100"),
    ],
)
def few_samples_are_inaccurate(results: Results) -> Evidence:
    """The margin around 0.08 is its last printed digit."""
    error = results.interval(INTEGRATION, "default", "standard_error_30")
    largest = results.interval(INTEGRATION, "default", "largest_error_100")
    return all_of(
        at_least("standard error of 30", error, 0.07),
        at_most("standard error of 30", error, 0.09),
        more_than("largest error of 100", largest, 0.1),
    )


@claim(
    "probit-error-is-small",
    "The probit approximation is off by at most 0.018, as much as 10,000 samples.",
    source="Section 2, Figure 4.2 (0.018 and 0.017); the margins of 0.002, and of 0.01 between both, are ours",
    experiments=[INTEGRATION],
    scales=FULL,
    resolution=[
        Resolution(0.001, "", "half of the margin, and the last printed digit", of="probit"),
        Resolution(0.005, "", "half of the margin", of="10,000 samples - probit"),
    ],
)
def probit_error_is_small(results: Results) -> Evidence:
    """A grid of variances up to 1000."""
    error = results.interval(INTEGRATION, "default", "largest_error_probit")
    beside = results.between(INTEGRATION, "default", "largest_error_10000", "largest_error_probit")
    return all_of(at_most("probit", error, 0.02), within("10,000 samples - probit", beside, 0.01))


@claim(
    "linearisation-differs",
    "Linearised predictions are others than those of draws of weights, in their spread more than in their mean.",
    source="Figure 4.3, without numbers; that spreads differ by more than a tenth is ours, and so is the measure",
    experiments=[LINEAR],
    scales=FULL,
    resolution=[
        Resolution(0.05, "x", "half of the tenth by which they must differ"),
        Resolution(0.05, "", "a twentieth of the unit of the targets"),
    ],
)
def linearisation_differs(results: Results) -> Evidence:
    """A toy regression: predictive deviations and means of draws and of the linearised net, mean over inputs."""
    return all_of(
        more_than("ratio of deviations", results.interval(LINEAR, "default", "deviation_ratio"), 1.1, "x"),
        more_than("gap of deviations - of means", results.between(LINEAR, "default", "deviation_gap", "mean_gap"), 0),
    )


@claim(
    "probit-is-less-confident",
    "The multiclass probit approximation is less confident near the data than draws are.",
    source="Figure 4.4, without numbers",
    experiments=[PROBIT],
    scales=FULL,
    resolution=Resolution(0.5, "points", "half a point of probability, which no plot of Figure 4.4 would show"),
)
def probit_is_less_confident(results: Results) -> Evidence:
    """Mean largest probability at the training points."""
    less = results.between(PROBIT, "default", "confidence_draws", "confidence_probit")
    return more_than("draws - probit", less, 0, "points")


@claim(
    "toy-refinement-is-closer",
    "In two dimensions refinement is closer to the exact posterior than the Laplace approximation.",
    source="Figure 4.5 (squared MMD 0.040 and 0.002); the toy's data are ours",
    experiments=[TOY],
    scales=FULL,
    resolution=Resolution(0.005, "", "about an eighth of the printed difference of 0.038"),
)
def toy_refinement_is_closer(results: Results) -> Evidence:
    """Unbiased squared MMD to draws from a grid."""
    return more_than("LA - refined", results.difference(TOY, "mmd", "la", "refine"), 0)
