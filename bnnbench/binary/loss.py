"""The squared hinge loss of the paper's output layer."""

from torch import Tensor
from torch.nn import functional


def squared_hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    """mean(max(0, 1 - t * y)^2) over batch and classes, with targets t = +1 for the label and -1 elsewhere.

    outputs [N, C], labels [N] (int64). Averaged over N * C as in the authors' code.
    """
    targets = 2.0 * functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype) - 1.0
    return functional.relu(1.0 - targets * outputs).square().mean()
