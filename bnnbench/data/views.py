"""Photographs of any size as square views: resized, cropped and flipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class View:
    """The sizes in pixels: the shorter side is resized to `resize`, and a square of side `crop` is cut out."""

    resize: int = 256
    crop: int = 224


def random_view(image: NDArray[np.uint8], view: View, rng: np.random.Generator) -> NDArray[np.uint8]:
    """[H, W, 3] -> [3, crop, crop]: a crop from anywhere in the resized image, mirrored every other time."""
    resized = _resized(image, view.resize)
    top, left = (int(rng.integers(0, side - view.crop + 1)) for side in resized.shape[:2])
    square = resized[top : top + view.crop, left : left + view.crop]
    return _channels_first(square[:, ::-1] if rng.random() < 0.5 else square)


def centre_view(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """[H, W, 3] -> [3, crop, crop]: the middle of the resized image."""
    resized = _resized(image, view.resize)
    top, left = ((side - view.crop) // 2 for side in resized.shape[:2])
    return _channels_first(resized[top : top + view.crop, left : left + view.crop])


def _resized(image: NDArray[np.uint8], shorter: int) -> NDArray[np.uint8]:
    """The image with a shorter side of `shorter` pixels: bilinear, over a support that widens to avoid aliasing."""
    import numpy as np
    from PIL import Image

    height, width = image.shape[:2]
    scale = shorter / min(height, width)
    size = max(shorter, round(width * scale)), max(shorter, round(height * scale))
    if size == (width, height):
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _channels_first(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np

    return np.ascontiguousarray(image.transpose(2, 0, 1))
