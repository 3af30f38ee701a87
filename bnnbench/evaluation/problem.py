"""Problems for methods: a new net, a trained net, or its last layer on features; and reference draws for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from bnnbench.bayes.hmc import hmc
from bnnbench.bayes.map import map_estimate
from bnnbench.bayes.method import Train, with_own_parameters
from bnnbench.bayes.network import Features
from bnnbench.evaluation.params import Scope
from bnnbench.harness.run import Run


@dataclass(frozen=True)
class Origin:
    """The origin of a net: a function that makes a new one on the device of a run, its data and its training.

    `depends_on` holds, in numbers and strings, all that the trained net depends on apart from the data sets.
    """

    new: Callable[[Run], nn.Module]
    train: Train
    training: Mapping[str, Any]
    depends_on: Mapping[str, Any]
    datasets: Sequence[str]


@dataclass(frozen=True)
class Problem:
    """The input of a method: a net and its training data.

    Where `model` is the last layer of a net, `features` computes its inputs.
    """

    model: nn.Module
    train: Train
    origin: Origin
    scope: Scope
    features: Features | None = None

    @property
    def n_weights(self) -> int:
        """The number of parameters of the whole net."""
        net = self.model if self.features is None else self.features.module
        return sum(parameter.numel() for parameter in net.parameters())

    def inputs(self, x: Tensor) -> Tensor:
        """Points [N, ...] as inputs of `model`: features [N, d] where it is a last layer."""
        return x if self.features is None else self.features(x)


def problem(scope: Scope, origin: Origin, run: Run) -> Problem:
    """The problem of a scope: a new net where the method trains all layers, the trained net, or its last layer."""
    if scope == "all":
        return Problem(origin.new(run), origin.train, origin, scope)
    net, train = trained(origin, run), replace(origin.train, augment=None)
    if scope == "whole":
        return Problem(net, train, origin, scope)
    features = Features(net)
    held_out = None if train.validation is None else (features(train.validation[0]), train.validation[1])
    return Problem(features.last, replace(train, x=features(train.x), validation=held_out), origin, scope, features)


def trained(origin: Origin, run: Run) -> nn.Module:
    """The net at its mode, with its noise where that is learned; it is trained once for all methods of a seed."""

    def compute(own: Run) -> Mapping[str, Any]:
        train = replace(origin.train, validation=None)
        options = {"training": origin.training}
        fitted: Any = map_estimate.fit(origin.new(own), train, options, own.generator("training"), own)
        buffers = {name: value.cpu() for name, value in fitted.net.module.named_buffers()}
        return {"theta": fitted.sample(1)[0].cpu(), "buffers": buffers}

    kept = run.shared("net", origin.depends_on, origin.datasets, compute)
    net = with_own_parameters(origin.new(run), origin.train.likelihood)
    nn.utils.vector_to_parameters(kept["theta"].to(run.device), net.parameters())
    for name, value in kept["buffers"].items():
        net.get_buffer(name).copy_(value)
    return net.eval()


@dataclass(frozen=True)
class Reference:
    """Draws of weights [T, P], one chain after the other, with their diagnostics.

    `diagnostics` holds the worst rank-normalised R-hat and effective sizes over the weights, the share of divergent
    trajectories, and the lowest E-BFMI of a chain.
    """

    draws: Tensor
    diagnostics: Mapping[str, float]

    def misses(self) -> list[str]:
        """A line for each criterion of posteriordb for reference draws (Magnusson et al. 2025) that is not met."""
        numbers = {"draws": len(self.draws), **self.diagnostics}
        return [
            f"{name} is {numbers[name]:.4g}; at {side} {bound:g} is asked for"
            for name, side, bound in CRITERIA
            if not (numbers[name] >= bound if side == "least" else numbers[name] <= bound)
        ]


CRITERIA = (
    ("draws", "least", 10_000),
    ("rhat_parameters", "most", 1.01),
    ("ess_bulk_parameters", "least", 9_000),  # of 10,000, so that the draws are nearly independent
    ("ess_tail_parameters", "least", 9_000),
    ("divergences", "most", 0),
    ("ebfmi", "least", 0.2),
)


def reference(here: Problem, options: Mapping[str, Any], run: Run) -> Reference:
    """Draws of HMC with `options` on the trained net or its last layer; the first job of a seed computes them."""
    chosen = {"training": None, "scope": "all" if here.scope == "whole" else "last", **options}

    def compute(own: Run) -> Mapping[str, Any]:
        posterior: Any = hmc.fit(here.model, here.train, chosen, own.generator("hmc"), own)
        numbers = posterior.diagnostics(here.train.x[:1])
        kept = {name: numbers[name] for name, *_ in CRITERIA if name in numbers}
        return {"draws": posterior.chains.flatten(0, 1).cpu(), "diagnostics": kept}

    depends_on = {**here.origin.depends_on, **chosen}
    return Reference(**run.shared("hmc", depends_on, here.origin.datasets, compute))
