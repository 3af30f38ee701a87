"""Training on photographs, in one process or in several; it can be stopped after any batch and continued."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from math import isfinite

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from bnnbench.binary.loss import squared_hinge
from bnnbench.binary.optimize import clip_latent_weights, parameter_groups, set_learning_rate
from bnnbench.data.batches import Batch, Photographs, Share, batches_per_epoch, evaluation_batches, training_batches
from bnnbench.data.views import View
from bnnbench.errors import Diverged, UserError
from bnnbench.harness.run import Run
from bnnbench.harness.seeds import derive
from bnnbench.metrics.classification import hits
from bnnbench.papers.binarized.imagenet.networks import size
from bnnbench.papers.binarized.imagenet.settings import ImageNet
from bnnbench.papers.binarized.imagenet.splits import PhotoSplits

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1], red, green, blue
EVALUATION_BATCH = 256
AUXILIARY_WEIGHT = 0.3  # Szegedy et al. 2015
LOGS_PER_EPOCH = 20


@dataclass
class Progress:
    """Losses, accuracies and times of training so far, which go into checkpoints."""

    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """Summed over the batches since the last entry in the curves; on the device, so that no step waits for it."""
    batches: int = 0
    train_loss: float = 0.0
    images: int = 0
    seconds: float = 0.0
    top1: float = 0.0
    top5: float = 0.0
    best_top1: float = -1.0
    best_epoch: int = 0


def train(net: nn.Module, splits: PhotoSplits, params: ImageNet, run: Run) -> dict[str, float]:
    """Trains `net` in place and returns the metrics of the experiment; accuracy is that after the last epoch.

    A step is one batch of all processes together. Order and views of the images follow from the seed, so that a step's
    batch is the same however many processes and decoding workers there are, and after a restart.
    """
    per_epoch = _batches_per_epoch(splits, params, run)
    model = DistributedDataParallel(net) if run.team.size > 1 else net
    optimizer = torch.optim.Adam(
        parameter_groups(net, params.scale_learning_rate), lr=1.0, betas=(0.9, 0.999), fused=True
    )
    progress, first, last = Progress(), 0, params.epochs * per_epoch
    if (restored := run.restore()) is not None:
        first, state = restored
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        progress = Progress(**state["progress"])
    progress.loss = progress.loss.to(run.device)
    batches, clock = _training_batches(splits, params, run, first, last), _Clock(run, first)
    for step in run.steps(last, start=first):
        epoch, within = divmod(step, per_epoch)
        set_learning_rate(optimizer, learning_rate(params, epoch))
        progress.loss += _step(model, optimizer, next(batches), params, run)
        progress.batches += 1
        if within + 1 == per_epoch or (within + 1) % max(1, per_epoch // LOGS_PER_EPOCH) == 0:
            curves = _look(progress, clock, step + 1, params) | {"learning_rate": learning_rate(params, epoch)}
            if within + 1 == per_epoch and isfinite(progress.train_loss):  # the log refuses a loss that is not
                curves |= _evaluate(net, splits, progress, epoch + 1, params, run)
                clock.skip()
            run.log(step + 1, **curves)
        run.checkpoint(
            step + 1,
            lambda: {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "progress": vars(progress).copy()},
        )
    return _summary(net, progress)


def learning_rate(params: ImageNet, epoch: int) -> float:
    """The rate in `epoch` (from 0): the schedule's steps, stretched from `schedule_epochs` to `epochs`."""
    stretch = params.epochs / params.schedule_epochs
    return [rate for start, rate in params.schedule if start * stretch <= epoch + 1e-9][-1]


def _batches_per_epoch(splits: PhotoSplits, params: ImageNet, run: Run) -> int:
    if params.batch_size % run.team.size:
        raise UserError(
            f"batch_size {params.batch_size} cannot be dealt out evenly to {run.team.size} processes; choose a multiple"
        )
    if (batches := batches_per_epoch(len(splits.train), params.batch_size)) == 0:
        raise UserError(f"batch_size {params.batch_size} is more than the {len(splits.train)} training images")
    return batches


def _training_batches(splits: PhotoSplits, params: ImageNet, run: Run, first: int, last: int) -> Iterator[Batch]:
    photographs = Photographs(splits.train, View(params.resize, params.crop), derive(run.seed, "views"))
    share = Share(run.team.rank, run.team.size)
    pin = run.device == "cuda"
    return training_batches(photographs, params.batch_size, first, last, share, params.decode_workers, pin)


def _step(model: nn.Module, optimizer: torch.optim.Adam, batch: Batch, params: ImageNet, run: Run) -> Tensor:
    """Makes one update and returns the loss, averaged over the whole batch."""
    model.train()
    optimizer.zero_grad(set_to_none=True)
    pixels, labels = batch
    heads = _outputs(model, pixels, params, run)
    loss_of = squared_hinge if params.loss == "squared-hinge" else functional.cross_entropy
    known = labels.to(run.device, non_blocking=True)
    losses = [loss_of(head, known) for head in heads]
    loss = losses[0] + AUXILIARY_WEIGHT * sum(losses[1:])
    loss.backward()
    optimizer.step()
    if params.clip:
        clip_latent_weights(model)
    return _summed(loss.detach().double(), run) / run.team.size


def _outputs(model: nn.Module, pixels: Tensor, params: ImageNet, run: Run) -> tuple[Tensor, ...]:
    """The outputs [N, n_classes] of each head for uint8 pixels [N, 3, H, W], in float32 or float64.

    In bfloat16, products of +1 and -1 are exact and summed in float32, but the sum is rounded to 8 bits when it is
    stored: above 256 with a relative error of up to 1/512. Latent weights, their gradients and Adam stay in float32.
    """
    wide = torch.float64 if params.precision == "float64" else torch.float32
    x = pixels.to(run.device, non_blocking=True).to(wide) / 255
    mean, std = _mean_and_std(run.device, wide)
    with torch.autocast(run.device, torch.bfloat16, enabled=params.precision == "bfloat16"):
        outputs = model((x - mean) / std)
    return tuple(head.to(wide) for head in (outputs if isinstance(outputs, tuple) else (outputs,)))


@cache
def _mean_and_std(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """[1, 3, 1, 1] each; made once, since each such copy makes a GPU wait until its queue is empty."""
    mean, std = (torch.tensor(values, dtype=dtype, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return mean, std


def _look(progress: Progress, clock: "_Clock", step: int, params: ImageNet) -> dict[str, float]:
    """The curves of the batches since the last entry."""
    progress.train_loss = progress.loss.item() / progress.batches
    progress.loss.zero_()
    progress.batches = 0
    steps, seconds = clock.lap(step)
    progress.images += steps * params.batch_size
    progress.seconds += seconds
    return {"train_loss": progress.train_loss, "images_per_second": steps * params.batch_size / seconds}


@torch.no_grad()
def _evaluate(
    net: nn.Module, splits: PhotoSplits, progress: Progress, epoch: int, params: ImageNet, run: Run
) -> dict[str, float]:
    net.eval()
    photographs = Photographs(splits.test, View(params.resize, params.crop), 0)
    share = Share(run.team.rank, run.team.size)
    counts = torch.zeros(2, dtype=torch.int64, device=run.device)
    for pixels, labels in evaluation_batches(
        photographs, EVALUATION_BATCH, share, params.decode_workers, run.device == "cuda"
    ):
        outputs, known = _outputs(net, pixels, params, run)[0], labels.to(run.device)
        if not outputs.isfinite().all():
            raise Diverged(f"outputs of validation images are not finite after epoch {epoch}")
        counts += torch.stack([hits(outputs, known, 1), hits(outputs, known, 5)])
    progress.top1, progress.top5 = (100.0 * count / len(splits.test) for count in _summed(counts, run).tolist())
    if progress.top1 >= progress.best_top1:
        progress.best_top1, progress.best_epoch = progress.top1, epoch
    return {"top1_accuracy": progress.top1, "top5_accuracy": progress.top5}


def _summed(value: Tensor, run: Run) -> Tensor:
    """The sum of `value` over the processes, in each of them."""
    if run.team.size > 1:
        distributed.all_reduce(value)
    return value


class _Clock:
    """Counts steps and seconds between entries of the curves, in this process."""

    def __init__(self, run: Run, step: int) -> None:
        self._run, self._step, self._time = run, step, run.spent()[0]

    def lap(self, step: int) -> tuple[int, float]:
        """Steps and seconds since the last call."""
        before = self._step, self._time
        self._step = step
        self.skip()
        return step - before[0], self._time - before[1]

    def skip(self) -> None:
        """Leaves out the time since the last call."""
        self._time = self._run.spent()[0]


def _summary(net: nn.Module, progress: Progress) -> dict[str, float]:
    numbers, mebibytes = size(net)
    return {
        "top1_accuracy": progress.top1,
        "top5_accuracy": progress.top5,
        "best_top1_accuracy": progress.best_top1,
        "best_epoch": float(progress.best_epoch),
        "train_loss": progress.train_loss,
        "images_per_second": progress.images / progress.seconds,
        "parameters": numbers / 1e6,
        "model_size": mebibytes,
    }
