"""Claims can fail: the published numbers reproduce them, and the baseline in the place of the method does not."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from bnnbench.harness import paper, verdicts
from bnnbench.harness.claim import Claim, Evidence, judge
from bnnbench.harness.collect import TABLES, Results

Place = tuple[str, str, str]  # experiment, variant, metric
Values = dict[Place, float]
Change = Callable[[Values], Values]
CLAIMS = {(name, claim.name): claim for name in paper.names() for claim in verdicts.claims(name)}


def published(name: str) -> Values:
    """The numbers of a paper that are compared; where several stand for one place, the first."""
    rows = reversed(paper.get(name).published())
    found = {(row.experiment, row.variant, row.metric): row.compared for row in rows if row.variant}
    return {place: value for place, value in found.items() if value is not None}


def verdict(name: str, claim: Claim, values: Values, lost: frozenset[tuple[str, int]] = frozenset()) -> str:
    """The verdict over five seeds."""
    return judge(claim, results(name, values, lost)).verdict


def results(name: str, values: Values, lost: frozenset[tuple[str, int]] = frozenset()) -> Results:
    """Five seeds that differ by a tenth of a per mille; `lost` are variants and seeds without a number."""
    noise = random.Random(3)
    metrics = [
        {"paper": name, "experiment": experiment, "variant": variant, "seed": seed, "metric": metric,
         "value": value * (1 + 1e-4 * noise.gauss(0, 1)), "scale": "paper", "job": "", "key": "", "unit": "",
         "higher_is_better": False, "provenance": ""}
        for (experiment, variant, metric), value in values.items()
        for seed in range(5)
        if (variant, seed) not in lost
    ]  # fmt: skip
    jobs = [
        {"paper": name, "experiment": experiment, "variant": variant, "scale": "paper", "job": "", "key": "",
         "status": "ok", "reason": "", "seeds": 5, "datasets": "[]"}
        for experiment, variant in {(experiment, variant) for experiment, variant, _ in values}
    ]  # fmt: skip
    history = pd.DataFrame(columns=list(TABLES["history"]))
    return Results("paper", pd.DataFrame(metrics), pd.DataFrame(jobs), history, Path("nowhere"))


def instead(**baseline_of: str) -> Change:
    """Every number of a method (a variant, with _ for -) becomes that of its baseline."""
    stands = {method.replace("_", "-"): baseline for method, baseline in baseline_of.items()}

    def change(values: Values) -> Values:
        kept = {place: value for place, value in values.items() if place[1] not in stands}
        for method, baseline in stands.items():
            kept |= {(e, method, metric): value for (e, v, metric), value in values.items() if v == baseline}
        return kept

    return change


def numbers(experiment: str, variant: str = "default", **values: float) -> Change:
    """Other numbers of one variant."""
    return lambda before: {**before, **{(experiment, variant, metric): value for metric, value in values.items()}}


@dataclass(frozen=True)
class Case:
    """What a claim needs besides published numbers to hold, and changes under which it must not."""

    false: list[Change]
    true: list[Change] = field(default_factory=list)


def of(experiment: str, metric: str, **values: float) -> Change:
    """One metric of several variants (with _ for -)."""
    return lambda before: {
        **before,
        **{(experiment, variant.replace("_", "-"), metric): value for variant, value in values.items()},
    }


MNIST, CIFAR, SVHN, IMAGENET = "mnist-mlp", "cifar10-convnet", "svhn-convnet", "imagenet"
FLOAT_MNIST = of(MNIST, "test_error", float_relu=1.3, float_hardtanh=1.3)
SLOW = [
    of(MNIST, "epochs_to_converge", bnn=9, float_hardtanh=4),
    of(CIFAR, "epochs_to_converge", bnn=9, float_hardtanh=4),
]
RUNTIME = [
    numbers("matmul", naive_over_baseline=23, xnor_over_library=12),
    numbers("mlp-runtime", xnor_over_library=30, packed_disagreements=0, memory_ratio=31.5),
    numbers("convnet-runtime", xnor_over_library=9, packed_disagreements=0, memory_ratio=31.9),
    numbers(MNIST, "bnn", packed_disagreements=0),
]
BINARIZED = {
    "bnn-close-to-float": Case([numbers(MNIST, "bnn", test_error=3.4)], [FLOAT_MNIST]),
    "bnn-close-to-float-cifar10": Case(
        [numbers(CIFAR, "bnn", test_error=14.0)], [of(CIFAR, "test_error", float_relu=10.94, float_hardtanh=10.94)]
    ),
    "bnn-close-to-float-svhn": Case(
        [numbers(SVHN, "bnn", test_error=3.2)], [of(SVHN, "test_error", float_relu=2.44, float_hardtanh=2.44)]
    ),
    "binaryconnect-between": Case(
        [instead(binaryconnect="bnn"), numbers(MNIST, "binaryconnect", test_error=0.9)],
        [of(MNIST, "test_error", bnn=2.2, binaryconnect=1.75, float_relu=1.3)],
    ),
    **{
        name: Case([instead(**{variant: "bnn"})], [of(MNIST, "test_error", **{variant: 4.0})])
        for name, variant in (
            ("mask-matters", "bnn_no_mask"),
            ("learning-rate-scale-matters", "bnn_no_lr_scale"),
            ("clipping-matters", "bnn_no_clip"),
        )
    },
    "bnn-trains-slower": Case([instead(bnn="float-hardtanh")], SLOW),
    "bnn-trains-slower-cifar10": Case([instead(bnn="float-hardtanh")], SLOW),
    "mnist-error": Case([numbers(MNIST, "bnn", test_error=1.40)]),
    "cifar10-error": Case([numbers(CIFAR, "bnn", test_error=9.90)]),
    "svhn-error": Case([numbers(SVHN, "bnn", test_error=2.30)]),
    "shift-does-not-hurt": Case(
        [numbers(MNIST, "bnn-shift", test_error=1.9)], [of(MNIST, "test_error", bnn_shift=1.0)]
    ),
    "shift-does-not-hurt-cifar10": Case(
        [numbers(CIFAR, "bnn-shift", test_error=14.5)], [of(CIFAR, "test_error", bnn_shift=11.5)]
    ),
    "xnor-is-exact": Case([numbers("convnet-runtime", packed_disagreements=1)], RUNTIME),
    "xnor-is-faster": Case([numbers("convnet-runtime", xnor_over_library=1.0)], RUNTIME),
    "xnor-23x": Case([numbers("matmul", naive_over_baseline=20)]),
    "xnor-3.4x": Case([numbers("matmul", naive_over_library=3.0)]),
    "mlp-7x": Case([numbers("mlp-runtime", naive_over_baseline=1.0)]),
    "memory-32x": Case([numbers("convnet-runtime", memory_ratio=16)], RUNTIME),
    "filters-repeat": Case(
        [numbers(CIFAR, "bnn", unique_filters=60)], [numbers(CIFAR, "bnn", unique_filters=42, unique_filters_chance=60)]
    ),
    "filters-42": Case([numbers(CIFAR, "bnn", unique_filters=60)]),
    "imagenet-one-bit-costs": Case(
        [instead(alexnet_bnn="alexnet-float-relu")], [of(IMAGENET, "top1_accuracy", alexnet_float_relu=56.6)]
    ),
    "imagenet-two-bits-recover": Case(
        [instead(alexnet_w1a2="alexnet-bnn"), instead(alexnet_bnn="alexnet-w1a2"), of(IMAGENET, "top1_accuracy",
         alexnet_w1a2=50, alexnet_bnn=50, alexnet_float_relu=45)],
        [of(IMAGENET, "top1_accuracy", alexnet_float_relu=56.6)],
    ),
    "imagenet-alexnet-accuracy": Case([numbers(IMAGENET, "alexnet-bnn", top1_accuracy=36.1)]),
}  # fmt: skip

FMNIST, LENGTH, MISMATCH = "fmnist", "flow-length", "prior-mismatch"
MATCHED = [
    of(MISMATCH, "mmd", la_matched=0.001, refine_5=0.001, refine_10=0.001, la_published=0.4),
    of(MISMATCH, "nll", la_matched=0.270, refine_5=0.270, la_published=0.308, map_matched=0.272, hmc=0.270),
]
LENGTHS = of(LENGTH, "fit_cpu_seconds", laplace_1=43, laplace_5=78, laplace_10=121, laplace_20=156)
REFINEMENT = {
    "many-samples-do-not-help": Case(
        [instead(la_many="hmc-10"), of(FMNIST, "nll", hmc=0.255)], [of(FMNIST, "nll", la_many=0.311, hmc_10=0.275)]
    ),
    "refinement-improves-prediction": Case([instead(refine_5="la")]),
    "refinement-reaches-hmc": Case([instead(refine_5="la"), instead(hmc="la")]),
    "refinement-approaches-hmc-in-mmd": Case([instead(refine_1="la", refine_5="la", refine_10="la")]),
    "refine-5-near-hmc-in-mmd": Case([instead(refine_5="la")]),
    "laplace-base-needs-shorter-flows": Case(
        [instead(laplace_1="standard-1"), instead(laplace_5="standard-5")],
        [of(LENGTH, "nll", laplace_1=0.16, standard_1=1.43, laplace_5=0.158, standard_5=0.5)],
    ),
    "longer-flows-cost-more": Case([instead(laplace_10="laplace-5"), instead(laplace_20="laplace-1")], [LENGTHS]),
    "worse-at-other-data-on-fmnist": Case([instead(refine_5="la", hmc="la")]),
    "all-layers-stay-far": Case([instead(refine_5="la"), instead(refine_5="hmc")]),
    "fmnist-ece": Case([instead(refine_5="la"), instead(la="hmc")]),
    "probit-changes-calibration": Case([instead(la_probit="la-many")]),
    "accuracy-is-kept": Case([instead(refine_5="la"), numbers(FMNIST, "refine-5", accuracy=89.0)]),
    "rotation": Case([instead(refine_5="la"), instead(la="map")]),
    "hmc-has-converged": Case(
        [numbers(FMNIST, "hmc", rhat=(840 * 1.0 + 10 * 1.8) / 850, rhat_max=1.8), numbers(FMNIST, "hmc", rhat=1.05)],
        [numbers(FMNIST, "hmc", rhat=0.998, rhat_max=1.01)],
    ),
    "twice-the-length-costs-half-again": Case([instead(laplace_10="laplace-5")]),
    "seconds-an-epoch": Case([instead(laplace_5="laplace-10")]),
    "fmnist-nll": Case([instead(refine_5="la")]),
    "a-gaussian-with-the-prior-is-as-close": Case([instead(la_matched="la-published")], MATCHED),
    "a-gaussian-with-the-prior-is-as-close-on-cifar10": Case(
        [instead(la_matched="la")],
        [of("cifar10", "mmd", la_matched=0.002, refine_30=0.002, la=0.299), of("cifar10", "nll", la_matched=0.158)],
    ),
    "the-gain-is-the-prior": Case(
        [instead(map_matched="la-published"), instead(hmc="la-published"),
         of(MISMATCH, "nll", la_published=0.280, map_matched=0.287, hmc=0.290)],
        MATCHED,
    ),
    "cifar10-refinement-improves-prediction": Case([instead(refine_5="la")]),
    "cifar10-needs-long-flows": Case([instead(refine_30="la"), instead(refine_5="refine-30"),
                                      of("cifar10", "mmd_published", la=0.381, refine_5=0.232, refine_30=0.0084)]),
    "cifar10-marginals-shrink": Case([instead(refine_30="la"), instead(la="hmc")]),
    "corruption": Case(
        [instead(refine_5="la"), instead(la="map")],
        [of("cifar10", "nll_corrupted_5", map=1.79, la=1.73, refine_5=1.48)],
    ),
    "cifar10-five-layers-predict-as-hmc": Case([instead(refine_5="la")]),
    "cifar10-nll": Case([instead(refine_5="la")]),
    "cifar10-laplace-base-needs-shorter-flows": Case([instead(laplace_1="standard-1")]),
    "cifar100-nll": Case([instead(refine_30="la"), instead(refine_30="hmc")]),
    "other-data-on-cifar10": Case([instead(refine_30="la"), instead(mfvi="la", csghmc="la")]),
    "other-data-on-cifar100": Case([instead(refine_30="la"), instead(mfvi="la")]),
    "few-samples-are-inaccurate": Case(
        [numbers("mc-integration", standard_error_30=0.02, largest_error_100=0.03)],
        [numbers("mc-integration", standard_error_30=0.08, largest_error_100=0.185)],
    ),
    "probit-error-is-small": Case(
        [numbers("mc-integration", largest_error_10000=0.10), numbers("mc-integration", largest_error_probit=0.1)],
        [numbers("mc-integration", largest_error_probit=0.012, largest_error_10000=0.012)],
    ),
    "linearisation-differs": Case(
        [numbers("linearisation", deviation_ratio=1.2, deviation_gap=0.1, mean_gap=1.5),
         numbers("linearisation", deviation_ratio=1.0, deviation_gap=0.0)],
        [numbers("linearisation", deviation_ratio=3.0, deviation_gap=2.0, mean_gap=1.0)],
    ),
    "probit-is-less-confident": Case(
        [numbers("mpa-toy", confidence_probit=95)], [numbers("mpa-toy", confidence_draws=95, confidence_probit=90)]
    ),
    "toy-refinement-is-closer": Case([instead(refine="la")], [of("toy", "mmd", la=0.040, refine=0.002)]),
}  # fmt: skip


def cells(experiment: str, metric: str, suffix: str = "", **values: float) -> Change:
    """As `of`, where `suffix` is what the grid adds to the names of variants."""
    return lambda before: {
        **before,
        **{(experiment, variant.replace("_", "-") + suffix, metric): value for variant, value in values.items()},
    }


CORRELATED, N100 = "friedman-correlated", ",n=100"
PRUNED = "rmse_pruned_draw_80"
COLD = [cells("cold", "nll", "", **{"dst,temperature=1.0": 1.7, "dst,temperature=0.1": 2.9})]
DSM = {
    "dirichlet-beats-the-horseshoe": Case([cells(CORRELATED, "rmse_stored", N100, dhs_local=0.476)]),
    "dirichlet-beats-the-gaussian": Case([cells(CORRELATED, "rmse_stored", N100, dhs_local=0.639)]),
    "the-tail-does-not-matter": Case([cells(CORRELATED, "rmse_stored", N100, dst_local=0.476)]),
    "part-of-the-gap-is-the-baseline": Case(
        [cells(CORRELATED, "rmse_stored", N100, gauss_unit=0.639)],
        [cells(CORRELATED, "rmse_stored", N100, gauss_unit=0.55)],
    ),
    "competition-is-not-the-cause": Case(
        [cells(CORRELATED, "rmse_stored", N100, bhs=0.476)], [cells(CORRELATED, "rmse_stored", N100, bhs=0.44)]
    ),
    "fewer-effective-parameters": Case([cells(CORRELATED, "m_eff_authors", N100, dhs_local=31)]),
    "the-gaussian-uses-the-fewest": Case(
        [cells(CORRELATED, "m_eff", N100, gauss=18)], [cells(CORRELATED, "m_eff", N100, dhs_local=18, gauss=7)]
    ),
    "pruning-is-tolerated": Case(
        [cells(CORRELATED, PRUNED, N100, dhs_local=1.83), cells(CORRELATED, PRUNED, N100, dhs_local=4.4)],
        [cells(CORRELATED, PRUNED, N100, dhs_local=1.57, rhs=1.83, gauss=4.4)],
    ),
    "one-mask-fails-by-the-order-of-units": Case(
        [cells(CORRELATED, "rmse_pruned_mask_80", N100, dhs_local=2.0)],
        [
            cells(CORRELATED, "rmse_pruned_mask_80", N100, dhs_local=7.3),
            cells(CORRELATED, "rmse_pruned_matched_80", N100, dhs_local=2.0),
        ],
    ),
    "inputs-are-selected": Case(
        [cells("friedman", "selection", N100, dhs_local=0.7), cells("friedman", "selection", N100, gauss=1.0)],
        [cells("friedman", "selection", N100, dhs_local=1.0, gauss=0.9)],
    ),
    "version-c-learns-nothing": Case(
        [numbers("versions", "c", rmse_draws=0.4), numbers("versions", "a", rmse_draws=1.1)],
        [numbers("versions", "c", rmse_draws=1.1), numbers("versions", "a", rmse_draws=0.36)],
    ),
    "unused-parameters-exhaust-trajectories": Case(
        [instead(**{"with": "without"}), numbers("dummies", "without", saturated=1.0)],
        [of("dummies", "saturated", **{"with": 1.0, "without": 0.02})],
    ),
    "integrated-output-pays": Case(
        [instead(integrated="numpyro"), numbers("samplers", "integrated", bias_mean=0.5)],
        [
            of("samplers", "ess_per_cpu_second", integrated=4.0, numpyro=1.0),
            of("samplers", "bias_mean", integrated=0.03, numpyro=0.03),
        ],
    ),
    "small-abalone": Case([cells("abalone", "rmse", ",n=334", dhs_local=2.918)]),
    "large-abalone": Case([cells("abalone", "rmse", ",n=3341", gauss_unit=2.2)]),
    "student-mixture-resists-attacks": Case([numbers("cancer", "dst-local", **{"safe_0.25_5": 63.0})]),
    "robustness-is-the-global-scale": Case(
        [numbers("cancer", "dst", **{"safe_0.25_5": 96.0})],
        [numbers("cancer", "dst", **{"safe_0.25_5": 70.0}), numbers("cancer", "dst-authors", **{"safe_0.25_5": 96.0})],
    ),
    "robust-with-standardised-inputs": Case(
        [of("cancer-standardised", "flipped_0.25", dst=6.0)],
        [of("cancer-standardised", "flipped_0.25", dst=3.0, gauss_unit=6.0)],
    ),
    "fewer-coefficients-with-correlated-inputs": Case(
        [cells("linear", "m_eff", ",correlation=0.9", dhs=8.8), cells("linear", "m_eff", ",correlation=0.9", rhs=9.9)]
    ),
    "no-gain-from-cooling": Case([cells("cold", "nll", "", **{"dst,temperature=0.1": 1.2})], COLD),
}
SHRINKAGE, DEPENDENCE, EFFECTIVE, DESCENT = "shrinkage", "dependence", "effective-parameters", "double-descent"
DSM_THEORY = {
    "densities-of-shrinkage": Case(
        [numbers(SHRINKAGE, "dhs", cdf_error=0.05), numbers(SHRINKAGE, "dst", mass_error=0.1)],
        [
            numbers(SHRINKAGE, variant, mass_error=1e-6, cdf_error=1e-3, mean_error=5e-4)
            for variant in ("horseshoe", "dhs", "dst")
        ],
    ),
    "tails-decide-competition": Case(
        [numbers(DEPENDENCE, "half-t", agreement=60.0), numbers(DEPENDENCE, "lognormal", largest_r=0.8)],
        [
            of(DEPENDENCE, "agreement", half_normal=100, lognormal=100, gamma=100, inverse_gamma=100, beta_prime=100,
               half_t=100),
            numbers(DEPENDENCE, "lognormal", smallest_r=0.09, largest_r=2.35),
        ],
    ),
    "shares-concentrate-the-effective-parameters": Case(
        [instead(dirichlet="beta")],
        [
            numbers(EFFECTIVE, "dirichlet", m_eff=1.169, m_eff_std=0.682, m_eff_small=7.6, m_eff_large=1.1),
            numbers(EFFECTIVE, "beta", m_eff=1.167, m_eff_std=0.796, m_eff_small=12.8, m_eff_large=2.4),
        ],
    ),
    "features-of-priors-show-double-descent": Case(
        [numbers(DESCENT, "dhs", peak=1.0)], [of(DESCENT, "peak", inputs=12, gauss=11, rhs=8, dhs=11, dst=5)]
    ),
}  # fmt: skip
TOY, UCI, IMAGES, SCALING = "toy", "uci", "mnist", "scaling"
REGIONS, TABLES_OF_UCI = ("inside", "gap", "outside"), ("uci-boston", "uci-concrete", "uci-energy")
OTHERS = ("fashion-mnist", "kmnist", "notmnist")


def each(experiment: str, metrics: list[str], **values: float) -> Change:
    """Several metrics, with one value for each of several variants (with _ for -)."""

    def change(before: Values) -> Values:
        for metric in metrics:
            before = of(experiment, metric, **values)(before)
        return before

    return change


def of_tables(**values: float) -> Change:
    """Negative log-likelihoods of variants on the tables of UCI."""

    def change(before: Values) -> Values:
        for name in TABLES_OF_UCI:
            before = cells(UCI, "nll", f",dataset={name}", **values)(before)
        return before

    return change


DISTANCES, AUROC = [f"distance_{region}" for region in REGIONS], [f"auroc_{name}" for name in OTHERS]
SIZES = [
    numbers(SCALING, "wrn-28-10", memory_ratio=3.0, nanoseconds_per_weight=400),
    numbers(SCALING, "lenet", nanoseconds_per_weight=700),
]
LIVI = {
    "nearer-to-chains-than-mean-field": Case(
        [each(TOY, DISTANCES, mfvi=0.2), numbers(TOY, "livi", distance_gap=2.0)],
        [each(TOY, DISTANCES, mfvi=1.5, livi=0.2)],
    ),
    "as-wide-as-chains-in-the-gap": Case(
        [of(TOY, "width_gap", livi=1.3)], [of(TOY, "width_gap", livi=4.5, hmc=5.5)]
    ),
    "correlated-across-layers": Case(
        [of(TOY, "correlation", livi=0.036), of(TOY, "correlation", mfvi=0.11)],
        [of(TOY, "correlation", livi=0.11, mfvi=0.018)],
    ),
    "multimodal": Case([of(TOY, "multimodal", livi=0.0)], [of(TOY, "multimodal", livi=20.0)]),
    "entropy-widens": Case(
        [each(TOY, ["width_inside", "width_outside"], no_entropy=0.8)],
        [each(TOY, ["width_inside", "width_outside"], no_entropy=0.3, livi=0.8)],
    ),
    "iterations-suffice": Case(
        [numbers(TOY, "livi", excess=1.28), numbers("singular-value", "d-400", excess_5=3.1)],
        [numbers(TOY, "livi", excess=1.01), numbers("singular-value", "d-400", excess_5=1.01)],
    ),
    "on-a-par-with-ensembles": Case([of_tables(livi=2.8)], [of_tables(livi=2.5, ensemble=2.5)]),
    "better-than-mean-field-on-tables": Case([of_tables(livi=2.8)], [of_tables(livi=2.5, mfvi=2.8)]),
    "other-data-are-told-apart": Case([each(IMAGES, AUROC, livi=93.0)], [each(IMAGES, AUROC, livi=96.0, map=93.0)]),
    "other-data-as-by-ensembles": Case(
        [each(IMAGES, AUROC, livi=93.0)], [each(IMAGES, AUROC, livi=96.0, ensemble=96.2)]
    ),
    "the-entropy-tells-other-data-apart": Case(
        [each(IMAGES, AUROC, no_entropy=96.0)], [each(IMAGES, AUROC, livi=96.0, no_entropy=93.0)]
    ),
    "correlated-layers-of-an-image-net": Case(
        [of(IMAGES, "correlation", livi=0.056)], [of(IMAGES, "correlation", livi=0.15)]
    ),
    "tens-of-millions-of-weights": Case(
        [
            numbers(SCALING, "wrn-28-10", n_weights=2.7e6),
            numbers(SCALING, "wrn-28-10", memory_ratio=95),
            numbers(SCALING, "wrn-28-10", nanoseconds_per_weight=4000),
        ],
        SIZES,
    ),
}  # fmt: skip
GP_GAP, GP_PERIODIC, GP_TREND, GP_MOONS = "gap", "periodic", "trend", "moons"
ASKED = ",dataset=uci-energy,acquire=uncertain"
GP_PRIOR = {
    "priors-are-periodic": Case(
        [of("prior-draws", "autocorrelation", rbf=0.97), of("prior-draws", "autocorrelation", periodic_constant=0.3)],
        [of("prior-draws", "autocorrelation", rbf=0.2, periodic_constant=0.99)],
    ),
    "uncertain-between-points": Case(
        [of(GP_GAP, "gap_ratio", local_rbf=0.5), of(GP_GAP, "gap_ratio", mfvi=20),
         of(GP_GAP, "beyond_ratio", local_rbf=2)],
        [of(GP_GAP, "gap_ratio", local_rbf=17, mfvi=0.5), of(GP_GAP, "beyond_ratio", local_rbf=30, mfvi=6)],
    ),
    "better-than-mean-field-in-the-gap": Case(
        [of(GP_GAP, "nll_gap", local_rbf=60)], [of(GP_GAP, "nll_gap", local_rbf=1.3, mfvi=60)]
    ),
    "as-good-as-a-process-in-the-gap": Case(
        [of(GP_GAP, "nll_gap", local_rbf=60)], [of(GP_GAP, "nll_gap", local_rbf=1.0, gp=0.7)]
    ),
    "uncertain-without-a-kernel-over-inputs": Case(
        [of(GP_GAP, "gap_ratio", metagp=0.5)], [of(GP_GAP, "gap_ratio", metagp=5)]
    ),
    "the-prior-knows-the-gap": Case(
        [of(GP_GAP, "gap_ratio", metagp_nuts=0.5)], [of(GP_GAP, "gap_ratio", metagp_nuts=5)]
    ),
    "periodic-kernels-extrapolate": Case(
        [of(GP_PERIODIC, "rmse_median_beyond", local_periodic=0.7), of(GP_PERIODIC, "nll_beyond", local_periodic=2),
         of(GP_PERIODIC, "rmse_median_beyond", local_rbf=0.1)],
        [of(GP_PERIODIC, "rmse_median_beyond", local_periodic=0.07, local_rbf=0.7),
         of(GP_PERIODIC, "nll_beyond", local_periodic=-0.7, local_rbf=2)],
    ),
    "the-period-is-learned": Case(
        [of(GP_PERIODIC, "period", local_periodic=1.8)], [of(GP_PERIODIC, "period", local_periodic=2.0)]
    ),
    "better-than-a-process-of-the-wrong-kernel": Case(
        [of(GP_TREND, "rmse_inside", local_periodic=1.0), of(GP_TREND, "rmse_median_beyond", local_periodic=3.5)],
        [of(GP_TREND, "rmse_inside", local_periodic=0.1, gp_periodic=1.0),
         of(GP_TREND, "rmse_median_beyond", local_periodic=1.0, gp_periodic=3.5)],
    ),
    "the-net-carries-the-trend": Case(
        [of(GP_TREND, "rmse_inside", local_periodic_constant=0.1)],
        [of(GP_TREND, "rmse_inside", local_periodic=0.1, local_periodic_constant=0.9)],
    ),
    "unsure-far-from-two-moons": Case(
        [of(GP_MOONS, "entropy_far", local_rbf=0.27), of(GP_MOONS, "entropy_far", mfvi=0.692)],
        [of(GP_MOONS, "entropy_far", local_rbf=0.69, mfvi=0.27)],
    ),
    "accurate-on-two-moons": Case(
        [of(GP_MOONS, "accuracy", local_rbf=88)], [of(GP_MOONS, "accuracy", local_rbf=99.8, mfvi=94)]
    ),
    "competitive-active-learning": Case(
        [cells("active", "rmse", ASKED, metagp=6.0), cells("active", "nll", ASKED, local_rbf=3.9)],
        [cells("active", "rmse", ASKED, metagp=4.0, local_rbf=4.0, mfvi=5.5),
         cells("active", "nll", ASKED, metagp=3.2, local_rbf=3.2, mfvi=3.8)],
    ),
    "asking-helps": Case(
        [cells("active", "rmse", ASKED, local_rbf=6.0)],
        [cells("active", "rmse", ASKED, local_rbf=4.0),
         cells("active", "rmse", ",dataset=uci-energy,acquire=random", local_rbf=5.0)],
    ),
    "other-images-are-told-apart": Case(
        [each(IMAGES, AUROC, local_rbf=70.0), of(IMAGES, "accuracy", local_rbf=90)],
        [each(IMAGES, AUROC, local_rbf=85.0, map=70.0), of(IMAGES, "accuracy", local_rbf=95.7, map=96.1)],
    ),
    "other-images-as-by-mean-field": Case(
        [each(IMAGES, AUROC, local_rbf=70.0), of(IMAGES, "accuracy", local_rbf=89)],
        [each(IMAGES, AUROC, local_rbf=85.0, mfvi=84.0), of(IMAGES, "accuracy", local_rbf=95.7, mfvi=90)],
    ),
    "few-labels-suffice": Case(
        [cells("few-labels", "nll", ",n_train=100", metagp=1.5)],
        [cells("few-labels", "nll", ",n_train=100", metagp=0.9, mfvi=1.5, map=1.2)],
    ),
    "all-layers-learn": Case([of(IMAGES, "accuracy", metagp_all=11)], [of(IMAGES, "accuracy", metagp_all=87)]),
    "new-latents-of-inputs-suffice": Case(
        [numbers("embeddings", "averaged", error_inputs=70)],
        [numbers("embeddings", "averaged", error_inputs=25, error_scratch=50)],
    ),
    "memory-grows-with-weights": Case(
        [of("cost", "memory_growth", **{"global": 3}), of("cost", "memory_growth", local=3)],
        [of("cost", "memory_growth", **{"global": 1.2, "local": 1.2})],
    ),
    "factors-are-cheaper-than-weights": Case(
        [of("cost", "step_ms_100", local=500)], [of("cost", "step_ms_100", local=50, local_dense=500)]
    ),
}  # fmt: skip
CASES = {
    **{("gp_prior", name): case for name, case in GP_PRIOR.items()},
    **{("livi", name): case for name, case in LIVI.items()},
    **{("dsm", name): case for name, case in {**DSM, **DSM_THEORY}.items()},
    **{("binarized", name): case for name, case in BINARIZED.items()},
    **{("refinement", name): case for name, case in REFINEMENT.items()},
}


def test_every_claim_has_a_case() -> None:
    assert CASES.keys() == CLAIMS.keys()


def evidence_of_case(name: str, claim: str) -> Evidence:
    values = published(name)
    for add in CASES[name, claim].true:
        values = add(values)
    return judge(CLAIMS[name, claim], results(name, values))


@pytest.mark.parametrize(("name", "claim"), CASES)
def test_every_comparison_of_a_claim_states_the_difference_that_matters(name: str, claim: str) -> None:
    """And an interval of that half-width can decide the claim at the published numbers."""
    evidence = evidence_of_case(name, claim)
    assert evidence.comparisons
    for comparison in evidence.comparisons:
        resolution = CLAIMS[name, claim].resolution(comparison)
        assert resolution is not None, comparison.what
        assert len(resolution.why.split()) >= 2
        distance = abs(comparison.interval.mean - comparison.bound)
        assert resolution.smallest < distance or comparison.interval.half_width == 0.0, (comparison, resolution)


def test_no_resolution_is_declared_in_vain() -> None:
    for name, claim in CASES:
        used = [CLAIMS[name, claim].resolution(one) for one in evidence_of_case(name, claim).comparisons]
        assert all(resolution in used for resolution in CLAIMS[name, claim].resolutions), claim


def test_what_the_paper_does_not_say_is_ours() -> None:
    for name, claim in CLAIMS:
        told = CLAIMS[name, claim].source
        silent = "not in the paper" in told or "no comparison" in told or "does not compare" in told
        assert (CLAIMS[name, claim].origin == "ours") == silent, claim


@pytest.mark.parametrize("name", paper.names())
def test_published_numbers_reproduce_every_claim_that_they_cover(name: str) -> None:
    found = {of[1]: verdict(name, claim, published(name)) for of, claim in CLAIMS.items() if of[0] == name}
    assert {claim: said for claim, said in found.items() if said not in ("reproduced", "not run")} == {}
    rows = paper.get(name).published()
    available = sum(row.compared is not None for row in rows) > len(rows) / 2
    assert list(found.values()).count("reproduced") >= (5 if available else 0)


@pytest.mark.parametrize(("name", "claim"), CASES)
def test_a_claim_holds_where_it_is_true_and_not_where_it_is_false(name: str, claim: str) -> None:
    case, values = CASES[name, claim], published(name)
    for add in case.true:
        values = add(values)
    assert verdict(name, CLAIMS[name, claim], values) == "reproduced"
    for change in case.false:
        assert verdict(name, CLAIMS[name, claim], change(values)) in ("contradicted", "inconclusive")


@pytest.mark.parametrize(("name", "claim"), CASES)
def test_a_lost_seed_keeps_a_claim_open(name: str, claim: str) -> None:
    """Survivors may look better than the method is."""
    values = published(name)
    for add in CASES[name, claim].true:
        values = add(values)
    variants = {variant for _, variant, _ in values}
    lost = frozenset((variant, 2) for variant in variants)
    assert verdict(name, CLAIMS[name, claim], values, lost) == "inconclusive"
