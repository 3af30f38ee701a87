"""Checks of targets y, [N] or [N, D], class labels or real numbers, against the points and outputs they belong to."""

import torch
from torch import Tensor


def check_labels(y: Tensor, n_points: int, n_classes: int, name: str = "y") -> Tensor:
    """Labels [N] as int64; `ValueError` unless they are `n_points` integers of any type, or bools, in 0..n_classes - 1.

    Error messages call them `name`.
    """
    check_shape(y, n_points, name)
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"{name}: class labels are integers, and {y.dtype} was found; give y.long()")
    labels = y.long()
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= n_classes:
        raise ValueError(f"{name}: labels from {low} to {high} where outputs are of classes 0 to {n_classes - 1}")
    return labels


def check_reals(y: Tensor, n_points: int, name: str = "y", n_targets: int = 1) -> Tensor:
    """Real targets unchanged, [N] or, for several at each point, [N, D].

    `ValueError` for another shape, or for values that are not finite numbers.
    """
    if n_targets == 1:
        check_shape(y, n_points, name)
    elif y.shape != (n_points, n_targets) or n_points == 0:
        raise ValueError(f"{name}: shape {tuple(y.shape)} where [{n_points}, {n_targets}] is needed")
    check_finite(y, name)
    return y


def check_finite(values: Tensor, name: str) -> None:
    """Raises `ValueError` where a value is NaN, infinite or complex, or a tensor is not dense."""
    check_dense(values, name)
    if values.is_complex():
        raise ValueError(f"{name}: complex numbers; real ones are needed")
    values = values.float() if values.is_floating_point() and values.itemsize == 1 else values  # float8 has no isfinite
    if values.is_floating_point() and not (finite := values.isfinite()).all():
        raise ValueError(f"{name}: {int((~finite).sum())} of {values.numel()} values are NaN or infinite")


def check_dense(values: Tensor, name: str) -> None:
    """Raises `ValueError` for a sparse, quantized or meta tensor."""
    if values.layout != torch.strided or values.is_quantized or values.is_meta:
        kind = "quantized" if values.is_quantized else "meta" if values.is_meta else str(values.layout)
        raise ValueError(f"{name}: a {kind} tensor; an ordinary dense one is needed")


def check_shape(y: Tensor, n_points: int, name: str = "y") -> None:
    """Raises `ValueError` unless y has shape [n_points] and there is at least one point."""
    if y.shape != (n_points,):
        raise ValueError(f"{name}: shape {tuple(y.shape)} for {n_points} points; give one number a point, [{n_points}]")
    if n_points == 0:
        raise ValueError(f"{name}: no points")
