"""A trained net, its features, HMC's draws and a method's posterior: what the experiments on nets do in turn."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from bnnbench.bayes.hmc import hmc
from bnnbench.bayes.map import map_estimate
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import Features
from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.errors import UserError
from bnnbench.harness import registry
from bnnbench.harness.experiment import Outcome
from bnnbench.harness.run import Run
from bnnbench.papers.refinement import evaluate, networks
from bnnbench.papers.refinement.settings import Posterior, TrainedNet
from bnnbench.papers.refinement.splits import Splits, flip_and_crop

SHOWN_WEIGHTS = 4  # whose marginal distributions are kept, as in Figure 4.6


@dataclass(frozen=True)
class Setting:
    """A model as a method takes it, its data, and what makes images into its inputs."""

    model: nn.Module
    train: Train
    features: Features | None

    def inputs(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] as the model takes them: features [N, d] where it is a last layer."""
        return images if self.features is None else self.features(images)


def network(params: TrainedNet, splits: Splits, run: Run) -> nn.Module:
    """The net of `params`, newly initialised, on the device of the run; `UserError` where images do not fit it."""
    shape = tuple(splits.x_train.shape[1:])
    if params.net != "mlp" and shape != (needed := networks.SHAPES[params.net]):
        images, takes = (" x ".join(map(str, sizes)) for sizes in (shape, needed))
        raise UserError(
            f"net {params.net!r} takes images of {takes}, and {params.dataset} has {images}; choose another"
        )
    if params.net == "mlp":
        net: nn.Module = networks.mlp(splits.x_train[0].numel(), params.width, splits.n_classes)
    elif params.net == "lenet":
        net = networks.lenet(splits.n_classes)
    elif params.net == "wrn-16-4":
        net = networks.wide_resnet(splits.n_classes)
    else:
        net = networks.convnet(splits.n_classes)
    return networks.initialised(net, run.generator("init")).to(torch.device(run.device))


def trained(params: TrainedNet, splits: Splits, run: Run) -> nn.Module:
    """The net at its mode, trained once for all methods."""

    def compute(own: Run) -> Mapping[str, Any]:
        net = network(params, splits, own)
        augment = flip_and_crop if params.augment else None
        data = Train(splits.x_train, splits.y_train, augment=augment)
        fitted: Any = map_estimate.fit(net, data, {"training": params.training()}, own.generator("training"), own)
        return {"theta": fitted.sample(1)[0].cpu(), "buffers": _buffers(fitted.net.module)}

    kept = run.shared("net", params.shared(), (params.dataset,), compute)
    net = network(params, splits, run)
    nn.utils.vector_to_parameters(kept["theta"].to(run.device), net.parameters())
    for name, value in kept["buffers"].items():
        net.get_buffer(name).copy_(value)
    return net.eval()


def _buffers(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in net.named_buffers()}


def setting(params: Posterior, splits: Splits, run: Run) -> Setting:
    """The last layer of the trained net on its features, or a new net on images where the method trains all layers."""
    validation = (splits.x_validation, splits.y_validation)
    if params.scope == "all":
        augment = flip_and_crop if params.augment else None
        data = Train(splits.x_train, splits.y_train, validation=validation, augment=augment)
        return Setting(network(params, splits, run), data, None)
    net = trained(params, splits, run)
    if params.scope == "whole":
        return Setting(net, Train(splits.x_train, splits.y_train, validation=validation), None)
    features = Features(net)
    data = Train(features(splits.x_train), splits.y_train, validation=(features(validation[0]), validation[1]))
    return Setting(features.last, data, features)


def reference(params: Posterior, here: Setting, run: Run) -> Mapping[str, Any]:
    """HMC on what the method is of: `draws` [T, P] and the mean `rhat`, computed once for all methods."""
    names = ("scope", "precision", "ignore_bias", "chains", "chain_draws", "chain_warmup")
    inputs = {**params.shared(), **{name: getattr(params, name) for name in names}}

    def compute(own: Run) -> Mapping[str, Any]:
        sampling = {"chains": params.chains, "draws": params.chain_draws, "warmup": params.chain_warmup}
        options = {
            "training": None,
            "precision": params.precision,
            "ignore_bias": params.ignore_bias,
            "scope": "all" if params.scope == "whole" else "last",
            "sampling": sampling,
        }
        found: Any = hmc.fit(here.model, here.train, options, own.generator("hmc"), own)
        return {"draws": found.chains.flatten(0, 1).cpu(), "rhat": found.rhat.mean().item()}

    return run.shared("hmc", inputs, (params.dataset,), compute)


def fitted(params: Posterior, here: Setting, run: Run) -> tuple[Any, dict[str, float]]:
    """The posterior of the method of `params`, and the wall and CPU seconds that its fit took.

    Raises `UserError` for options that the method does not know.
    """
    method: Any = registry.method(params.method)
    options = params.filled()
    if params.scope != "all" and "training" in method.params.model_fields:
        options = {"training": None, **options}
    try:
        checked = method.params.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"method {params.method!r}: options.{where}: {first['msg']}") from None
    start, start_cpu = time.perf_counter(), time.process_time()
    posterior = method.fit(here.model, here.train, checked, run.generator("method"), run)
    cost = {"fit_seconds": time.perf_counter() - start, "fit_cpu_seconds": time.process_time() - start_cpu}
    return posterior, cost


def prediction(posterior: Any, x: Tensor, params: Posterior, run: Run) -> ClassPredictive:
    """With the same noise for all inputs, so that differences are not noise."""
    stream = torch.Generator().manual_seed(run.seed + 1)
    found = posterior.predict(x, params.n_draws, stream)
    if not isinstance(found, ClassPredictive):
        raise UserError(f"method {params.method!r} predicts {type(found).__name__}; classes are needed here")
    return found


def weights(posterior: Any, params: Posterior, here: Setting, run: Run) -> Outcome:
    """The posterior's own numbers, and its draws of the weights beside HMC's where both are of the same weights."""
    if params.scope == "all":
        return Outcome({})
    found: dict[str, float] = {}
    if hasattr(posterior, "rhat") and posterior.rhat.isfinite().all():  # stuck chains have none, as the fit has said
        found |= {"rhat": posterior.rhat.mean().item(), "rhat_max": posterior.rhat.max().item()}
    precision = getattr(getattr(posterior, "distribution", None), "precision", None)
    if precision is not None:
        found["prior_precision"] = float(precision)
    if not hasattr(posterior, "sample"):
        return Outcome(found)
    draws = reference(params, here, run)["draws"]
    mine = posterior.sample(len(draws), torch.Generator().manual_seed(run.seed + 2)).cpu()
    if mine.shape[1] != draws.shape[1]:
        return Outcome(found)
    if len(mine) == 1:  # a point counts as so many copies of itself, as published
        return Outcome({**found, **evaluate.distance_metrics(mine.expand(len(draws), -1), draws)})
    found["weight_std"] = mine.std(0).mean().item()
    return Outcome({**found, **evaluate.distance_metrics(mine, draws)}, {"marginals": _marginals(mine)})


def _marginals(draws: Tensor) -> dict[str, list[Any]]:
    """Draws of a few weights, the same for all methods and seeds."""
    chosen = torch.randperm(draws.shape[1], generator=torch.Generator().manual_seed(0))[:SHOWN_WEIGHTS].tolist()
    return {"weight": [k for k in chosen for _ in draws], "value": [v for k in chosen for v in draws[:, k].tolist()]}
