"""BatchNorm and sign folded into one integer comparison a channel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT = NDArray[np.float64]
NEVER = np.int32(2**30)  # no product reaches it: the operations refuse more


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
    gamma turns the comparison round, a zero gamma makes the bit constant.
    """
    if not 0 < scale < np.inf:
        raise ValueError(f"fold: scale is {scale}; it must be positive and finite")
    given = {"gamma": gamma, "beta": beta, "mean": mean, "var": var, "shift": shift, "eps": eps}
    gamma, beta, mean, var, offset, epsilon = (_float64(name, value) for name, value in given.items())
    if not (var + epsilon > 0).all():
        raise ValueError("fold: var + eps must be positive")
    offset = np.broadcast_to(offset, np.broadcast_shapes(offset.shape, gamma.shape))

    def value(y: FLOAT) -> FLOAT:
        return np.asarray(gamma * (scale * y + offset - mean) / np.sqrt(var + eps) + beta)

    with np.errstate(divide="ignore", invalid="ignore"):
        guess = (mean - beta * np.sqrt(var + eps) / gamma - offset) / scale
    guess = np.clip(np.nan_to_num(guess), -float(NEVER), float(NEVER))
    rising = _first(lambda y: value(y) >= 0, guess)
    falling = _first(lambda y: value(y) < 0, guess)  # for gamma < 0: the first y that is not >= 0
    at_least = np.where(gamma >= 0, rising, falling)
    constant = np.where(beta >= 0, -NEVER, NEVER)
    at_least = np.where(gamma == 0, constant, at_least)
    limited = np.clip(at_least, -float(NEVER), float(NEVER)).astype(np.int32)
    return Threshold(limited, gamma < 0)


def _first(holds: Callable[[FLOAT], NDArray[np.bool_]], guess: FLOAT) -> FLOAT:
    """The smallest integer y near `guess` from which on `holds(y)`, by evaluation: division may round across it."""
    y = np.ceil(guess) + 2
    for _ in range(4):
        y = np.where(holds(y - 1), y - 1, y)
    return y


def _float64(name: str, value: Any) -> FLOAT:
    if value is None:
        raise ValueError(f"fold: {name} is None; give ones or zeros for what a layer lacks")
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    found = np.asarray(value, np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"fold: {name} holds NaN or infinity")
    return found
