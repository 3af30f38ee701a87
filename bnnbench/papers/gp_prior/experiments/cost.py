"""Time and memory of a training step against the width of a net."""

from statistics import median
from typing import Any, Literal, get_args

from pydantic import Field, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, study
from bnnbench.harness.run import Run

Width = Literal[50, 100, 200, 400]
WIDTHS: tuple[Width, ...] = get_args(Width)
GROWTH: tuple[Width, Width] = (50, 200)  # widths between which the growth of memory is measured
WARMUP = 3


class Cost(Params):
    """A net with two hidden layers of one width, and one step of its bound."""

    options: dict[str, Any] = Field({}, description="of metagp")
    form: Literal["factors", "dense"] = Field(
        "factors",
        description="dense: the conditional moments of every weight are made",
    )
    widths: tuple[Width, ...] = Field(WIDTHS, description="of both hidden layers, one after another")
    n_inputs: PositiveInt = 8
    n_points: PositiveInt = 100
    repeats: PositiveInt = Field(5, description="steps, of which the fastest counts")

    def methods(self) -> dict[str, dict[str, Any]]:
        """The method."""
        return {"metagp": self.options}


METRICS = (
    *(
        Metric(f"{name}_{width}", unit, better, f"{text}, {width} units in each hidden layer")
        for name, unit, better, text in (
            ("n_weights", "", None, "weights of the net, with biases"),
            ("n_learned", "", None, "numbers that are learned: latents, inducing variables and codes, kernels"),
            ("step_ms", "ms", False, "CPU time of the bound and its gradient"),
            ("step_memory", "MB", False, "peak of memory during the step, beyond what is learned"),
        )
        for width in WIDTHS
    ),
    Metric("memory_growth", "times", False, "growth of the memory over that of the weights, from 50 to 200 units"),
)


@study(params=Cost, metrics=METRICS)
def cost(params: Cost, run: Run) -> Outcome:
    """Steps at a start; nothing is fitted."""
    numbers = {width: _at(width, params, run) for width in params.widths}
    none: dict[str, float] = {}
    first, last = (numbers.get(width, none) for width in GROWTH)
    growth = {}
    if first.get("step_memory", 0) > 0 and "step_memory" in last:
        weights = last["n_weights"] / first["n_weights"]
        growth = {"memory_growth": last["step_memory"] / first["step_memory"] / weights}
    named = {f"{name}_{width}": value for width, own in numbers.items() for name, value in own.items()}
    return Outcome({**named, **growth})


def _at(width: int, params: Cost, run: Run) -> dict[str, float]:
    """The numbers of one width."""
    import torch

    from bnnbench.bayes.gp_weights.metagp import MetaGPParams, made
    from bnnbench.bayes.likelihood import Gaussian
    from bnnbench.bayes.method import Train
    from bnnbench.evaluation import cost as measure
    from bnnbench.evaluation.networks import perceptron
    from bnnbench.papers.gp_prior.dense import dense_outputs

    options = MetaGPParams.model_validate(params.options)
    stream = run.generator("points")
    x = torch.randn(params.n_points, params.n_inputs, generator=stream)
    train = Train(x.to(run.device), torch.sin(x[:, 0]).to(run.device), Gaussian(0.1))
    model = perceptron((params.n_inputs, width, width, 1), torch.nn.ReLU).to(run.device)
    net = made(model, train, options, run.generator("start"))
    outputs = dense_outputs if params.form == "dense" else type(net).outputs

    def step() -> None:
        net.zero_grad(set_to_none=True)
        draw = net.draw(options.samples, stream)
        loss = train.likelihood.nll(outputs(net, train.x, draw, stream), train.y).mean() + net.kl() / len(train)
        loss.backward()

    for _ in range(WARMUP):  # the first steps load libraries, whose memory would count
        step()
    took = [measure.measured(step, run.device)[1] for _ in range(params.repeats)]
    peaks = [one.peak_megabytes for one in took if one.peak_megabytes is not None]
    return {
        "n_weights": net.wiring.n_weights,
        "n_learned": sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad),
        "step_ms": 1000 * min(one.cpu_seconds for one in took),
        **({"step_memory": median(peaks)} if peaks else {}),
    }
