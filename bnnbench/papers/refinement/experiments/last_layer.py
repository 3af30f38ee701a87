"""Posteriors of a last layer as the paper defines them, or as its released code computes them: without the bias.

In the released code HMC and the flow leave the bias out of the logits (it takes a single weight in its place, which the
softmax does not see), so its C coordinates of theta follow the prior; the Laplace approximation and the point estimate
keep the bias. `ignore_bias` does the same: those methods infer a layer without a bias, and where draws of theta are
compared its coordinates are draws of the prior.
"""

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from bnnbench.evaluation.image_params import ImagePosterior
from bnnbench.evaluation.studies import images
from bnnbench.harness.experiment import Outcome, study
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from bnnbench.evaluation.case import ReferenceCase
    from bnnbench.evaluation.images import Splits
    from bnnbench.evaluation.problem import Problem

WITHOUT_BIAS = ("hmc", "nuts", "refine")
"""The methods whose posterior has no bias in the released code."""


class LastLayerPosterior(ImagePosterior):
    """A method on a last layer, with its bias or without."""

    ignore_bias: bool = Field(False, description="the last layer's bias has no effect, as in the released code")

    @model_validator(mode="after")
    def _only_of_the_last_layer(self) -> "LastLayerPosterior":
        if self.ignore_bias and self.scope != "last":
            raise ValueError("ignore_bias is of the last layer; set scope: last, or leave it out")
        return self


@study(params=LastLayerPosterior, metrics=images.METRICS)
def last_layer(params: LastLayerPosterior, run: Run) -> Outcome:
    """What the study of images measures, of either posterior."""
    if not params.ignore_bias:
        return images.images(params, run)
    from bnnbench.evaluation import inference
    from bnnbench.evaluation.problem import reference

    data, whole = images.posed(params, run)
    bare = without_bias(whole)
    here = bare if params.method in WITHOUT_BIAS else whole
    posterior, cost = inference.fit(params.method, params.filled(), here, run)
    outcomes = [Outcome(cost), images.measured(posterior, here, data, params, run)]
    if hasattr(posterior, "sample"):

        def sample(n_draws: int, generator: "Generator | None") -> "Tensor":
            weights: Tensor = posterior.sample(n_draws, generator)
            return _with_bias(weights, params, data, generator) if here is bare else weights

        expected = reference(bare, images.sampler(params), run).draws
        outcomes.append(inference.compared(sample, _with_bias(expected, params, data, run.generator("bias")), run))
    return inference.merged(*outcomes)


def reference_case(params: LastLayerPosterior, run: Run) -> "ReferenceCase":
    """The posterior that methods are measured against; its theta has no bias where that is ignored."""
    if not params.ignore_bias:
        return images.reference_case(params, run)
    from bnnbench.evaluation.case import case

    data, whole = images.posed(params, run)
    return case(without_bias(whole), images.sampler(params), run, (data.x_test, data.y_test))


def without_bias(here: "Problem") -> "Problem":
    """The same last layer, at the same weights, without its bias."""
    from torch import nn

    last = here.model
    assert isinstance(last, nn.Linear)
    bare = nn.Linear(last.in_features, last.out_features, bias=False).to(last.weight)
    bare.load_state_dict({"weight": last.weight.detach()})
    origin = replace(here.origin, depends_on={**here.origin.depends_on, "ignore_bias": True})
    return replace(here, model=bare, origin=origin)


def _with_bias(
    weights: "Tensor", params: LastLayerPosterior, data: "Splits", generator: "Generator | None"
) -> "Tensor":
    """Weights [S, P - C] and, after them, C biases from their prior."""
    import torch

    from bnnbench.bayes.noise import normal

    biases = normal((len(weights), data.n_classes), generator, weights) / sqrt(params.precision)
    return torch.cat([weights, biases], dim=1)
