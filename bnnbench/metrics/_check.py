"""Arguments as float64 tensors of the expected shape, or a ValueError that names the argument."""

import torch
from torch import Tensor


def numbers(values: Tensor, name: str, *, dims: int | tuple[int, ...] = 1) -> Tensor:
    """`values` in float64; ValueError unless they are finite, not empty and of one of the `dims`."""
    allowed = (dims,) if isinstance(dims, int) else dims
    if values.dim() not in allowed:
        expected = " or ".join(map(str, allowed))
        raise ValueError(f"{name}: {expected} dimensions expected, but its shape is {tuple(values.shape)}")
    if values.numel() == 0:
        raise ValueError(f"{name}: empty, shape {tuple(values.shape)}")
    values = values.detach()
    if values.is_complex():
        raise ValueError(f"{name}: real numbers expected, not complex ones")
    if values.is_floating_point() and not values.isfinite().all():
        raise ValueError(f"{name}: {int((~values.isfinite()).sum())} values are NaN or infinite")
    return values.double()


def same_shape(values: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """ValueError unless both have one shape."""
    if values.shape != other.shape:
        raise ValueError(f"{name}: shape {tuple(values.shape)} differs from {other_name}'s {tuple(other.shape)}")


def share(value: float, name: str) -> None:
    """ValueError unless 0 < value < 1."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}: {value} is not between 0 and 1")


def positive(value: float, name: str) -> None:
    """ValueError unless the number is finite and above zero."""
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name}: {value} is not a positive number")


def predictive(probabilities: Tensor, name: str = "probabilities") -> Tensor:
    """Class probabilities [N, C] in float64, draws [S, N, C] averaged; rows must sum to one within 1e-2 (bfloat16)."""
    if probabilities.dim() != 3 or probabilities.numel() == 0:
        probabilities = numbers(probabilities, name, dims=(2, 3))[None]
    draws = probabilities.detach()
    # a NaN or an infinity survives the average
    mean = numbers(draws.mean(dim=0, dtype=torch.float64), name, dims=2)
    if draws.amin() < 0 or (draws.sum(dim=-1, dtype=torch.float64) - 1).abs().amax() > 1e-2:
        raise ValueError(f"{name}: not probabilities, which are at least 0 and sum to 1 over classes")
    return mean


def classes(labels: Tensor, predictions: Tensor, name: str = "labels") -> Tensor:
    """Labels [N] as int64 on the device of the predictions [N, C]; ValueError unless each is one of the C classes."""
    n, n_classes = predictions.shape
    if labels.is_floating_point() or labels.is_complex() or labels.shape != (n,):
        raise ValueError(f"{name}: {n} integers expected, but it is {labels.dtype} of shape {tuple(labels.shape)}")
    known = labels.to(predictions.device, torch.int64)
    if known.amin() < 0 or known.amax() >= n_classes:
        raise ValueError(f"{name}: outside 0..{n_classes - 1}")
    return known


def quantile(ordered: Tensor, q: float) -> Tensor:
    """Quantile over the first, ascending dimension, linear between order statistics (torch's stops at 2^24 values)."""
    # 1 - 0.95 > 0.05 in floating point: a quantile that is an order statistic must equal it
    position = round(q * (ordered.shape[0] - 1), 9)
    below = int(position)
    above = min(below + 1, ordered.shape[0] - 1)
    return torch.lerp(ordered[below], ordered[above], position - below)
