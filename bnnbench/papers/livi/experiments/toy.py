"""Regression on two clusters of points: bands of functions, weights, and the entropy's bounds."""

from typing import TYPE_CHECKING, Any

from bnnbench.evaluation import measures
from bnnbench.harness.experiment import Metric, Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.livi.settings import NOISE_PRIOR, NOISE_START, Toy

if TYPE_CHECKING:
    from bnnbench.evaluation.problem import Problem

REGIONS = {"inside": "where there are points", "gap": "in the gap", "outside": "beyond all points"}
METRICS = (
    *measures.REALS,
    Metric("rmse_clean", "", False, "of the predictive mean against the function without noise, where points are"),
    Metric("noise", "", None, "mean over draws of the learned noise; the truth is 0.3"),
    *(
        Metric(f"width_{region}", "", None, f"mean width of the central 90 % of functions {where}", "Functions")
        for region, where in REGIONS.items()
    ),
    *(
        Metric(
            f"distance_{region}", "", False, f"mean Wasserstein distance of f(x) to the chains' {where}", "Functions"
        )
        for region, where in REGIONS.items()
    ),
    *measures.DEPENDENCE,
    Metric("multimodal", "%", None, "weights whose density has more than one prominent peak", "Weights"),
    Metric("half_log_det", "nats", None, "entropy by the log determinant, without its constant", "Entropy"),
    Metric("bound", "nats", None, "its lower bound by the exact smallest singular value", "Entropy"),
    Metric("bound_iterated", "nats", None, "the same by the fit's number of iterations", "Entropy"),
    Metric("excess", "", None, "iterated over exact smallest singular value", "Entropy"),
    *measures.CHAINS,
    *measures.COST,
)


@study(params=Toy, metrics=METRICS)
def toy(params: Toy, run: Run) -> Outcome:
    """Fits the method; compares its functions with those of the chains of the seed."""
    from torch import Generator

    from bnnbench.bayes.diagnostics import broken_bounds
    from bnnbench.bayes.weights import Stored
    from bnnbench.evaluation import inference
    from bnnbench.papers.livi import bands, spread

    here = posed(params, run)
    kept = reference(params, here, run)
    chains = kept["draws"]
    if params.method is None:
        first, second = (half.flatten(0, 1) for half in chains.chunk(2))
        theta = Stored(first).sample(params.n_draws)
        return inference.merged(
            bands.measured(here, theta, second, run),
            spread.of_weights(here, theta, run),
            Outcome(kept["diagnostics"], {}, broken_bounds(kept["diagnostics"])),
        )
    posterior, cost = inference.fit(params.method, params.options, here, run)
    drawn: Any = posterior
    theta = drawn.sample(params.n_draws, Generator().manual_seed(run.seed + 1)).float()
    return inference.merged(
        Outcome(cost),
        bands.measured(here, theta, chains.flatten(0, 1), run),
        spread.of_weights(here, theta, run),
        spread.of_generator(posterior, params, run),
    )


def posed(params: Toy, run: Run) -> "Problem":
    """The net, whose last parameter is the log noise, and the points of the seed."""
    from math import log

    import torch
    from torch import nn

    from bnnbench.bayes.likelihood import LearnedNoise
    from bnnbench.bayes.method import Train, with_own_parameters
    from bnnbench.bayes.network import LOG_NOISE
    from bnnbench.data.synthetic import two_clusters
    from bnnbench.evaluation.networks import initialised, perceptron
    from bnnbench.evaluation.problem import Origin, Problem

    points, likelihood = two_clusters(run.seed), LearnedNoise(1, *NOISE_PRIOR)
    train = Train(torch.tensor(points.x, dtype=torch.float32), torch.tensor(points.y, dtype=torch.float32), likelihood)

    def new(run: Run) -> "nn.Module":
        net = initialised(perceptron((1, *params.hidden, 1), nn.ELU), run.generator("init"))
        extended = with_own_parameters(net, likelihood)
        nn.init.constant_(extended.get_parameter(LOG_NOISE), log(NOISE_START))
        return extended

    return Problem(new(run), train, Origin(new, train, {}, {"hidden": params.hidden}, ()), "all")


def reference(params: Toy, here: "Problem", run: Run) -> dict[str, Any]:
    """Draws [K, n, P] of the chains and their diagnostics at the grid, which the first job of a seed computes."""
    from math import isfinite

    from bnnbench.harness import registry
    from bnnbench.papers.livi.bands import GRID

    def compute(own: Run) -> dict[str, Any]:
        method: Any = registry.method("nuts")
        posterior = method.fit(here.model, here.train, params.reference(), own.generator("chains"), own)
        numbers = posterior.diagnostics(GRID[:, None]).items()
        return {
            "draws": posterior.chains.float(),
            "diagnostics": {name: value for name, value in numbers if isfinite(value)},
        }

    return dict(run.shared("chains", {**here.origin.depends_on, **params.reference()}, (), compute))
