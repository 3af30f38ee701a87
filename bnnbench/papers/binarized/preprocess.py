"""How the authors' codes prepare images beyond an affine map: whitening and contrast normalisation, all in float32."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

ZCA_BIAS = 0.1  # `filter_bias` of the library that the Torch7 code loads its data with
GCN_BIAS = 10.0  # its `sqrt_bias`
LCN_KERNEL, LCN_SIGMA, LCN_THRESHOLD = 9, 1.591, 1e-4
CHUNK = 10_000


def whitening(x: Tensor, bias: float = ZCA_BIAS) -> Callable[[Tensor], Tensor]:
    """The ZCA transform of the images x [N, ...]: (x - mean) U diag(1 / sqrt(lambda + bias)) U^T, for any images.

    lambda, U are of the covariance of `x` over its images, computed in float64.
    """
    flat = x.flatten(1)
    mean = flat.mean(0, dtype=torch.float64)
    covariance = torch.zeros(flat.shape[1], flat.shape[1], dtype=torch.float64, device=x.device)
    for part in flat.split(CHUNK):
        centred = part.double() - mean
        covariance += centred.T @ centred
    values, vectors = torch.linalg.eigh(covariance / len(flat))
    matrix = ((vectors / torch.sqrt(values.clamp_min(0) + bias)) @ vectors.T).float()
    mean = mean.float()

    def whiten(images: Tensor) -> Tensor:
        parts = [(part.flatten(1) - mean) @ matrix for part in images.split(CHUNK)]
        return torch.cat(parts).view_as(images) if parts else images

    return whiten


def contrast(x: Tensor, bias: float = GCN_BIAS) -> Tensor:
    """Global contrast normalisation of each image of x [N, ...]: (x - mean) / sqrt(bias + variance)."""
    flat = x.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return (centred / torch.sqrt(bias + centred.square().mean(1, keepdim=True))).view_as(x)


def local_contrast(x: Tensor) -> Tensor:
    """Local contrast normalisation of each channel of x [N, C, H, W] over Gaussian windows of 9 x 9.

    The weighted local mean is subtracted; the result is divided by its local deviation, or by the mean of that over
    the image where it is smaller.
    """
    at = torch.arange(LCN_KERNEL, dtype=torch.float64) - LCN_KERNEL // 2
    line = torch.exp(-(at**2) / (2 * LCN_SIGMA**2))
    kernel = torch.outer(line, line)
    kernel = (kernel / kernel.sum()).to(x).view(1, 1, LCN_KERNEL, LCN_KERNEL)

    def smooth(images: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        flat = images.reshape(n * channels, 1, height, width)
        return functional.conv2d(flat, kernel, padding=LCN_KERNEL // 2).view_as(images)

    centred = x - smooth(x)
    deviation = smooth(centred.square()).clamp_min(0).sqrt()
    floor = deviation.mean((2, 3), keepdim=True).clamp_min(LCN_THRESHOLD)
    return centred / torch.maximum(deviation, floor)
