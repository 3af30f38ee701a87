"""Regression on a line: where a method is uncertain, and whether it goes on with what it has seen."""

from typing import TYPE_CHECKING, Any

from bnnbench.evaluation import measures
from bnnbench.harness.experiment import Metric, Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.gp_prior.settings import Curve

if TYPE_CHECKING:
    from torch import Generator, Tensor

NEW, GRID, SHOWN, BAND = 400, 241, 5, 500  # new points, places of the drawing, functions in it, draws of a closed form
METRICS = (
    *measures.REALS,
    Metric("std_inside", "", None, "mean deviation of f(x) where there are points"),
    Metric("std_gap", "", None, "mean deviation of f(x) between the points"),
    Metric("std_beyond", "", None, "mean deviation of f(x) beyond all points"),
    Metric("gap_ratio", "times", None, "deviation in the gap over that at points"),
    Metric("beyond_ratio", "times", None, "deviation beyond all points over that at points"),
    Metric("rmse_inside", "", False, "of the predictive mean against the function without noise, where points are"),
    Metric("nll_gap", "nats", False, "of the function without noise, in the gap"),
    Metric("nll_beyond", "nats", False, "of the function without noise, beyond all points"),
    Metric("rmse_beyond", "", False, "of the predictive mean against the function, beyond all points"),
    Metric("rmse_median_beyond", "", False, "the same of the median over draws, which a few wild draws do not move"),
    Metric("period", "", None, "learned by the kernel over contexts; the truth is 2"),
    Metric("bound", "nats", True, "on the log evidence, for each training point; of a process its evidence"),
    *measures.WEIGHTS,
    *measures.CHAINS,
    *measures.COST,
)


@study(params=Curve, metrics=METRICS)
def curves(params: Curve, run: Run) -> Outcome:
    """Fits the method to the seed's points; measures functions and predictions at new ones."""
    import torch

    from bnnbench.bayes.likelihood import Gaussian
    from bnnbench.evaluation import inference, scores
    from bnnbench.papers.gp_prior.points import CURVES
    from bnnbench.papers.gp_prior.toys import posed

    curve = CURVES[params.data]
    likelihood = Gaussian(curve.noise)
    x, y = (torch.tensor(part, dtype=torch.float32) for part in curve.points(run.rng("points"), curve.n_points))
    here = posed(params, x[:, None], y, likelihood, 1, run)
    posterior, cost = inference.fit(params.method, params.options, here, run)
    new = [torch.tensor(part, dtype=torch.float32) for part in curve.points(run.rng("new points"), NEW)]
    test, latency = inference.timed(
        lambda at: inference.predict(posterior, at, params.n_draws, run), new[0][:, None].to(run.device), run
    )
    numbers = {**scores.scores(test, new[1].to(run.device), run.generator("targets")), **cost, **latency}
    numbers |= _in_places(posterior, params, run) | _learned(posterior, here.train, run)
    tables = {"band": _band(posterior, params, run), "points": {"x": x.tolist(), "y": y.tolist()}}
    tables |= _functions(posterior, params, run)
    return inference.merged(Outcome(numbers, tables), inference.diagnosed(posterior, here.train.x))


def drawn(posterior: Any, x: "Tensor", n_draws: int, stream: "Generator") -> "Tensor":
    """Draws of f [S, N] at x [N, 1]; marginals are right, and draws are functions where the posterior is coherent."""
    predicted = posterior.predict(x, n_draws, stream)
    if predicted.n_draws == 1 and hasattr(posterior, "functions"):
        functions: Tensor = posterior.functions(x, BAND, stream)
        return functions
    mean: Tensor = predicted.mean
    return mean


def _places(ends: "tuple[tuple[float, float], ...]", n: int = 41) -> "Tensor":
    import torch

    return torch.cat([torch.linspace(low, high, n) for low, high in ends])[:, None]


def _in_places(posterior: Any, params: Curve, run: Run) -> dict[str, float]:
    """Deviations, errors and log densities of the function in the intervals of the curve."""
    import torch

    from bnnbench.bayes.posterior import RealPredictive
    from bnnbench.evaluation import inference
    from bnnbench.metrics.regression import rmse
    from bnnbench.papers.gp_prior.points import CURVES

    curve, numbers = CURVES[params.data], {}
    for name, ends in {"inside": curve.places.inside, **curve.places.beyond}.items():
        x = _places(ends).to(run.device)
        truth = torch.tensor(curve.function(x[:, 0].cpu().numpy()), dtype=torch.float32)
        f = drawn(posterior, x, params.n_draws, run.generator(f"f {name}")).cpu()
        predicted = inference.predict(posterior, x, params.n_draws, run)
        assert isinstance(predicted, RealPredictive)  # as the likelihood is one of real targets
        mean = predicted.moments[0].cpu()
        numbers[f"std_{name}"] = f.std(0, correction=0).mean().item()
        if name != "gap":
            numbers[f"rmse_{name}"] = rmse(mean, truth)
        if name != "inside":
            numbers[f"nll_{name}"] = -predicted.log_density(truth.to(run.device)).double().mean().item()
        if name == "beyond":
            numbers["rmse_median_beyond"] = rmse(f.median(0).values, truth)
    for name in ("gap", "beyond"):
        if f"std_{name}" in numbers and numbers["std_inside"] > 0:
            numbers[f"{name}_ratio"] = numbers[f"std_{name}"] / numbers["std_inside"]
    return numbers


def _learned(posterior: Any, train: Any, run: Run) -> dict[str, float]:
    """The learned period, and the bound on the log evidence of a point."""
    from bnnbench.bayes.gp_weights.metagp import evidence_bound
    from bnnbench.bayes.gp_weights.net import GPNet

    numbers: dict[str, float] = {}
    if (evidence := getattr(posterior, "log_evidence", None)) is not None:
        numbers["bound"] = evidence / len(train)
    if (period := getattr(posterior, "period", None)) is not None:
        numbers["period"] = period
    net = getattr(getattr(posterior, "distribution", posterior), "net", None)
    if isinstance(net, GPNet):
        numbers["bound"] = evidence_bound(net, train, 200, run.generator("bound")) / len(train)
        if net.process.auxiliary is not None and net.process.auxiliary.period is not None:
            numbers["period"] = net.process.auxiliary.period
    return numbers


def _band(posterior: Any, params: Curve, run: Run) -> dict[str, list[float]]:
    """Mean, median and central 90 % of f on the range that is drawn."""
    import torch

    from bnnbench.papers.gp_prior.points import CURVES

    x = _places((CURVES[params.data].places.shown,), GRID).to(run.device)
    f = drawn(posterior, x, params.n_draws, run.generator("band")).cpu()
    low, middle, high = f.quantile(torch.tensor([0.05, 0.5, 0.95]), dim=0)
    return {
        "x": x[:, 0].tolist(), "mean": f.mean(0).tolist(), "median": middle.tolist(), "low": low.tolist(),
        "high": high.tolist(), "std": f.std(0, correction=0).tolist(),
    }  # fmt: skip


def _functions(posterior: Any, params: Curve, run: Run) -> dict[str, dict[str, list[float]]]:
    """A few whole functions, where the posterior draws such."""
    from bnnbench.papers.gp_prior.points import CURVES

    x = _places((CURVES[params.data].places.shown,), GRID).to(run.device)
    stream = run.generator("functions")
    if hasattr(posterior, "functions"):
        f = posterior.functions(x, SHOWN, stream).reshape(SHOWN, GRID)
    elif posterior.coherent:
        f = posterior.predict(x, SHOWN, stream).mean
    else:
        return {}
    places = x[:, 0].tolist()
    return {
        "functions": {
            "draw": [k for k in range(len(f)) for _ in places],
            "x": places * len(f),
            "y": f.cpu().reshape(-1).tolist(),
        }
    }
