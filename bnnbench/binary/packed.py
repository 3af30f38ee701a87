"""Trained binarized networks on packed bits: the run-time of the paper (Algorithm 4), through `bnnbench.kernels`.

Batch normalisation and sign are folded into integer thresholds, so activations stay bits from layer to layer; the first
layer multiplies 8-bit inputs by bit planes; the last one gives the logits of the real net.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bnnbench import kernels
from bnnbench.binary.layers import BinaryActivation, BinaryConv2d, BinaryLinear
from bnnbench.binary.shift_norm import ShiftBatchNorm
from bnnbench.kernels import PackedBits, PackedPlanes, PackedWeights, Threshold

Norm = nn.BatchNorm1d | nn.BatchNorm2d | ShiftBatchNorm
GEOMETRY = ("is_conv", "stride", "padding", "pool")
SYMMETRIC = (2 / 255, -1.0)  # pixels to [-1, 1]


@dataclass(frozen=True)
class Stage:
    """One layer with what follows it: pooling and the folded threshold, or the affine map of the logits."""

    weights: PackedWeights
    is_conv: bool
    stride: int = 1
    padding: int = 0
    pool: int = 1
    threshold: Threshold | None = None
    scale: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None


class PackedNet:
    """A feed-forward net of binary layers, packed.

    Takes unsigned 8-bit inputs [N, D] or [N, H, W, C] and gives logits float64 [N, n_classes], those that the trained
    net has in float64 arithmetic: a float32 net may decide differently where its rounding crosses a threshold.
    """

    def __init__(self, stages: Sequence[Stage], image: tuple[int, int] | None = None) -> None:
        self.stages = tuple(stages)
        self.image = image

    @classmethod
    def from_module(
        cls, net: nn.Sequential, image: tuple[int, int] | None = None, pixels: tuple[float, float] = SYMMETRIC
    ) -> "PackedNet":
        """Packs a trained net in the paper's block order: layer, [max-pool], BatchNorm, sign; the last without sign.

        BatchNorm may be shift-based (`ShiftBatchNorm`).
        `image`: height and width of the inputs of a convolutional net. `pixels`: the net was trained on scale * pixel +
        shift, scale > 0. Raises `ValueError` for a net of another form.
        """
        return cls(list(_stages(list(_blocks(net)), image, pixels)), image)

    def logits(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        """[N, D] or [N, H, W, C] -> [N, n_classes]."""
        if self.image is not None and x.shape[1:3] != self.image:
            raise ValueError(f"PackedNet: x is {x.shape}; this net was packed for images of {self.image}")
        h: PackedBits | PackedPlanes = kernels.bit_planes(x)
        for stage in self.stages:
            if isinstance(h, PackedBits) and h.words.ndim == 4 and not stage.is_conv:
                h = _flatten(h)
            if stage.threshold is None:
                assert stage.scale is not None
                assert stage.shift is not None
                return np.asarray(kernels.matmul(h, stage.weights) * stage.scale + stage.shift)
            h = _hidden(h, stage, stage.threshold)
        raise ValueError("PackedNet: the last stage has no logits")

    def predict(self, x: NDArray[np.uint8], batch: int = 1000) -> NDArray[np.int64]:
        """Classes [N], in batches."""
        parts = [self.logits(x[start : start + batch]).argmax(axis=1) for start in range(0, len(x), batch)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the packed weights."""
        return sum(stage.weights.nbytes for stage in self.stages)

    @property
    def float_weight_bytes(self) -> int:
        """Bytes of the same weights as float32."""
        return sum(4 * stage.weights.n * stage.weights.k for stage in self.stages)

    def save(self, path: Path) -> None:
        """Writes the net as safetensors."""
        from safetensors.numpy import save_file

        tensors: dict[str, NDArray[Any]] = {}
        about = []
        for index, stage in enumerate(self.stages):
            arrays: dict[str, NDArray[Any] | None] = {
                "rows": kernels.rows(stage.weights),
                "scale": stage.scale,
                "shift": stage.shift,
            }
            if stage.threshold is not None:
                arrays |= {"at_least": stage.threshold.at_least, "flip": stage.threshold.flip}
            tensors |= {f"{index}.{name}": np.ascontiguousarray(a) for name, a in arrays.items() if a is not None}
            geometry = {name: getattr(stage, name) for name in GEOMETRY}
            about.append({"c": stage.weights.c, "kernel": stage.weights.kernel, **geometry})
        save_file(tensors, path, metadata={"bnnbench.packed": json.dumps({"image": self.image, "stages": about})})

    @classmethod
    def load(cls, path: Path) -> "PackedNet":
        """Reads what `save` wrote; a file that is not one raises `ValueError`."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                about = json.loads(file.metadata()["bnnbench.packed"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stages = [_loaded(tensors, index, entry) for index, entry in enumerate(about["stages"])]
            image = None if about["image"] is None else (int(about["image"][0]), int(about["image"][1]))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"{path}: not a packed net of bnnbench ({error!r})") from error
        return cls(stages, image)


def _loaded(tensors: dict[str, NDArray[Any]], index: int, entry: dict[str, Any]) -> Stage:
    def tensor(name: str) -> Any:
        return tensors.get(f"{index}.{name}")

    weights = kernels.restore(tensor("rows"), entry["c"], tuple(entry["kernel"]))
    threshold = None if tensor("at_least") is None else Threshold(tensor("at_least"), tensor("flip"))
    scale, shift = tensor("scale"), tensor("shift")
    logits = [part is not None and part.shape == (weights.n,) and np.isfinite(part).all() for part in (scale, shift)]
    hidden = threshold is not None and threshold.flip is not None and threshold.flip.shape == (weights.n,)
    if not (hidden and scale is None and shift is None) and not (threshold is None and all(logits)):
        raise ValueError(f"stage {index} has neither a whole threshold nor whole logits")
    geometry = {name: entry[name] for name in GEOMETRY}
    return Stage(weights, **geometry, threshold=threshold, scale=scale, shift=shift)


def _hidden(h: PackedBits | PackedPlanes, stage: Stage, threshold: Threshold) -> PackedBits:
    if not stage.is_conv:
        return kernels.linear(h, stage.weights, threshold)
    # Pooling comes before the sign: the maximum passes a threshold if one of its window does. Compare, OR, then flip.
    raw = Threshold(threshold.at_least, np.zeros_like(threshold.flip))
    bits: PackedBits = kernels.conv2d(h, stage.weights, stride=stage.stride, padding=stage.padding, threshold=raw)
    if stage.pool > 1:
        bits = kernels.max_pool(bits, stage.pool)
    flip = kernels.pack(np.where(threshold.flip, 1.0, -1.0)).words
    return PackedBits(bits.words ^ flip, bits.k)


def _flatten(h: PackedBits) -> PackedBits:
    """Images [N, H, W, C] as rows in torch's order (channel, row, column)."""
    values = np.moveaxis(kernels.unpack(h), 3, 1)
    return kernels.pack(np.ascontiguousarray(values).reshape(len(values), int(np.prod(values.shape[1:]))))


@dataclass
class _Block:
    layer: BinaryLinear | BinaryConv2d
    pool: int = 1
    norm: Norm | None = None
    sign: bool = False


def _blocks(net: nn.Sequential) -> Iterator[_Block]:
    block: _Block | None = None
    for module in net:
        if isinstance(module, nn.Dropout | nn.Flatten | nn.Identity):
            continue
        if isinstance(module, BinaryLinear | BinaryConv2d):
            if block is not None:
                yield block
            block = _Block(module)
        elif block is None:
            raise ValueError(
                f"PackedNet: the net begins with {type(module).__name__}; it must begin with a binary layer"
            )
        elif isinstance(module, nn.MaxPool2d) and _may_pool(block):
            block.pool = _window(module)
        elif isinstance(module, Norm) and block.norm is None:
            block.norm = module
        elif isinstance(module, BinaryActivation) and block.norm is not None:
            block.sign = True
        else:
            form = "a block is a binary layer, max-pooling, BatchNorm, sign"
            raise ValueError(f"PackedNet: {type(module).__name__} is out of place; {form}")
    if block is not None:
        yield block


def _may_pool(block: _Block) -> bool:
    return isinstance(block.layer, BinaryConv2d) and block.pool == 1 and block.norm is None


def _window(pool: nn.MaxPool2d) -> int:
    """The window of a pooling that tiles the image; any other is refused."""
    size, ones = pool.kernel_size, (1, (1, 1))
    square = isinstance(size, int) or len(set(size)) == 1
    plain = pool.stride == size and pool.padding in (0, (0, 0)) and pool.dilation in ones and not pool.ceil_mode
    if not square or not plain:
        raise ValueError("PackedNet: max-pooling must be square, with its stride equal to its window and nothing else")
    return size if isinstance(size, int) else size[0]


def _moments(norm: Norm) -> tuple[NDArray[np.float64], ...]:
    """gamma, beta, mean and variance with eps, in float64; a layer without affine part has ones and zeros."""
    if isinstance(norm, ShiftBatchNorm):
        slope, mean, beta = (part.cpu().numpy() for part in norm.evaluation_map())
        return slope, beta, mean, np.ones_like(slope)
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("PackedNet: BatchNorm keeps no running statistics, so it has no evaluation to fold")
    n = len(norm.running_mean)
    gamma = np.ones(n) if norm.weight is None else norm.weight.detach().cpu().double().numpy()
    beta = np.zeros(n) if norm.bias is None else norm.bias.detach().cpu().double().numpy()
    return gamma, beta, norm.running_mean.cpu().double().numpy(), norm.running_var.cpu().double().numpy() + norm.eps


def _stages(blocks: list[_Block], image: tuple[int, int] | None, pixels: tuple[float, float]) -> Iterator[Stage]:
    size = image
    for index, block in enumerate(blocks):
        last = index + 1 == len(blocks)
        if block.norm is None or block.sign == last:
            raise ValueError("PackedNet: every layer needs BatchNorm, and every one but the last the sign")
        if last and isinstance(block.layer, BinaryConv2d):
            raise ValueError("PackedNet: the last layer must be dense")
        weights = kernels.prepare(block.layer.weight.detach().cpu())
        scale, shift = pixels if index == 0 else (1.0, 0.0)
        geometry = {"stride": 1, "padding": 0, "pool": 1}
        if isinstance(block.layer, BinaryConv2d):
            if size is None:
                raise ValueError("PackedNet.from_module: a convolutional net needs image=(height, width)")
            geometry = {"stride": block.layer.stride, "padding": block.layer.padding, "pool": block.pool}
        here = size if size is not None and isinstance(block.layer, BinaryConv2d) else (1, 1)
        sums = kernels.weight_sums(weights, here, geometry["stride"], geometry["padding"])
        if isinstance(block.layer, BinaryConv2d):
            size = _output(here, block.layer, block.pool)
        if last:
            yield _final(weights, block.norm, scale, shift * sums[0])
        else:
            offsets = shift * sums if shift else np.zeros((1, weights.n))
            gamma, beta, mean, var = _moments(block.norm)
            threshold = kernels.fold(gamma, beta, mean, var, eps=0.0, scale=scale, shift=offsets)
            is_conv = isinstance(block.layer, BinaryConv2d)
            yield Stage(weights, is_conv, geometry["stride"], geometry["padding"], geometry["pool"], threshold)


def _output(size: tuple[int, int], layer: BinaryConv2d, pool: int) -> tuple[int, int]:
    kernel = layer.weight.shape[2]
    height, width = ((s + 2 * layer.padding - kernel) // layer.stride + 1 for s in size)
    return height // pool, width // pool


def _final(weights: PackedWeights, norm: Norm, scale: float, offset: NDArray[np.float64]) -> Stage:
    gamma, beta, mean, var = _moments(norm)
    slope = gamma / np.sqrt(var)
    return Stage(weights, is_conv=False, scale=scale * slope, shift=(offset - mean) * slope + beta)
