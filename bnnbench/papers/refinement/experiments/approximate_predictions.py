"""Closed forms instead of draws, on toys: linearised nets and the multiclass probit (Figures 4.3 and 4.4)."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    from torch import Tensor, nn


class Linearisation(Params):
    """Parameters of `refinement/linearisation`."""

    n_points: PositiveInt = 150
    noise: PositiveFloat = Field(0.3, description="standard deviation of the targets around a sine")
    width: PositiveInt = Field(50, description="hidden tanh units of the two-layer net")
    epochs: PositiveInt = 1000
    draws: PositiveInt = 10_000


@experiment(
    "refinement/linearisation",
    params=Linearisation,
    metrics=[
        Metric("mean_gap", "", description="mean distance of the predictive means of draws and of the linearised net"),
        Metric("deviation_gap", "", description="mean distance of their predictive standard deviations"),
        Metric("deviation_ratio", "x", description="mean ratio of their predictive standard deviations, draws on top"),
    ],
)
def linearisation(params: Linearisation, run: Run) -> Outcome:
    """One full-Hessian Laplace approximation of all layers, predicted by draws of weights and by linearisation."""
    import torch

    from bnnbench.bayes.likelihood import Gaussian
    from bnnbench.bayes.method import Train

    generator = run.generator("data")
    x = 8 * torch.rand(params.n_points, 1, generator=generator)
    y = torch.sin(x[:, 0]) + params.noise * torch.randn(params.n_points, generator=generator)
    net = _net((1, params.width, 1), run)
    posterior = _laplace(net, Train(x, y, Gaussian(params.noise)), params.epochs, run)
    places = torch.linspace(-5, 13, 181)[:, None]
    numbers = {}
    for link in ("weights", "linearised"):
        predicted = posterior.with_link(link).predict(places, params.draws, run.generator(link))
        numbers[link] = predicted.moments
    (mean, deviation), (flat_mean, flat_deviation) = numbers["weights"], numbers["linearised"]
    table = {
        "x": places[:, 0].tolist(),
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "linearised_mean": flat_mean.tolist(),
        "linearised_deviation": flat_deviation.tolist(),
    }
    metrics = {
        "mean_gap": (mean - flat_mean).abs().mean().item(),
        "deviation_gap": (deviation - flat_deviation).abs().mean().item(),
        "deviation_ratio": (deviation / flat_deviation).mean().item(),
    }
    return Outcome(metrics, {"bands": table, "data": {"x": x[:, 0].tolist(), "y": y.tolist()}})


class Blobs(Params):
    """Parameters of `refinement/mpa-toy`."""

    n_points: PositiveInt = Field(150, description="in three clusters")
    spread: PositiveFloat = Field(0.5, description="standard deviation of a cluster")
    width: PositiveInt = Field(20, description="units of the two hidden tanh layers")
    epochs: PositiveInt = 500
    precision: PositiveFloat | None = Field(None, description="of the prior; null: by marginal likelihood")
    draws: PositiveInt = 1000
    cells: PositiveInt = Field(60, description="of a side of the map")


@experiment(
    "refinement/mpa-toy",
    params=Blobs,
    metrics=[
        Metric("confidence_draws", "%", description="mean largest probability at the data, linearised draws"),
        Metric("confidence_probit", "%", description="the same by the multiclass probit approximation"),
        Metric("confidence_weights", "%", description="the same by draws of weights"),
    ],
)
def mpa_toy(params: Blobs, run: Run) -> Outcome:
    """Three clusters: confidence near the data by draws of linearised logits and by the multiclass probit."""
    import torch

    from bnnbench.bayes.method import Train

    generator = run.generator("data")
    y = torch.arange(params.n_points) % 3
    angle = 2 * torch.pi * y / 3
    x = 2 * torch.stack([angle.cos(), angle.sin()], 1) + params.spread * torch.randn(
        params.n_points, 2, generator=generator
    )
    net = _net((2, params.width, params.width, 3), run)
    posterior = _laplace(net, Train(x, y), params.epochs, run, params.precision or "evidence")
    axis = torch.linspace(-6, 6, params.cells)
    places = torch.cartesian_prod(axis, axis)
    confidences: dict[str, Any] = {}
    table = {"x": places[:, 0].tolist(), "y": places[:, 1].tolist()}
    for name, link in (("draws", "linearised"), ("probit", "probit"), ("weights", "weights")):
        method = posterior.with_link(link)
        stream = run.generator(name)
        confidences[f"confidence_{name}"] = 100 * _confidence(method, x, params, stream).mean().item()
        table[name] = _confidence(method, places, params, stream).tolist()
    return Outcome(confidences, {"map": table, "data": {"x": x[:, 0].tolist(), "y": x[:, 1].tolist()}})


def _confidence(posterior: Any, x: "Tensor", params: Blobs, generator: Any) -> "Tensor":
    return posterior.predict(x, params.draws, generator).probs.amax(1)  # type: ignore[no-any-return]


def _net(sizes: tuple[int, ...], run: Run) -> "nn.Module":
    from torch import nn

    from bnnbench.evaluation.networks import initialised, perceptron

    return initialised(perceptron(sizes, nn.Tanh), run.generator("init"))


def _laplace(net: "nn.Module", train: Any, epochs: int, run: Run, precision: float | str = "evidence") -> Any:
    from bnnbench.bayes.laplace import laplace

    training = {"epochs": epochs, "learning_rate": 1e-2, "batch_size": len(train)}
    return laplace.fit(
        net, train, {"training": training, "scope": "all", "precision": precision}, run.generator("laplace"), run
    )
