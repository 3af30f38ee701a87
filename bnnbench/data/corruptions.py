"""Corruptions of small colour images at five severities: transforms of our own, after the idea of CIFAR-10-C.

The official CIFAR-10-C files are made by other code with other strengths (Hendrycks and Dietterich 2019), so numbers
from these transforms are no reproduction of numbers from those files. Strengths are for images of 32 x 32.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

# The strength of each kind at severities 1 to 5, in the units that `corrupt` gives.
STRENGTHS: dict[str, tuple[float, ...]] = {
    "gaussian-noise": (0.04, 0.06, 0.08, 0.10, 0.14),
    "shot-noise": (500, 250, 100, 60, 30),
    "impulse-noise": (0.01, 0.02, 0.04, 0.07, 0.11),
    "blur": (0.4, 0.6, 0.8, 1.1, 1.5),
    "motion-blur": (3, 5, 7, 9, 11),
    "brightness": (0.05, 0.10, 0.16, 0.22, 0.32),
    "contrast": (0.75, 0.55, 0.40, 0.28, 0.16),
    "pixelate": (0.95, 0.85, 0.75, 0.60, 0.45),
    "jpeg": (80, 60, 40, 25, 12),
}
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: NDArray[np.uint8], kind: str, severity: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images uint8 [N, H, W, C] corrupted; raises `ValueError` for an unknown kind or severity.

    gaussian-noise: deviation on [0, 1]. shot-noise: photons at full brightness. impulse-noise: share of pixels that
    become black or white. blur: deviation of a Gaussian in pixels. motion-blur: length of a horizontal mean in pixels.
    brightness: added to [0, 1]. contrast: factor of the distance from the image's mean. pixelate: scale of the
    intermediate image. jpeg: quality.
    """
    import numpy as np

    if kind not in STRENGTHS or severity not in SEVERITIES:
        raise ValueError(f"corrupt: {kind!r} at {severity!r}; kinds are {', '.join(STRENGTHS)}, severities 1 to 5")
    strength = STRENGTHS[kind][severity - 1]
    if kind == "jpeg":
        return np.stack([_jpeg(image, int(strength)) for image in images]) if len(images) else images
    if kind == "pixelate":
        return np.stack([_pixelated(image, strength) for image in images]) if len(images) else images
    changed = _changed(images.astype(np.float32) / np.float32(255), kind, strength, rng)
    return np.rint(255 * np.clip(changed, 0, 1)).astype(np.uint8)


def _changed(x: NDArray[np.float32], kind: str, strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Corrupted images, not yet clipped, of images x on [0, 1]."""
    import numpy as np
    from scipy.ndimage import gaussian_filter1d, uniform_filter1d

    if kind == "gaussian-noise":
        return x + strength * rng.standard_normal(x.shape, np.float32)
    if kind == "shot-noise":
        return (rng.poisson(x * strength) / strength).astype(np.float32)
    if kind == "impulse-noise":
        draw = rng.random(x.shape[:3], np.float32)[..., None]
        return np.where(draw < strength / 2, 0, np.where(draw < strength, 1, x)).astype(np.float32)
    if kind == "blur":
        blurred: NDArray[np.float32] = gaussian_filter1d(gaussian_filter1d(x, strength, axis=1), strength, axis=2)
        return blurred
    if kind == "motion-blur":
        moved: NDArray[np.float32] = uniform_filter1d(x, int(strength), axis=2)
        return moved
    if kind == "brightness":
        return x + np.float32(strength)
    mean = x.mean(axis=(1, 2), keepdims=True)
    faded: NDArray[np.float32] = mean + np.float32(strength) * (x - mean)
    return faded


def _jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    _picture(image).save(buffer, "JPEG", quality=quality)
    return _array(np.asarray(Image.open(buffer)), image)


def _pixelated(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    height, width = image.shape[:2]
    small = _picture(image).resize((max(1, round(scale * width)), max(1, round(scale * height))), Image.Resampling.BOX)
    return _array(np.asarray(small.resize((width, height), Image.Resampling.NEAREST)), image)


def _picture(image: NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _array(pixels: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels.reshape(like.shape)
