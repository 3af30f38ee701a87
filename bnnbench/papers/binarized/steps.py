"""One training step: computed as it is written, or recorded once and replayed on a GPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.binary.loss import squared_hinge
from bnnbench.binary.optimize import clip_latent_weights
from bnnbench.papers.binarized.settings import Training

Step = Callable[[Tensor, Tensor], Tensor]  # inputs [B, ...] and labels [B] to the loss
WARM_UP = 3  # steps before recording, in which libraries choose and allocate what they need


def step_of(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    params: Training,
    to_input: Callable[[Tensor], Tensor],
    device: str,
) -> Step:
    """The training step of `params`; it is replayed on a GPU, which batches of 50 to 100 images do not keep busy."""

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = squared_hinge(net(to_input(x)), y)
        loss.backward()
        optimizer.step()
        clip(net, params)
        return loss.detach()

    return Replayed(step) if device == "cuda" and replays(params) else step


def replays(params: Training) -> bool:
    """Whether a step can be recorded; it cannot with noise from a CPU stream or a rate that is no tensor."""
    return params.optimizer == "adam" and "stochastic" not in (params.weights + params.activation)


@torch.no_grad()
def clip(net: nn.Module, params: Training) -> None:
    """Clips the parameters that `params.clip` names to [-1, 1]."""
    if params.clip == "latent":
        clip_latent_weights(net)
    elif params.clip == "all":
        torch._foreach_clamp_min_(list(net.parameters()), -1)
        torch._foreach_clamp_max_(list(net.parameters()), 1)


class Replayed:
    """A step as a CUDA graph. Its first calls compute as usual, so nothing is done twice.

    All batches must have one shape. Whatever changes from call to call must be a tensor on the device, the learning
    rate included.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._calls = 0
        self._graph: Any = None

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the batch; overwritten by the next call."""
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._aside(x, y)
        if self._graph is None:
            self._x, self._y = x.clone(), y.clone()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # records, computes nothing
                self._loss = self._step(self._x, self._y)
        self._x.copy_(x)
        self._y.copy_(y)
        self._graph.replay()
        return self._loss

    def _aside(self, x: Tensor, y: Tensor) -> Tensor:
        """One step on a stream of its own, which recording requires of the steps before it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self._step(x, y)
        torch.cuda.current_stream().wait_stream(stream)
        return loss
