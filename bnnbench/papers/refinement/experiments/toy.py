"""Logistic regression in two dimensions, where the exact posterior is known on a grid (Figure 4.5)."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.errors import Diverged
from bnnbench.evaluation import measures
from bnnbench.harness.experiment import Outcome, Params, experiment
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SPAN, CELLS = 12.0, 400  # of the grid: from -SPAN to SPAN deviations around the mode
SHOWN_SPAN, SHOWN_CELLS = 6.0, 60  # of the kept grid


class Toy(Params):
    """Parameters of `refinement/toy`."""

    approximation: Literal["laplace", "variational", "refined", "hmc"] = "laplace"
    length: PositiveInt = Field(5, description="layers of the flow")
    whitened: bool = Field(True, description="the flow acts on noise, before the Laplace approximation")
    n_points: PositiveInt = 50
    distance: PositiveFloat = Field(1.0, description="of the two clusters' middles from 0 on both axes")
    precision: PositiveFloat = Field(0.1, description="of the prior")
    draws: PositiveInt = 600
    steps: PositiveInt = Field(1500, description="of Adam, 32 draws each")
    learning_rate: PositiveFloat = 0.01


@experiment("refinement/toy", params=Toy, metrics=measures.REFERENCE)
def toy(params: Toy, run: Run) -> Outcome:
    """Draws of an approximation beside draws from the exact posterior on a grid."""
    import torch

    from bnnbench.evaluation import scores

    x, y = _data(params, run.generator("data"))
    target = _target(x, y, params.precision)
    exact = _exact_draws(target, params.draws, run.generator("exact"))
    draws = _draws(params, target, run)
    if not torch.isfinite(draws).all():
        raise Diverged("draws are not finite")
    tables = {"draws": {"x": draws[:, 0].tolist(), "y": draws[:, 1].tolist()}, "density": _density(target)}
    return Outcome(scores.distance_scores(draws, exact), tables)


def _data(params: Toy, generator: "torch.Generator") -> "tuple[Tensor, Tensor]":
    import torch

    y = torch.arange(params.n_points) % 2
    x = torch.randn(params.n_points, 2, generator=generator) + params.distance * (2.0 * y[:, None] - 1)
    return x.double(), y


def _target(x: "Tensor", y: "Tensor", precision: float) -> Any:
    """sigmoid(theta . x) as two classes: logits 0 and theta . x."""
    import torch

    from bnnbench.bayes.likelihood import Categorical
    from bnnbench.bayes.target import Target

    class Logistic:
        n_params = 2

        def outputs(self, theta: "Tensor", x: "Tensor") -> "Tensor":
            logits = theta @ x.T
            return torch.stack([torch.zeros_like(logits), logits], dim=-1)

    return Target(Logistic(), x, y, Categorical(), precision)


def _laplace(target: Any) -> Any:
    import torch

    from bnnbench.bayes.curvature import Full
    from bnnbench.bayes.gaussian import LaplaceNormal
    from bnnbench.bayes.target import mode

    centre = mode(target, torch.zeros(2, dtype=torch.float64))
    hessian = torch.autograd.functional.hessian(lambda theta: -target.log_likelihood(theta[None])[0], centre)
    return LaplaceNormal(centre, Full.of(hessian), target.precision)


def _exact_draws(target: Any, n_draws: int, generator: "torch.Generator") -> "Tensor":
    """Cells of a grid by their probability, and a uniform place within each."""
    import torch

    axes = _axes(target, SPAN, CELLS)
    points = torch.cartesian_prod(*axes)
    weights = torch.softmax(torch.cat([target(part) for part in points.split(20_000)]), 0)
    chosen = points[torch.multinomial(weights, n_draws, replacement=True, generator=generator)]
    width = torch.stack([axis[1] - axis[0] for axis in axes])
    return chosen + width * (torch.rand(n_draws, 2, generator=generator, dtype=torch.float64) - 0.5)


def _axes(target: Any, span: float, cells: int) -> "list[Tensor]":
    """Of a grid around the mode, `span` deviations of the Laplace approximation to each side."""
    import torch

    base = _laplace(target)
    reach = span * base.marginal_variances.sqrt()
    return [torch.linspace(-1, 1, cells, dtype=torch.float64) * r + m for r, m in zip(reach, base.mean, strict=True)]


def _density(target: Any) -> dict[str, list[float]]:
    """The log posterior on a coarse grid, for contours."""
    import torch

    points = torch.cartesian_prod(*_axes(target, SHOWN_SPAN, SHOWN_CELLS))
    return {"x": points[:, 0].tolist(), "y": points[:, 1].tolist(), "log_density": target(points).tolist()}


def _draws(params: Toy, target: Any, run: Run) -> "Tensor":
    from bnnbench.bayes.hmc import Sampling, sample
    from bnnbench.bayes.journal import SILENT

    base, noise = _laplace(target), run.generator("draws")
    if params.approximation == "laplace":
        return base.sample(params.draws, noise)  # type: ignore[no-any-return]
    if params.approximation == "hmc":
        sampling = Sampling(chains=4, warmup=100, draws=-(-params.draws // 4))
        return sample(target, base, sampling, noise, SILENT).draws.flatten(0, 1)[: params.draws]
    return _optimised(params, target, base, noise)


def _optimised(params: Toy, target: Any, base: Any, noise: "torch.Generator") -> "Tensor":
    """A flow on the Laplace approximation, or a normal distribution with free mean and factor (VB)."""
    import torch

    from bnnbench.bayes.flows import flow

    if params.approximation == "refined":
        layers = flow("radial", params.length, 2, noise, like=base.mean)
        parameters: list[Any] = list(layers.parameters())

        def push(e: "Tensor") -> "tuple[Tensor, Tensor]":
            if params.whitened:
                z, log_det = layers(e)
                return base.push(z), log_det
            return layers(base.push(e))  # type: ignore[no-any-return]
    else:
        mean = base.mean.clone().requires_grad_()
        factor = torch.diag(base.marginal_variances.sqrt()).requires_grad_()
        parameters = [mean, factor]

        def push(e: "Tensor") -> "tuple[Tensor, Tensor]":
            lower = torch.tril(factor)
            return mean + e @ lower.mT, lower.diagonal().abs().log().sum().expand(len(e))

    optimizer = torch.optim.Adam(parameters, lr=params.learning_rate)
    for _ in range(params.steps):
        theta, log_det = push(torch.randn(32, 2, generator=noise, dtype=torch.float64))
        loss = -(target(theta) + log_det).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return push(torch.randn(params.draws, 2, generator=noise, dtype=torch.float64))[0]
