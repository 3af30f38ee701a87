"""New embeddings of the inputs alone: pixels are permuted, and only their units' latents are learned anew."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, study
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from bnnbench.bayes.gp_weights.net import GPNet


class Embeddings(Params):
    """A net for images whose weights all come from the codes of units."""

    dataset: str = "mnist"
    options: dict[str, Any] = Field({}, description="of metagp")
    width: PositiveInt = 100
    n_train: PositiveInt = 5000
    n_test: PositiveInt = 2000
    side: PositiveInt | None = Field(None, description="pixels of a side that images are averaged down to")
    relearned_steps: PositiveInt = Field(1000, description="after the permutation")
    n_draws: PositiveInt = 20

    def datasets(self) -> tuple[str, ...]:
        """The images."""
        return (self.dataset,)

    def methods(self) -> dict[str, dict[str, Any]]:
        """The method."""
        return {"metagp": self.options}


METRICS = (
    Metric("error", "%", False, "test error of all layers, before the permutation"),
    Metric("nll", "nats", False, "mean negative log-likelihood before the permutation"),
    Metric("error_permuted", "%", None, "with permuted pixels and the old latents"),
    Metric("error_inputs", "%", False, "after learning the latents of inputs anew, with all else as it was"),
    Metric("error_scratch", "%", False, "after learning everything anew for as many steps"),
    Metric("learned_inputs", "", None, "numbers learned anew for the inputs' latents"),
    Metric("learned_all", "", None, "numbers learned in all"),
    Metric("fit_cpu_seconds", "s", False, "CPU time of the three fits and their scores", "Cost"),
)


@study(params=Embeddings, metrics=METRICS)
def embeddings(params: Embeddings, run: Run) -> Outcome:
    """Fits all latents; permutes pixels; learns latents of the inputs alone, and everything, for as many steps."""
    import time

    import torch

    from bnnbench.bayes.gp_weights.metagp import MetaGPParams, fit, made
    from bnnbench.bayes.method import Train
    from bnnbench.evaluation.image_params import ImageNet
    from bnnbench.evaluation.images import splits
    from bnnbench.evaluation.networks import perceptron

    options = MetaGPParams.model_validate(params.options)
    chosen = ImageNet(dataset=params.dataset, n_train=params.n_train, n_test=params.n_test, side=params.side)
    data = splits(chosen, run)
    x, x_test = data.x_train.flatten(1), data.x_test.flatten(1)
    model = perceptron((x.shape[1], params.width, data.n_classes), torch.nn.ReLU).to(run.device)
    order = torch.randperm(x.shape[1], generator=run.generator("order"))
    plain, permuted = Train(x, data.y_train), Train(x[:, order], data.y_train)
    short = options.model_copy(
        update={"training": options.training.model_copy(update={"steps": params.relearned_steps}), "warmup": 0.0}
    )
    start = time.process_time()
    net = made(model, plain, options, run.generator("start"))
    fit(net, plain, options, run.generator("fit"), run.stage("fit"))
    error, nll = _scored(net, x_test, data.y_test, params, run)
    before, _ = _scored(net, x_test[:, order], data.y_test, params, run)
    n_inputs = free_inputs_alone(net)
    fit(net, permuted, short, run.generator("inputs"), run.stage("inputs"))
    inputs, _ = _scored(net, x_test[:, order], data.y_test, params, run)
    anew = options.model_copy(update={"training": short.training, "inputs": "prior"})  # the grid means nothing now
    other = made(model, permuted, anew, run.generator("start"))
    fit(other, permuted, anew, run.generator("scratch"), run.stage("scratch"))
    scratch, _ = _scored(other, x_test[:, order], data.y_test, params, run)
    return Outcome(
        {
            "error": error,
            "nll": nll,
            "error_permuted": before,
            "error_inputs": inputs,
            "error_scratch": scratch,
            "learned_inputs": n_inputs,
            "learned_all": sum(parameter.numel() for parameter in other.parameters()),
            "fit_cpu_seconds": time.process_time() - start,
        },
        {"latents": _latents(net)},
    )


def free_inputs_alone(net: "GPNet") -> int:
    """Freezes everything but the latents of the inputs; the number of what is left free."""
    net.requires_grad_(False)
    own = (net.units.means[0], net.units.log_stds[0])
    for parameter in own:
        parameter.requires_grad_(True)
    return sum(parameter.numel() for parameter in own)


def _scored(net: "GPNet", x: "Tensor", y: "Tensor", params: Embeddings, run: Run) -> tuple[float, float]:
    """Test error in per cent, and negative log-likelihood, of the mean over draws."""
    import torch

    from bnnbench.bayes.posterior import ClassPredictive
    from bnnbench.evaluation.scores import class_scores

    with torch.no_grad():
        stream = run.generator("scored")
        predicted = ClassPredictive(net.outputs(x, net.draw(params.n_draws, stream), stream).float())
    numbers = class_scores(predicted, y)
    return 100 - numbers["accuracy"], numbers["nll"]


def _latents(net: "GPNet") -> dict[str, list[Any]]:
    """Means of the first two dimensions of all units' latents, by layer."""
    table: dict[str, list[Any]] = {"layer": [], "first": [], "second": []}
    for layer, mean in enumerate(net.units.means):
        table["layer"] += [layer] * len(mean)
        table["first"] += mean[:, 0].tolist()
        table["second"] += mean[:, min(1, mean.shape[1] - 1)].tolist()
    return table
