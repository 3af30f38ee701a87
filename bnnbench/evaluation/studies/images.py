"""Images classified by a method: calibration, other data, shifts, and the distance of its draws to reference draws."""

from typing import TYPE_CHECKING, Any, get_args

from bnnbench.evaluation import measures
from bnnbench.evaluation.image_params import ANGLES, ImageNet, ImagePosterior, Other, Severity
from bnnbench.harness.experiment import Outcome, study
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bnnbench.bayes.posterior import ClassPredictive
    from bnnbench.evaluation.images import Splits
    from bnnbench.evaluation.inference import Problem
    from bnnbench.evaluation.reference import Reference

METRICS = (
    *measures.CLASSES,
    *measures.WEIGHTS,
    *measures.COST,
    *measures.other_data(get_args(Other)),
    *measures.rotations(ANGLES),
    *measures.corruptions(get_args(Severity)),
)


@study(params=ImagePosterior, metrics=METRICS)
def images(params: ImagePosterior, run: Run) -> Outcome:
    """Fits the method and measures its predictions, and its draws of the weights beside HMC's."""
    from bnnbench.evaluation import inference, scores, shift
    from bnnbench.evaluation.images import splits

    data = splits(params, run)
    here = problem(params, data, run)
    posterior, cost = inference.fit(params.method, params.filled(), here, run, trained=params.scope != "all")

    def predict(pictures: "Tensor") -> "ClassPredictive":
        return _classes(inference.predict(posterior, here.inputs(pictures), params.n_draws, run), params.method)

    test = predict(data.x_test)
    parts = [
        Outcome({**scores.class_scores(test, data.y_test), **cost}),
        _weights(posterior, params, here, run),
        shift.other_data(predict, test, params, run),
        shift.rotations(predict, data, params),
        shift.corruptions(predict, data, params, run),
    ]
    return inference.merged(*parts)


def problem(params: ImagePosterior, data: "Splits", run: Run) -> "Problem":
    """The last layer of the trained net on its features, or a new net on images where the method trains all layers."""
    from bnnbench.bayes.method import Train
    from bnnbench.bayes.network import Features
    from bnnbench.evaluation.images import flip_and_crop
    from bnnbench.evaluation.inference import Problem

    validation = data.x_validation, data.y_validation
    if params.scope == "all":
        augment = flip_and_crop if params.augment else None
        train = Train(data.x_train, data.y_train, validation=validation, augment=augment)
        return Problem(_network(params, data, run), train)
    net = trained(params, data, run)
    if params.scope == "whole":
        return Problem(net, Train(data.x_train, data.y_train, validation=validation))
    features = Features(net)
    held_out = features(data.x_validation), data.y_validation
    return Problem(features.last, Train(features(data.x_train), data.y_train, validation=held_out), features)


def trained(params: ImageNet, data: "Splits", run: Run) -> "nn.Module":
    """The net at its mode, trained once for all methods."""
    from torch import nn

    from bnnbench.bayes.map import map_estimate
    from bnnbench.bayes.method import Train
    from bnnbench.evaluation.images import flip_and_crop

    def compute(own: Run) -> dict[str, Any]:
        augment = flip_and_crop if params.augment else None
        train = Train(data.x_train, data.y_train, augment=augment)
        options = {"training": params.training()}
        fitted: Any = map_estimate.fit(_network(params, data, own), train, options, own.generator("training"), own)
        buffers = {name: value.cpu() for name, value in fitted.net.module.named_buffers()}
        return {"theta": fitted.sample(1)[0].cpu(), "buffers": buffers}

    kept = run.shared("net", params.shared(), (params.dataset,), compute)
    net = _network(params, data, run)
    nn.utils.vector_to_parameters(kept["theta"].to(run.device), net.parameters())
    for name, value in kept["buffers"].items():
        net.get_buffer(name).copy_(value)
    return net.eval()


def reference_draws(params: ImagePosterior, here: "Problem", run: Run) -> "Reference":
    """HMC on what the method is of, computed once for all methods."""
    from bnnbench.evaluation.reference import reference

    options = {
        "precision": params.precision,
        "ignore_bias": params.ignore_bias,
        "scope": "all" if params.scope == "whole" else "last",
        "sampling": params.sampling(),
    }
    return reference(here, options, run, {**params.shared(), "of": params.scope}, (params.dataset,))


def _network(params: ImageNet, data: "Splits", run: Run) -> "nn.Module":
    """The net of `params`, newly initialised, on the device of the run."""
    import torch

    from bnnbench.evaluation.networks import image_net, initialised

    net = image_net(params.net, data.x_train.shape[1:], data.n_classes, params.width)
    return initialised(net, run.generator("init")).to(torch.device(run.device))


def _weights(posterior: Any, params: ImagePosterior, here: "Problem", run: Run) -> Outcome:
    """What the chains and the prior tell, and draws beside the reference's where the method draws the same weights."""
    from bnnbench.evaluation import inference

    told = Outcome(inference.diagnosed(posterior))
    if params.scope == "all" or not hasattr(posterior, "sample"):
        return told
    return inference.merged(told, inference.compared(posterior, reference_draws(params, here, run).draws, run))


def _classes(found: Any, method: str) -> "ClassPredictive":
    from bnnbench.bayes.posterior import ClassPredictive

    if not isinstance(found, ClassPredictive):
        raise TypeError(f"method {method!r} predicts {type(found).__name__}; images are classified")
    return found
