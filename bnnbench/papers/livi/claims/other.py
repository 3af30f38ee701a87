"""Tables of UCI, images and their shifts, and the number of weights."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than
from bnnbench.harness.collect import Results

UCI, MNIST, SCALING = "livi/uci", "livi/mnist", "livi/scaling"
FULL = ("laptop", "paper")
TABLES = ("uci-boston", "uci-concrete", "uci-energy")
OTHERS = ("fashion-mnist", "kmnist", "notmnist")


@claim(
    "on-a-par-with-ensembles",
    "Log-likelihoods on tables of UCI are on a par with those of deep ensembles or better.",
    source="abstract of the earlier version (ICLR 2023 submission); the margin of 0.1 nats is ours",
    experiments=[UCI],
    scales=FULL,
    resolution=Resolution(0.05, "nats", "half of the margin"),
)
def on_a_par_with_ensembles(results: Results) -> Evidence:
    """Negative log-likelihood of LIVI less that of the ensemble, with the same splits; three of the nine tables."""
    return all_of(
        *(
            at_most(
                table,
                results.difference(UCI, "nll", f"livi,dataset={table}", f"ensemble,dataset={table}"),
                0.1,
                "nats",
            )
            for table in TABLES
        )
    )


@claim(
    "better-than-mean-field-on-tables",
    "LIVI predicts tables of UCI better than mean-field variational inference.",
    source="implied by the abstract: it beats approximations that it is compared with",
    experiments=[UCI],
    scales=FULL,
    resolution=Resolution(0.05, "nats", "as for ensembles"),
)
def better_than_mean_field_on_tables(results: Results) -> Evidence:
    """Negative log-likelihoods with the same splits."""
    return all_of(
        *(
            more_than(
                table,
                results.difference(UCI, "nll", f"mfvi,dataset={table}", f"livi,dataset={table}"),
                0,
                "nats",
            )
            for table in TABLES
        )
    )


@claim(
    "other-data-are-told-apart",
    "LIVI tells other data from MNIST better than a point estimate.",
    source="abstract: downstream tasks",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(1, "%", "less than other data sets differ by"),
)
def other_data_are_told_apart(results: Results) -> Evidence:
    """Area under the ROC curve by the largest probability."""
    return all_of(
        *(more_than(name, results.difference(MNIST, f"auroc_{name}", "livi", "map"), 0, "%") for name in OTHERS)
    )


@claim(
    "other-data-as-by-ensembles",
    "LIVI tells other data from MNIST as well as a deep ensemble.",
    source="abstract: beats state-of-the-art uncertainty methods; the margin of 1 % is ours",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(0.5, "%", "half of the margin"),
)
def other_data_as_by_ensembles(results: Results) -> Evidence:
    """Area under the ROC curve by the largest probability."""
    return all_of(
        *(at_most(name, results.difference(MNIST, f"auroc_{name}", "ensemble", "livi"), 1, "%") for name in OTHERS)
    )


@claim(
    "the-entropy-tells-other-data-apart",
    "It is the entropy that tells other data apart: without it, the same generator does worse.",
    source="not in the paper: a control",
    experiments=[MNIST],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.5, "%", "as for ensembles"),
)
def the_entropy_tells_other_data_apart(results: Results) -> Evidence:
    """Area under the ROC curve by the largest probability."""
    return all_of(
        *(more_than(name, results.difference(MNIST, f"auroc_{name}", "livi", "no-entropy"), 0, "%") for name in OTHERS)
    )


@claim(
    "correlated-layers-of-an-image-net",
    "Weights of different layers of LeNet are correlated under LIVI's posterior.",
    source="abstract: correlations across layers",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(0.01, "", "a sixth of what 200 independent draws show by chance"),
)
def correlated_layers_of_an_image_net(results: Results) -> Evidence:
    """Mean absolute correlation, of which 200 independent draws would show 0.056."""
    return at_least("LIVI", results.interval(MNIST, "livi", "correlation"), 0.08)


@claim(
    "tens-of-millions-of-weights",
    "The bound is computed for tens of millions of weights without storing a Jacobian: memory is at most four times "
    "that of the generator and its activations, and the time for a weight is no more than twice that for LeNet.",
    source="abstract; the factors are ours",
    experiments=[SCALING],
    scales=FULL,
    resolution=[
        Resolution(0.5, "times", "an eighth of the factor"),
        Resolution(1e6, "", "a small share of the weights"),
    ],
)
def tens_of_millions_of_weights(results: Results) -> Evidence:
    """A WRN-28-10 for CIFAR-100, 36.5 million weights; times for a weight and a draw."""
    return all_of(
        at_least("weights", results.interval(SCALING, "wrn-28-10", "n_weights"), 3e7),
        at_most("memory", results.interval(SCALING, "wrn-28-10", "memory_ratio"), 4, "times"),
        at_most("time", results.ratio(SCALING, "nanoseconds_per_weight", "wrn-28-10", "lenet"), 2, "times"),
    )
