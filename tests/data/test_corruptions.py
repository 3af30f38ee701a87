"""Corruptions: what each does, stronger with severity, and the same for the same stream."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import correlate, gaussian_filter

from bnnbench.data.corruptions import SEVERITIES, STRENGTHS, corrupt


def pictures(n: int = 6, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth random pictures: neighbours resemble each other, as in photographs."""
    noise = np.random.default_rng(0).standard_normal((n, 32, 32, channels))
    smooth = gaussian_filter(noise, (0, 1.5, 1.5, 0), mode="wrap")
    found: NDArray[np.uint8] = np.clip(128 + 50 * smooth / smooth.std(), 10, 245).astype(np.uint8)
    return found


def apply(kind: str, severity: int, seed: int = 0, x: Any = None) -> NDArray[np.int64]:
    x = pictures() if x is None else x
    return corrupt(x, kind, severity, np.random.default_rng(seed)).astype(np.int64)


@pytest.mark.parametrize("kind", STRENGTHS)
def test_every_kind_gets_stronger_and_leaves_its_input_alone(kind: str) -> None:
    x = pictures()
    before = x.copy()
    distances = [np.abs(apply(kind, severity, x=x) - x).mean() for severity in SEVERITIES]
    assert np.array_equal(x, before)
    assert distances[0] > 0 or kind == "pixelate"
    assert distances[-1] > max(1.0, distances[0])
    assert all(later >= earlier - 0.3 for earlier, later in pairwise(distances))


@pytest.mark.parametrize("kind", STRENGTHS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_stream_decide(kind: str, channels: int) -> None:
    x = pictures(3, channels)
    found = corrupt(x, kind, 3, np.random.default_rng(5))
    assert found.shape == x.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, corrupt(x, kind, 3, np.random.default_rng(5)))
    assert corrupt(x[:0], kind, 3, np.random.default_rng(5)).shape == x[:0].shape
    random = "noise" in kind
    assert random == (not np.array_equal(found, corrupt(x, kind, 3, np.random.default_rng(6))))


def test_noise_has_its_deviation() -> None:
    grey = np.full((4, 32, 32, 3), 128, np.uint8)
    for severity, strength in zip(SEVERITIES, STRENGTHS["gaussian-noise"], strict=True):
        found = apply("gaussian-noise", severity, x=grey) / 255
        assert found.std() == pytest.approx(strength, rel=0.05)
    photons = STRENGTHS["shot-noise"][2]
    assert (apply("shot-noise", 3, x=grey) / 255).std() == pytest.approx(np.sqrt(128 / 255 / photons), rel=0.05)
    hit = (apply("impulse-noise", 5, x=grey) != 128).all(-1)
    assert hit.mean() == pytest.approx(STRENGTHS["impulse-noise"][4], rel=0.15)
    assert set(np.unique(apply("impulse-noise", 5, x=grey))) == {0, 128, 255}


def test_brightness_contrast_and_motion_are_arithmetic() -> None:
    x = pictures()
    unit = x / 255
    expected = np.rint(255 * np.clip(unit + STRENGTHS["brightness"][1], 0, 1))
    assert np.abs(apply("brightness", 2) - expected).max() <= 1
    mean = unit.mean((1, 2), keepdims=True)
    expected = np.rint(255 * (mean + STRENGTHS["contrast"][4] * (unit - mean)))
    assert np.abs(apply("contrast", 5) - expected).max() <= 1
    kernel = np.ones((1, 1, 5, 1)) / 5
    assert np.abs(apply("motion-blur", 2) - np.rint(255 * correlate(unit, kernel, mode="reflect"))).max() <= 1


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match=r"'fog' at 3; kinds are gaussian-noise"):
        apply("fog", 3)
    with pytest.raises(ValueError, match="severities 1 to 5"):
        apply("blur", 6)
