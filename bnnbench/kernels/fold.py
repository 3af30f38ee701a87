"""BatchNorm and sign, folded into one integer comparison for each channel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT = NDArray[np.float64]
NEVER = np.int32(2**30)  # beyond every product, since operations refuse products that could reach it


@dataclass(frozen=True, eq=False)
class Threshold:
    """bit = (y >= at_least) ^ flip for the integer products y.

    at_least: int32 [n], or [classes, n] for a convolution whose border positions differ. flip: bool [n]. Both are
    copied and read-only: what a backend makes of them is kept between calls.
    """

    at_least: NDArray[np.int32]
    flip: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name in ("at_least", "flip"):
            array = np.array(getattr(self, name))
            array.flags.writeable = False
            object.__setattr__(self, name, array)


def fold(
    gamma: Any,
    beta: Any,
    mean: Any,
    var: Any,
    eps: float,
    *,
    scale: float = 1.0,
    shift: Any = 0.0,
) -> Threshold:
    """The threshold of sign(gamma * (s - mean) / sqrt(var + eps) + beta) with s = scale * y + shift, scale > 0.

    gamma, beta, mean, var: [n]; shift (a bias, or what an affine input adds): [n] or [classes, n]. Everything is
    computed in float64, which is the definition, ties included: the smallest y whose value there is >= 0. A negative
    gamma reverses the comparison, and a zero gamma makes the bit constant. A single number serves all channels.

    Raises `ValueError` for numbers that are not finite, for shapes that do not fit and for var + eps <= 0.
    """
    given = {"gamma": gamma, "beta": beta, "mean": mean, "var": var, "shift": shift, "eps": eps, "scale": scale}
    gamma, beta, mean, var, offset, epsilon, factor = (_float64(name, value) for name, value in given.items())
    if factor.ndim or not factor > 0:
        raise ValueError(f"fold: scale is {scale}; it must be one positive and finite number")
    if epsilon.ndim or not (var + epsilon > 0).all():
        raise ValueError(f"fold: eps is {eps}; it must be one number, and var + eps must be positive")
    _check_shapes({"gamma": gamma, "beta": beta, "mean": mean, "var": var}, offset)
    whole = np.broadcast_shapes(gamma.shape, beta.shape, mean.shape, var.shape, offset.shape)
    gamma, offset = np.broadcast_to(gamma, whole[-1:]), np.broadcast_to(offset, whole)

    def value(y: FLOAT) -> FLOAT:
        return np.asarray(gamma * (factor * y + offset - mean) / np.sqrt(var + epsilon) + beta)

    with np.errstate(divide="ignore", invalid="ignore"):
        guess = (mean - beta * np.sqrt(var + epsilon) / gamma - offset) / factor
    guess = np.clip(np.nan_to_num(guess), -float(NEVER), float(NEVER))
    rising = _first(lambda y: value(y) >= 0, guess)
    falling = _first(lambda y: value(y) < 0, guess)  # for gamma < 0: the first y that is not >= 0
    at_least = np.where(gamma >= 0, rising, falling)
    constant = np.where(beta >= 0, -NEVER, NEVER)
    at_least = np.where(gamma == 0, constant, at_least)
    limited = np.clip(at_least, -float(NEVER), float(NEVER)).astype(np.int32)
    return Threshold(limited, gamma < 0)


def _check_shapes(vectors: dict[str, FLOAT], shift: FLOAT) -> None:
    shapes = {name: vector.shape for name, vector in vectors.items() if vector.ndim}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"fold: {given}; gamma, beta, mean and var must be [n] alike, or single numbers")
    n = next(iter(shapes.values()), shift.shape[-1:])
    if shift.ndim > 2 or (shift.ndim and shift.shape[-1:] != n):
        raise ValueError(f"fold: shift is {shift.shape}; it must be [n] or [classes, n] where gamma is {n}")


def _first(holds: Callable[[FLOAT], NDArray[np.bool_]], guess: FLOAT) -> FLOAT:
    """The smallest integer y near `guess` from which on `holds(y)`; evaluated, since division may round across it."""
    y = np.ceil(guess) + 2
    for _ in range(4):
        y = np.where(holds(y - 1), y - 1, y)
    return y


def _float64(name: str, value: Any) -> FLOAT:
    if value is None:
        raise ValueError(f"fold: {name} is None; give ones or zeros for what a layer lacks")
    try:
        given = np.asarray(value.detach().cpu().double().numpy() if hasattr(value, "detach") else value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors without data
        raise ValueError(f"fold: {name} cannot be seen as numbers: {' '.join(str(error).split())}") from error
    if given.dtype.kind not in "fiub":
        raise ValueError(f"fold: {name} is {given.dtype}; it must hold real numbers")
    values = given.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"fold: {name} holds NaN or infinity")
    return values
