"""AlexNet after "One weird trick" without local response normalisation, and the narrower one of Larq Zoo."""

from itertools import pairwise

from torch import nn

from bnnbench.binary.models.parts import Parts, convolved, pooled
from bnnbench.errors import UserError

KERNELS = (11, 5, 3, 3, 3)
POOLED = (True, True, False, False, True)
CHANNELS = (64, 192, 384, 256, 256)
LARQ_CHANNELS = (64, 192, 384, 384, 256)
DENSE = 4096


def alexnet(
    parts: Parts, n_classes: int, crop: int = 224, *, inflation: float = 3.0, width: float = 1.0, stride: int = 4
) -> nn.Sequential:
    """[N, 3, crop, crop] -> [N, n_classes], in the block order and with the padding of the authors' PyTorch port.

    `inflation` is the port's r, which widens the first four convolutions; `width` scales every hidden layer and
    `stride` is that of the first one, so that small nets see small images.
    """
    ratios = [inflation * width] * 4 + [width]
    channels = [max(1, round(c * ratio)) for c, ratio in zip(CHANNELS, ratios, strict=True)]
    first = parts.conv_block(3, channels[0], KERNELS[0], stride=stride, padding=2, pool=True)
    size = pooled(convolved(crop, KERNELS[0], stride, 2))
    return _stack(parts, first, size, channels, max(1, round(DENSE * width)), n_classes, crop)


def larq_alexnet(parts: Parts, n_classes: int, crop: int = 224) -> nn.Sequential:
    """[N, 3, crop, crop] -> [N, n_classes]: BinaryAlexNet of Larq Zoo, 61.86 M numbers for 1000 classes.

    Its first convolution pads as TensorFlow's "same" does: the odd pixel goes to the right and bottom.
    """
    before, after = _same_padding(crop, KERNELS[0], 4)
    padding = nn.ZeroPad2d((before, after, before, after))
    first = [padding, *parts.conv_block(3, LARQ_CHANNELS[0], KERNELS[0], stride=4, pool=True)]
    size = pooled(-(-crop // 4))
    return _stack(parts, first, size, list(LARQ_CHANNELS), DENSE, n_classes, crop)


def _stack(
    parts: Parts, first: list[nn.Module], size: int, channels: list[int], dense: int, n_classes: int, crop: int
) -> nn.Sequential:
    """What follows the first block, whose output has the side `size`."""
    layers = list(first)
    blocks = zip(pairwise(channels), KERNELS[1:], POOLED[1:], strict=True)
    for (fan_in, fan_out), kernel, pool in blocks:
        layers += parts.conv_block(fan_in, fan_out, kernel, padding=kernel // 2, pool=pool)
        size = pooled(size) if pool else size
    if size < 1:
        raise UserError(f"crop {crop} is too small for AlexNet with this stride: nothing is left after three poolings")
    layers += [nn.Flatten(), *parts.dense_block(channels[-1] * size**2, dense), *parts.dense_block(dense, dense)]
    return nn.Sequential(*layers, *parts.classifier(dense, n_classes))


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
