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
from bnnbench.binary.blocks import Block, Norm, blocks
from bnnbench.binary.layers import BinaryConv2d
from bnnbench.binary.shift_norm import ShiftBatchNorm
from bnnbench.kernels import PackedBits, PackedPlanes, PackedWeights, Threshold
from bnnbench.kernels.geometry import pair, windows_over

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
    net has in float64 arithmetic. A float32 net may decide differently where its rounding crosses a threshold.
    """

    def __init__(self, stages: Sequence[Stage], image: tuple[int, int] | None = None) -> None:
        if not stages or [stage.threshold is None for stage in stages] != [False] * (len(stages) - 1) + [True]:
            raise ValueError("PackedNet: every stage but the last needs a threshold, and the last one gives the logits")
        self.stages = tuple(stages)
        self.image = image

    @classmethod
    def from_module(
        cls, net: nn.Sequential, image: tuple[int, int] | None = None, pixels: tuple[float, float] = SYMMETRIC
    ) -> "PackedNet":
        """Packs a trained net in the paper's block order: layer, [max-pool], BatchNorm, sign; the last without sign.

        BatchNorm may be shift-based (`ShiftBatchNorm`). The net is packed as it is in evaluation. `image`: height and
        width of the inputs of a convolutional net. `pixels`: the net was trained on scale * pixel + shift, scale > 0.
        Raises `ValueError` for a net of another form, and for modules that do more than their class (subclasses, hooks,
        parametrisations), since packed bits would lose it; `TypeError` for a net that is not an `nn.Sequential`.
        """
        read = blocks(net)
        if image is not None:
            image = pair("PackedNet.from_module", "image", image, 1, single=False)
        if (image is not None) != isinstance(read[0].layer, BinaryConv2d):
            kind = "convolutional net needs image=(height, width)" if image is None else "dense net takes no image"
            raise ValueError(f"PackedNet.from_module: a {kind}")
        scale, shift = _affine(pixels)
        return cls(list(_stages(read, image, scale, shift)), image)

    def logits(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        """[N, D] or [N, H, W, C] -> [N, n_classes]; raises `TypeError` or `ValueError` for inputs of another form."""
        self._check(x)
        h: PackedBits | PackedPlanes = kernels.bit_planes(x)
        for stage in self.stages:
            if isinstance(h, PackedBits) and h.words.ndim == 4 and not stage.is_conv:
                h = _flatten(h)
            if stage.threshold is None:
                assert stage.scale is not None
                assert stage.shift is not None
                return np.asarray(kernels.matmul(h, stage.weights) * stage.scale + stage.shift)
            h = _hidden(h, stage, stage.threshold)
        raise AssertionError("the last stage has logits")

    def _check(self, x: NDArray[np.uint8]) -> None:
        first = self.stages[0]
        here = f"images of {self.image}" if first.is_conv and self.image else "images" if first.is_conv else "rows"
        size: tuple[Any, ...] = (self.image or ("H", "W")) if first.is_conv else ()
        form = f"{here}, uint8 [{', '.join(map(str, ('N', *size, first.weights.c)))}]"
        if not isinstance(x, np.ndarray):
            raise TypeError(f"PackedNet: x is a {type(x).__name__}, not a NumPy array; this net was packed for {form}")
        fits = x.ndim == 2 + len(size) and x.shape[-1] == first.weights.c
        if x.dtype != np.uint8 or not fits or (first.is_conv and self.image not in (None, x.shape[1:3])):
            raise ValueError(f"PackedNet: x is {x.dtype} {x.shape}; this net was packed for {form}")

    def predict(self, x: NDArray[np.uint8], batch: int = 1000) -> NDArray[np.int64]:
        """Classes [N], `batch` inputs at a time."""
        if batch < 1:
            raise ValueError(f"PackedNet: batch is {batch}; it must be at least 1")
        self._check(x)
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
        """Writes the net as safetensors; raises `ValueError` where the file cannot be written."""
        from safetensors import SafetensorError
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
        metadata = {"bnnbench.packed": json.dumps({"image": self.image, "stages": about})}
        try:
            save_file(tensors, path, metadata=metadata)
        except SafetensorError as error:
            raise ValueError(f"{path}: cannot be written ({error})") from error

    @classmethod
    def load(cls, path: Path) -> "PackedNet":
        """Reads what `save` wrote; a file that is not one raises `ValueError`."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                about = json.loads(file.metadata()["bnnbench.packed"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stages = [_loaded(tensors, index, entry) for index, entry in enumerate(about["stages"])]
            image = None if about["image"] is None else pair("load", "image", about["image"], 1, single=False)
            return cls(stages, image)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"{path}: not a packed net of bnnbench ({error!r})") from error


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
    geometry: dict[str, Any] = {"is_conv": bool(entry["is_conv"])}
    for name, least in (("stride", 1), ("padding", 0), ("pool", 1)):
        geometry[name] = pair(f"stage {index}", name, entry[name], least)[0]
    return Stage(weights, **geometry, threshold=threshold, scale=scale, shift=shift)


def _hidden(h: PackedBits | PackedPlanes, stage: Stage, threshold: Threshold) -> PackedBits:
    if not stage.is_conv:
        return kernels.linear(h, stage.weights, threshold)
    # Pooling comes before the sign, and the maximum of a window passes a threshold if any value of it does. So the
    # values are compared, the bits of a window are joined by OR, and only then are they flipped.
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


def _moments(norm: Norm) -> tuple[NDArray[np.float64], ...]:
    """gamma, beta, mean and variance with eps, in float64; a layer without affine part has ones and zeros."""
    if isinstance(norm, ShiftBatchNorm):
        slope, mean, beta = (part.cpu().numpy() for part in norm.evaluation_map())
        return slope, beta, mean, np.ones_like(slope)
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("BatchNorm keeps no running statistics, so it has no evaluation to fold")
    n = len(norm.running_mean)
    gamma = np.ones(n) if norm.weight is None else norm.weight.detach().cpu().double().numpy()
    beta = np.zeros(n) if norm.bias is None else norm.bias.detach().cpu().double().numpy()
    return gamma, beta, norm.running_mean.cpu().double().numpy(), norm.running_var.cpu().double().numpy() + norm.eps


def _affine(pixels: tuple[float, float]) -> tuple[float, float]:
    try:
        scale, shift = (float(part) for part in pixels)
    except (TypeError, ValueError):
        scale, shift = np.nan, np.nan
    if not (0 < scale < np.inf and np.isfinite(shift)):
        raise ValueError(f"PackedNet.from_module: pixels is {pixels!r}; it must be (scale, shift), with scale > 0")
    return scale, shift


def _stages(blocks: list[Block], image: tuple[int, int] | None, scale: float, shift: float) -> Iterator[Stage]:
    size, maps = image, None
    for block in blocks:
        try:
            _check_inputs(block, size, maps)
            stage, size = _stage(block, size, scale, shift)
        except (ValueError, RuntimeError) as error:  # torch raises its own for weights without data
            reason = " ".join(str(error).split())
            raise ValueError(f"PackedNet: module {block.path!r} and what follows it: {reason}") from error
        yield stage
        maps = stage.weights.n
        scale, shift = 1.0, 0.0  # the inputs of later layers are signs


def _check_inputs(block: Block, size: tuple[int, int] | None, maps: int | None) -> None:
    """ValueError unless a layer takes what the block before it gives: `maps` outputs, each of `size` after images."""
    taken = block.layer.weight.shape[1]
    pixels = size[0] * size[1] if size is not None and not isinstance(block.layer, BinaryConv2d) else 1
    if maps is not None and taken != maps * pixels:
        raise ValueError(f"the layer takes {taken} inputs, and what comes before gives {maps * pixels}")


def _stage(
    block: Block, size: tuple[int, int] | None, scale: float, shift: float
) -> tuple[Stage, tuple[int, int] | None]:
    """The layer with what follows it, and the size of its output image; inputs are scale * x + shift."""
    assert block.norm is not None
    weights = kernels.prepare(block.layer.weight.detach().cpu())
    gamma, beta, mean, var = _moments(block.norm)
    if not all(np.isfinite(part).all() for part in (gamma, beta, mean, var)) or not (var > 0).all():
        raise ValueError("BatchNorm holds NaN, infinity or a variance that is not positive")
    if len(mean) != weights.n:
        raise ValueError(f"BatchNorm has {len(mean)} features and the layer {weights.n} outputs")
    stride, padding, is_conv = 1, 0, isinstance(block.layer, BinaryConv2d)
    if isinstance(block.layer, BinaryConv2d):
        stride, padding = _alike("stride", block.layer.stride, 1), _alike("padding", block.layer.padding, 0)
    here = size if is_conv and size is not None else (1, 1)
    sums = kernels.weight_sums(weights, here, stride, padding)
    if not block.sign:
        return _final(weights, (gamma, beta, mean, var), scale, shift * sums[0]), None
    offsets = shift * sums if shift else np.zeros((1, weights.n))
    threshold = kernels.fold(gamma, beta, mean, var, eps=0.0, scale=scale, shift=offsets)
    stage = Stage(weights, is_conv, stride, padding, block.pool, threshold)
    return stage, _output(here, stage) if is_conv else None


def _alike(argument: str, value: Any, least: int) -> int:
    rows, columns = pair("BinaryConv2d", argument, value, least)
    if rows != columns:
        raise ValueError(f"{argument} is {value}; it must be the same for rows and columns")
    return rows


def _output(size: tuple[int, int], stage: Stage) -> tuple[int, int]:
    """Height and width of the pooled output of a convolution over an image of `size`."""
    steps, edges = (stage.stride, stage.stride), (stage.padding, stage.padding)
    pooled = (stage.pool, stage.pool)
    convolved = windows_over("BinaryConv2d", size, stage.weights.kernel, steps, edges).output
    return windows_over("MaxPool2d", convolved, pooled, pooled, (0, 0)).output


def _final(
    weights: PackedWeights, moments: tuple[NDArray[np.float64], ...], scale: float, offset: NDArray[np.float64]
) -> Stage:
    gamma, beta, mean, var = moments
    slope = gamma / np.sqrt(var)
    return Stage(weights, is_conv=False, scale=scale * slope, shift=(offset - mean) * slope + beta)
