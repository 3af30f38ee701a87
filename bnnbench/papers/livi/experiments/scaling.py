"""Time and memory of the bound by the smallest singular value, from LeNet to 36.5 million weights."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, study
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    from torch import nn

    from bnnbench.bayes.implicit.generators import WeightGenerator


class Scaling(Params):
    """A net, the generator of its weights, and one evaluation of the bound with its gradient."""

    net: Literal["lenet", "mlp", "wrn-16-4", "wrn-28-10"]
    generator: dict[str, Any] = Field(description="that of the method livi")
    samples: PositiveInt = Field(2, description="weight vectors of a step")
    iterations: PositiveInt = Field(3, description="towards the smallest singular value")
    repeats: PositiveInt = Field(3, description="evaluations, of which the fastest counts")

    def methods(self) -> dict[str, dict[str, Any]]:
        """LIVI, whose options are those of the generator."""
        return {"livi": self.options()}

    def options(self) -> dict[str, Any]:
        """Those of the method."""
        return {
            "generator": self.generator,
            "entropy": "smallest-value",
            "samples": self.samples,
            "iterations": self.iterations,
        }


METRICS = (
    Metric("n_weights", "", None, "of the net, without parameters of batch norms"),
    Metric("n_parameters", "", None, "of the generator"),
    Metric("step_seconds", "s", False, "CPU time of one bound with its gradient, without the net"),
    Metric("nanoseconds_per_weight", "ns", False, "the same for each weight and draw"),
    Metric("bound_memory", "MB", False, "peak of memory during the bound and its gradient, beyond the generator"),
    Metric("memory_ratio", "", False, "that peak over the generator's parameters and activations"),
    Metric("jacobian", "MB", None, "what the Jacobians of all draws would take"),
)


@study(params=Scaling, metrics=METRICS)
def scaling(params: Scaling, run: Run) -> Outcome:
    """One evaluation at a generator that has not been trained."""
    import torch

    from bnnbench.bayes.implicit import entropy
    from bnnbench.bayes.implicit.livi import LIVIParams
    from bnnbench.bayes.noise import normal
    from bnnbench.evaluation import cost

    options = LIVIParams.model_validate(params.options())
    n_weights = sum(parameter.numel() for parameter in net_of(params.net).parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=run.generator("init"))))
        generator = options.generator.made(n_weights).to(run.device)
    like = next(generator.parameters()).detach()

    def bound() -> None:
        generator.zero_grad(set_to_none=True)
        stream = run.generator("noise")
        at = generator.linearised(normal((params.samples, generator.n_noise), stream, like))
        start = entropy.random_directions(params.samples, generator.n_noise, stream, like)
        found = entropy.towards_smallest(at, start, params.iterations)
        smallest = entropy.smallest_singular_value(at, found)
        entropy.smallest_value_bound(smallest, generator.n_noise, options.sigma).mean().backward()

    took = [cost.measured(bound, run.device)[1] for _ in range(params.repeats)]
    seconds, peak = min(one.cpu_seconds for one in took), took[0].peak_megabytes
    n_parameters, n_activations = sum(p.numel() for p in generator.parameters()), activations(generator)
    held = 4 * (n_parameters + params.samples * n_activations) / cost.MEGABYTE
    memory = {} if peak is None else {"bound_memory": peak, "memory_ratio": peak / held}
    return Outcome(
        {
            "n_weights": n_weights,
            "n_parameters": n_parameters,
            "step_seconds": seconds,
            "nanoseconds_per_weight": 1e9 * seconds / n_weights / params.samples,
            "jacobian": 4 * params.samples * n_weights * generator.n_noise / cost.MEGABYTE,
            **memory,
        }
    )


def activations(generator: "WeightGenerator") -> int:
    """The outputs of all layers of a generator, for one draw."""
    from bnnbench.bayes.implicit.generators import Dense, MatrixProduct

    layers = [part for part in generator.modules() if isinstance(part, Dense | MatrixProduct)]
    return sum(part.out_features if isinstance(part, Dense) else part.outer.numel() for part in layers)


def net_of(name: str) -> "nn.Module":
    """The net without its numbers, on the device "meta"."""
    import torch

    from bnnbench.evaluation.networks import SHAPES, image_net

    with torch.device("meta"):
        shape, n_classes = SHAPES.get(name, (1, 28, 28)), 100 if name == "wrn-28-10" else 10
        return image_net(name, shape, n_classes, 400, 2, affine=False)
