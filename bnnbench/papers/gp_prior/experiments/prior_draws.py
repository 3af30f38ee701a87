"""Functions that are drawn from the prior, and whether they have the period of the kernel over contexts."""

from typing import Any

from pydantic import Field, PositiveInt, model_validator

from bnnbench.harness.experiment import Metric, Outcome, Params, study
from bnnbench.harness.run import Run

SHOWN = 10
STEP = 0.05  # between places


class PriorDraws(Params):
    """The prior of a small net."""

    options: dict[str, Any] = Field({}, description="of metagp; nothing is fitted")
    width: PositiveInt = 20
    n_functions: int = Field(200, ge=2)
    low: float = -3.0
    high: float = 9.0
    lag: float = Field(2.0, ge=STEP, description="at which functions are compared with themselves")

    @model_validator(mode="after")
    def _has_places(self) -> "PriorDraws":
        if self.lag + STEP >= self.high - self.low:
            raise ValueError(f"functions from {self.low:g} to {self.high:g} are too short for a lag of {self.lag:g}")
        return self

    def methods(self) -> dict[str, dict[str, Any]]:
        """The method whose prior it is."""
        return {"metagp": self.options}


METRICS = (
    Metric("autocorrelation", "", None, "of functions with themselves at the lag, over draws and places"),
    Metric("std", "", None, "mean deviation of f(x) over draws"),
    Metric("std_growth", "times", None, "deviation at the upper end over that at 0"),
    Metric("roughness", "", None, "mean |f(x + 0.05) - f(x)| over the deviation"),
)


@study(params=PriorDraws, metrics=METRICS)
def prior_draws(params: PriorDraws, run: Run) -> Outcome:
    """Draws whole functions of the prior at its hyper-parameters."""
    import torch

    from bnnbench.bayes.gp_weights.functions import prior_functions
    from bnnbench.bayes.gp_weights.metagp import MetaGPParams, made
    from bnnbench.bayes.method import Train
    from bnnbench.evaluation.networks import perceptron

    x = torch.arange(params.low, params.high + STEP / 2, STEP)[:, None]
    model = perceptron((1, params.width, 1), torch.nn.ReLU)
    train = Train(x, torch.zeros(len(x), dtype=torch.int64))
    net = made(model, train, MetaGPParams.model_validate(params.options), run.generator("start"))
    f = prior_functions(net, x, params.n_functions, run.generator("functions"))[..., 0]
    shift = round(params.lag / STEP)
    centred = f - f.mean(1, keepdim=True)
    products = (centred[:, shift:] * centred[:, :-shift]).mean()
    std = f.std(0)
    zero = int(x[:, 0].abs().argmin())
    shown = f[:SHOWN]
    table = {
        "draw": [k for k in range(len(shown)) for _ in x],
        "x": x[:, 0].tolist() * len(shown),
        "y": shown.reshape(-1).tolist(),
    }
    return Outcome(
        {
            "autocorrelation": (products / centred.square().mean()).item(),
            "std": std.mean().item(),
            "std_growth": (std[-1] / std[zero]).item(),
            "roughness": (f[:, 1:] - f[:, :-1]).abs().mean().item() / std.mean().item(),
        },
        {"functions": table},
    )
