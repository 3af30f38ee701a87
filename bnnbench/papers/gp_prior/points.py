"""Points of functions of one number: two clusters with a gap, a cubic, a periodic function, and one with a trend.

They are choices of ours, as the data of the paper are not known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Places:
    """Where a function is known and where it is asked for: intervals on the line.

    `inside` are intervals with points; `beyond` those where nothing is known, the gap first where there is one.
    """

    inside: tuple[tuple[float, float], ...]
    beyond: Mapping[str, tuple[tuple[float, float], ...]]
    shown: tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A function, the noise of its points, their number, and the places."""

    function: Callable[[Array], Array]
    noise: float
    n_points: int
    places: Places

    def points(self, rng: np.random.Generator, n_points: int) -> tuple[Array, Array]:
        """Inputs and noisy targets [N], as many in each interval with points."""
        ends = self.places.inside
        each = [n_points // len(ends) + (k < n_points % len(ends)) for k in range(len(ends))]
        x = np.concatenate([rng.uniform(*end, n) for end, n in zip(ends, each, strict=True)])
        return x, self.function(x) + rng.normal(0, self.noise, n_points)


CLUSTERS = ((-1.2, -0.7), (0.7, 1.2))
WAVES = Places(((-3.0, 3.0),), {"beyond": ((4.0, 9.0),)}, (-3.0, 9.0))
CURVES = {
    "gap": Curve(
        lambda x: np.cos(4 * x + 0.8), 0.1, 50,
        Places(CLUSTERS, {"gap": ((-0.4, 0.4),), "beyond": ((-2.5, -1.8), (1.8, 2.5))}, (-2.5, 2.5)),
    ),
    "cubic": Curve(
        lambda x: (4 * x) ** 3 / 30, 0.1, 50,
        Places(((-1.0, -0.5), (0.5, 1.0)), {"gap": ((-0.3, 0.3),), "beyond": ((-1.5, -1.2), (1.2, 1.5))}, (-1.6, 1.6)),
    ),
    "periodic": Curve(lambda x: np.sin(np.pi * x) + 0.3 * np.sin(2 * np.pi * x), 0.1, 60, WAVES),
    "trend": Curve(lambda x: np.sin(np.pi * x) + 0.5 * x, 0.1, 60, WAVES),
}  # fmt: skip
"""The cubic is x^3 on [-4, 4] with noise 3, in units in which inputs reach from -1 to 1 and 30 is one."""
