"""The measures of predictions and of draws, declared once, with the same name, unit and direction in all papers.

Nothing here imports torch, since planning must not; `scores` computes what is declared here.
"""

from collections.abc import Iterable

from bnnbench.harness.experiment import Metric

OTHER_DATA, ROTATED, CORRUPTED = "Other data", "Rotated test images", "Corrupted test images"

CLASSES = (
    Metric("accuracy", "%", True, "of the mean of softmax over draws"),
    Metric("nll", "nats", False, "mean negative log-likelihood"),
    Metric("brier", "", False, "Brier score, from 0 to 2"),
    Metric("ece_published", "%", False, "calibration error as published: 100 bins, the last one left out"),
    Metric("ece_100", "%", False, "calibration error with 100 bins"),
    Metric("ece_15", "%", False, "calibration error with 15 bins"),
    Metric("mmc", "%", description="mean of the largest probability"),
)
"""Measures of a `ClassPredictive` at labelled points."""

REALS = (
    Metric("rmse", "", False, "root mean squared error of the predictive mean, in the unit of the targets"),
    Metric("nll", "nats", False, "mean negative log predictive density, in the unit of the targets"),
    Metric("crps", "", False, "continuous ranked probability score, in the unit of the targets"),
    Metric("coverage_50", "%", description="targets within the central 50 % of the prediction"),
    Metric("coverage_95", "%", description="targets within the central 95 % of the prediction"),
    Metric("width_95", "", False, "mean width of the central 95 % of the prediction, in the unit of the targets"),
)
"""Measures of a `RealPredictive` at points with real targets."""


def scored() -> tuple[Metric, ...]:
    """Measures of predictions of real targets or of classes, each name once."""
    names = {metric.name for metric in REALS}
    return (*REALS, *(metric for metric in CLASSES if metric.name not in names))


REFERENCE = (
    Metric("mmd_published", "", False, "squared MMD to reference draws, biased, width from both samples"),
    Metric("mmd", "", False, "squared MMD to reference draws, unbiased, one width for all methods"),
    Metric("mmd_floor", "", description="what mmd_published has for two samples of one distribution"),
)
"""Measures of draws of the weights against those of a long chain."""

WEIGHTS = (
    *REFERENCE,
    Metric("weight_std", "", description="mean over weights of their standard deviation under the posterior"),
    Metric("prior_precision", "", description="of a Laplace approximation"),
    Metric("rhat", "", False, "mean split R-hat over the parameters of the sampled chains"),
    Metric("rhat_max", "", False, "largest split R-hat of a parameter of the sampled chains"),
)
"""Measures of a posterior over weights."""

CHAINS = (
    *(
        Metric(f"{name}_{what}", unit, better, f"{text} of {plural}", "Chains")
        for what, plural in (
            ("outputs", "outputs at test points"),
            ("parameters", "weights"),
            ("sites", "the prior's own parameters"),
        )
        for name, unit, better, text in (
            ("rhat", "", False, "largest rank-normalised split R-hat"),
            ("ess_bulk", "draws", True, "smallest effective number of draws for the bulk"),
            ("ess_tail", "draws", True, "smallest effective number of draws for the tails"),
        )
    ),
    Metric("divergences", "", False, "share of trajectories that diverged", "Chains"),
    Metric("saturated", "", False, "share of trajectories that met the limit of gradient steps", "Chains"),
    Metric("acceptance", "", None, "mean acceptance probability", "Chains"),
    Metric("ebfmi", "", True, "smallest energy Bayesian fraction of missing information of a chain", "Chains"),
)
"""Measures of whether the draws of chains can be trusted; `bayes.diagnostics.BOUNDS` has the bounds."""

COST = (
    Metric("fit_seconds", "s", False, "time of the fit; with training the net where the method trains it", "Cost"),
    Metric("fit_cpu_seconds", "s", False, "CPU time of the fit: other jobs beside it do not count", "Cost"),
    Metric("fit_memory", "MB", False, "most memory of the device that the fit held at a time, beyond the data", "Cost"),
    Metric("predict_ms", "ms", False, "time of a prediction with all its draws, for each test input", "Cost"),
    Metric("bits_per_weight", "bits", False, "what is kept to predict with, for each parameter of the net", "Cost"),
)
"""Measures of a method's cost: its fit, its predictions, and what it stores."""

DEPENDENCE = (
    Metric("correlation", "", None, "mean absolute correlation of pairs of weights in different layers", "Weights"),
    Metric("correlation_floor", "", None, "the same where draws of one of them are reordered", "Weights"),
)
"""Measures of the dependence of weights in different layers."""


def other_data(names: Iterable[str]) -> tuple[Metric, ...]:
    """Measures of how well data that the net was not trained on are detected by the largest probability."""
    mean = Metric("fpr95_mean", "%", False, "mean over the other data sets that a published mean is of", OTHER_DATA)
    kinds = (
        ("fpr95", False, "false positives at 95 % true positives by the largest probability"),
        ("auroc", True, "area under the ROC curve by the largest probability"),
        ("mmc", None, "mean of the largest probability"),
    )
    each = [
        Metric(f"{kind}_{name}", "%", better, f"{text}, {name} as the other data", OTHER_DATA)
        for name in names
        for kind, better, text in kinds
    ]
    return mean, *each


def rotations(angles: Iterable[int]) -> tuple[Metric, ...]:
    """Measures on rotated test images, one for each angle in degrees."""
    return tuple(
        Metric(f"nll_rotated_{angle}", "nats", False, f"of images turned by {angle} degrees", ROTATED)
        for angle in angles
    )


def corruptions(severities: Iterable[int]) -> tuple[Metric, ...]:
    """Measures on corrupted test images, by severity: with CIFAR-10-C's files (0: clean), and with our transforms."""
    chosen = tuple(severities)
    official = [
        Metric(f"nll_cifar10c_{k}", "nats", False, f"on CIFAR-10-C's own files, severity {k}", CORRUPTED)
        for k in (0, *chosen)
    ]
    own = [
        Metric(f"nll_corrupted_{k}", "nats", False, f"by our own transforms, severity {k} of 5", CORRUPTED)
        for k in chosen
    ]
    return *official, *own
