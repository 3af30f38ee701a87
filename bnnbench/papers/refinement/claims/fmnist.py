"""What the paper says of Fashion-MNIST, as tests over results."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than, within
from bnnbench.harness.collect import Results
from bnnbench.papers.refinement.claims.scales import FULL, PAPER

FMNIST, LENGTH, LAYERS = "refinement/fmnist", "refinement/flow-length", "refinement/all-layer"
NATS = Resolution(0.015, "nats", "less than half of the printed gain of 0.038 nats")


@claim(
    "many-samples-do-not-help",
    "Many samples of the Laplace approximation do not reach ten samples of HMC, and ten are about as good as all of "
    "HMC's.",
    source="Section 2, Table 4.1 (NLL 0.311 against 0.275 on F-MNIST), and Table 4.3 (0.2699 for all of HMC's); "
    "'about' as at most 0.01 nats more is ours",
    experiments=[FMNIST],
    scales=FULL,
    resolution=[NATS, Resolution(0.005, "nats", "half of the margin", of="HMC, 10 - HMC")],
)
def many_samples_do_not_help(results: Results) -> Evidence:
    """Against ten draws of HMC, and ten against all of them."""
    return all_of(
        more_than("LA, many - HMC, 10", results.difference(FMNIST, "nll", "la-many", "hmc-10"), 0, "nats"),
        at_most("HMC, 10 - HMC", results.difference(FMNIST, "nll", "hmc-10", "hmc"), 0.01, "nats"),
    )


@claim(
    "refinement-improves-prediction",
    "Refinement with five layers lowers the negative log-likelihood and the calibration error of the Laplace "
    "approximation.",
    source="Section 4, Tables 4.3 and E.1 (0.3076 to 0.2699; 11.1 to 3.2 %)",
    experiments=[FMNIST],
    scales=FULL,
    resolution=[
        NATS,
        Resolution(2, "points", "a quarter of the printed gain of 7.9 points"),
    ],
)
def refinement_improves_prediction(results: Results) -> Evidence:
    """As published: the calibration error that leaves out the last bin."""
    return all_of(
        more_than("LA - Refine-5", results.difference(FMNIST, "nll", "la", "refine-5"), 0, "nats"),
        more_than("LA - Refine-5", results.difference(FMNIST, "ece_published", "la", "refine-5"), 0, "points"),
    )


@claim(
    "refinement-reaches-hmc",
    "Refined by five layers, the Laplace approximation predicts as HMC does (NLL within 0.01 nats).",
    source="Section 4, Table 4.3 (0.2699 both); the margin is ours",
    experiments=[FMNIST],
    scales=FULL,
    resolution=Resolution(0.004, "nats", "less than half of the margin, to tell the inside of it from its edge"),
)
def refinement_reaches_hmc(results: Results) -> Evidence:
    """On both sides."""
    return within("Refine-5 - HMC", results.difference(FMNIST, "nll", "refine-5", "hmc"), 0.01, "nats")


@claim(
    "refinement-approaches-hmc-in-mmd",
    "The distance to HMC falls from the Laplace approximation to one, to five, to ten layers.",
    source="Section 4, Table 4.3 (squared MMD 0.418, 0.356, 0.022, 0.013)",
    experiments=[FMNIST],
    scales=FULL,
    resolution=Resolution(0.005, "", "about half of the smallest printed step, from 0.022 to 0.013"),
)
def refinement_approaches_hmc_in_mmd(results: Results) -> Evidence:
    """As published: the biased squared MMD with a width of its own for each pair."""
    steps = (("la", "refine-1"), ("refine-1", "refine-5"), ("refine-5", "refine-10"))
    return all_of(*(more_than(f"{a} - {b}", results.difference(FMNIST, "mmd_published", a, b), 0) for a, b in steps))


@claim(
    "refine-5-near-hmc-in-mmd",
    "With five layers the squared MMD to HMC is at most 0.05.",
    source="Section 4, Table 4.3 (0.022 on F-MNIST after 9,380 steps); the margin is ours",
    experiments=[FMNIST],
    scales=PAPER,
    resolution=Resolution(0.01, "", "a third of what lies between the printed 0.022 and the bound"),
)
def refine_5_near_hmc(results: Results) -> Evidence:
    """Only the published number of steps can show it."""
    return at_most("Refine-5", results.interval(FMNIST, "refine-5", "mmd_published"), 0.05)


@claim(
    "laplace-base-needs-shorter-flows",
    "From the Laplace approximation one layer does better than from N(0, I), and so do five.",
    source="Section 4, Figure 4.7, left, of CIFAR-10 (NLL 0.16 against 1.43 at length 1, 0.16 against 0.27 at 5)",
    experiments=[LENGTH],
    scales=FULL,
    resolution=Resolution(0.05, "nats", "half of the smaller printed gap, 0.11 nats at five layers"),
)
def laplace_base_needs_shorter_flows(results: Results) -> Evidence:
    """At one and at five layers."""
    return all_of(
        *(
            more_than(
                f"N(0, I) - Laplace, length {length}",
                results.difference(LENGTH, "nll", f"standard-{length}", f"laplace-{length}"),
                0,
                "nats",
            )
            for length in (1, 5)
        )
    )


@claim(
    "longer-flows-cost-more",
    "The cost grows with the length of the flow.",
    source="Section 4, Figure 4.7 (78 s for five layers, 121 s for ten)",
    experiments=[LENGTH],
    scales=FULL,
    resolution=Resolution(0.1, "s", "less than a fifth of what five layers take at laptop scale"),
)
def longer_flows_cost_more(results: Results) -> Evidence:
    """CPU time of the fit: wall time depends on the jobs beside it."""
    pairs = ((5, 1), (10, 5), (20, 10))
    return all_of(
        *(
            more_than(
                f"length {a} - {b}",
                results.difference(LENGTH, "fit_cpu_seconds", f"laplace-{a}", f"laplace-{b}"),
                0,
                "s",
            )
            for a, b in pairs
        )
    )


@claim(
    "worse-at-other-data-on-fmnist",
    "On F-MNIST refinement and HMC are worse than the Laplace approximation at telling MNIST apart.",
    source="Table E.3 (FPR95 77.9, 79.6 and 79.0 %); the main text leaves it out",
    experiments=[FMNIST],
    scales=FULL,
    resolution=Resolution(1, "points", "about the smaller of the printed differences, 1.1 points", test_points=10_000),
)
def worse_at_other_data(results: Results) -> Evidence:
    """False positives at 95 % true positives."""
    return all_of(
        *(
            more_than(f"{name} - LA", results.difference(FMNIST, "fpr95_mnist", name, "la"), 0, "points")
            for name in ("refine-5", "hmc")
        )
    )


@claim(
    "all-layers-stay-far",
    "On all layers refinement improves the Laplace approximation and stays behind HMC.",
    source="Table E.2 (NLL 0.3597, 0.3483, 0.2908)",
    experiments=[LAYERS],
    scales=FULL,
    resolution=Resolution(0.005, "nats", "half of the printed gain of 0.011 nats"),
)
def all_layers_stay_far(results: Results) -> Evidence:
    """Negative log-likelihood."""
    return all_of(
        more_than("LA - Refine-5", results.difference(LAYERS, "nll", "la", "refine-5"), 0, "nats"),
        more_than("Refine-5 - HMC", results.difference(LAYERS, "nll", "refine-5", "hmc"), 0, "nats"),
    )


@claim(
    "fmnist-ece",
    "On F-MNIST refinement lowers the calibration error from 11.1 % to 3.2 %, that of HMC (3.4 %).",
    source="Table E.1; within 2 points of each is ours",
    experiments=[FMNIST],
    scales=PAPER,
    resolution=Resolution(1, "%", "half of the margin, to tell the inside of it from its edge"),
)
def fmnist_ece(results: Results) -> Evidence:
    """As published: the calibration error that leaves out the last bin."""
    parts = []
    for variant, published in (("la", 11.1), ("refine-5", 3.2), ("hmc", 3.4)):
        parts.append(within(variant, results.interval(FMNIST, variant, "ece_published"), 2, "%", around=published))
    return all_of(*parts)


@claim(
    "probit-changes-calibration",
    "The multiclass probit approximation is another prediction than that of many draws: its calibration error is lower "
    "by more than a point.",
    source="Section 2, Table 4.2 (3.3 against 10.5 % on F-MNIST); that a point is a difference is ours",
    experiments=[FMNIST],
    scales=FULL,
    resolution=Resolution(2, "points", "a third of what lies between the printed 7.2 points and the margin"),
)
def probit_changes_calibration(results: Results) -> Evidence:
    """Both of the same Laplace approximation."""
    lower = results.difference(FMNIST, "ece_published", "la-many", "la-probit")
    return more_than("many draws - probit", lower, 1, "points")


@claim(
    "accuracy-is-kept",
    "Refinement does not cost accuracy, while it lowers the negative log-likelihood.",
    source="Tables 4.3 and E.1 (accuracy 90.4 % for LA, Refine-5 and HMC); within half a point is ours",
    experiments=[FMNIST],
    scales=FULL,
    resolution=[
        Resolution(
            0.4,
            "points",
            "less than the margin, and more than the binomial standard error of 8,000 images",
            test_points=8_000,
        ),
        NATS,
    ],
)
def accuracy_is_kept(results: Results) -> Evidence:
    """Against the Laplace approximation."""
    return all_of(
        at_most("LA - Refine-5", results.difference(FMNIST, "accuracy", "la", "refine-5"), 0.5, "points"),
        more_than("LA - Refine-5", results.difference(FMNIST, "nll", "la", "refine-5"), 0, "nats"),
    )


@claim(
    "rotation",
    "On rotated images MAP is worst and the Laplace approximation next; refinement is better than both.",
    source="Figure E.1, left (NLL at 90 degrees 10.67, 9.94, 6.43 and 6.49 for MAP, LA, Refine-5 and HMC)",
    experiments=[FMNIST],
    scales=FULL,
    resolution=Resolution(0.3, "nats", "less than half of the smaller printed step, 0.73 nats"),
)
def rotation(results: Results) -> Evidence:
    """At 90 degrees."""
    steps = (("map", "la"), ("la", "refine-5"))
    return all_of(
        *(more_than(f"{a} - {b}", results.difference(FMNIST, "nll_rotated_90", a, b), 0, "nats") for a, b in steps)
    )


@claim(
    "hmc-has-converged",
    "The chains that all is measured against have converged: on the last layer R-hat is at most 1.01 on average, and "
    "at most 1.05 for every weight.",
    source="Appendix E (0.998 on F-MNIST, a mean); the bounds are ours",
    experiments=[FMNIST],
    scales=FULL,
    resolution=[
        Resolution(0.005, "", "half of what lies between perfect chains and the bound", of="mean R-hat"),
        Resolution(0.02, "", "less than half of what lies between perfect chains and the bound", of="largest R-hat"),
    ],
)
def hmc_has_converged(results: Results) -> Evidence:
    """Split R-hat, which is stricter than the published one."""
    return all_of(
        at_most("mean R-hat", results.interval(FMNIST, "hmc", "rhat"), 1.01),
        at_most("largest R-hat", results.interval(FMNIST, "hmc", "rhat_max"), 1.05),
    )


@claim(
    "twice-the-length-costs-half-again",
    "From five layers to ten the time grows by about half (53 %).",
    source="Section 4 (78 to 121 s on F-MNIST, 20 epochs, RTX 2080 Ti); from 30 to 80 % is ours",
    experiments=[LENGTH],
    scales=PAPER,
    resolution=Resolution(0.1, "", "less than half of what lies between the printed 1.53 and either bound"),
)
def twice_the_length_costs_half_again(results: Results) -> Evidence:
    """Wall time of the fit with its Laplace approximation; other jobs run beside it."""
    ratio = results.ratio(LENGTH, "fit_seconds", "laplace-10", "laplace-5")
    return all_of(at_least("10 / 5 layers", ratio, 1.3), at_most("10 / 5 layers", ratio, 1.8))


@claim(
    "seconds-an-epoch",
    "Five layers take at most 4 s an epoch.",
    source="Section 4, costs (3.4 s on one RTX 2080 Ti; which data set is not said) and Figure 4.7 (78 s for 20 epochs "
    "on F-MNIST, which is 3.9 s); the bound covers both",
    experiments=[LENGTH],
    scales=PAPER,
    resolution=Resolution(1, "s", "half of what lies between the printed 78 s and the bound"),
)
def seconds_an_epoch(results: Results) -> Evidence:
    """The fit of 20 epochs with its Laplace approximation, on the machine that it ran on."""
    return at_most("20 epochs", results.interval(LENGTH, "laplace-5", "fit_seconds"), 20 * 4, "s")


@claim(
    "fmnist-nll",
    "On F-MNIST the refined posterior has a negative log-likelihood of 0.2699 (within 0.01).",
    source="Table 4.3; the margin is ours",
    experiments=[FMNIST],
    scales=PAPER,
    resolution=Resolution(0.005, "nats", "half of the margin, to tell the inside of it from its edge"),
)
def fmnist_nll(results: Results) -> Evidence:
    """Only the published setting can show the published number."""
    return within("NLL", results.interval(FMNIST, "refine-5", "nll"), 0.01, "nats", around=0.2699)
