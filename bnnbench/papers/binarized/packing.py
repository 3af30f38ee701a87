"""A trained net beside itself on packed bits, for the paper's claim that nothing but the speed changes."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnbench.binary.layers import BinaryConv2d, BinaryLinear
from bnnbench.binary.packed import PackedNet
from bnnbench.binary.sign import sign
from bnnbench.papers.binarized.settings import Training
from bnnbench.papers.binarized.splits import Splits


def packs(params: Training, splits: Splits) -> bool:
    """Whether a net of these settings runs on bits: binary throughout, and fed with an affine map of 8-bit pixels."""
    return params.weights == "binary" and params.activation.endswith("sign") and splits.pixels is not None


def packed(net: nn.Sequential, splits: Splits) -> PackedNet:
    """The net on packed bits, as it is in evaluation; its inputs are what `pixels` gives."""
    assert splits.pixels is not None
    return PackedNet.from_module(net, splits.shape[1:] if _is_conv(net) else None, splits.pixels)


def agreement(net: nn.Sequential, splits: Splits, outputs: Tensor) -> dict[str, float]:
    """Metrics of the packed net on all test images; `outputs` [N, C] are the net's own, in float32.

    A float32 net may decide otherwise where its rounding crosses a threshold, so images on which the two differ are
    classified again by the net in float64, which defines the right answer.
    """
    fast = packed(net, splits)
    classes = torch.from_numpy(fast.predict(pixels(net, splits.x_test))).to(outputs.device)
    differ = (classes != outputs.argmax(1)).nonzero().flatten()
    return {
        "packed_error": 100.0 * (classes != splits.y_test).double().mean().item(),
        "packed_disagreements_float32": float(len(differ)),
        "packed_disagreements": float((exact(net, splits, splits.x_test[differ]) != classes[differ]).sum()),
        "memory_ratio": fast.float_weight_bytes / fast.weight_bytes,
    }


def pixels(net: nn.Sequential, x: Tensor) -> NDArray[np.uint8]:
    """Images [N, H, W, C] as the packed net takes them."""
    images: NDArray[np.uint8] = x.cpu().numpy()
    return images if _is_conv(net) else images.reshape(len(images), -1)


@torch.no_grad()
def exact(net: nn.Sequential, splits: Splits, x: Tensor) -> Tensor:
    """Classes [N] of images in float64 arithmetic."""
    assert splits.pixels is not None
    scale, shift = splits.pixels
    inputs = x.double() * scale + shift
    inputs = inputs.permute(0, 3, 1, 2) if _is_conv(net) else inputs.flatten(1)
    classes: Tensor = copy.deepcopy(net).double().eval()(inputs).argmax(1)
    return classes


def _is_conv(net: nn.Sequential) -> bool:
    return any(isinstance(module, nn.Flatten) for module in net)


def on_bits(net: nn.Sequential, splits: Splits, x: Tensor) -> Callable[[], object]:
    """A function that classifies the images on packed bits in one batch, starting from pixels."""
    fast, given = packed(net, splits), pixels(net, x)
    return lambda: fast.predict(given, batch=len(given))


def library(net: nn.Sequential, splits: Splits, x: Tensor) -> Callable[[], object]:
    """A function that classifies the images by torch in float32 in one batch; weights are binarized beforehand."""
    plain = nn.Sequential(*(_plain(module) for module in net)).eval()
    inputs = splits.to_input(x)

    @torch.no_grad()
    def classify() -> Tensor:
        return plain(inputs).argmax(1)  # type: ignore[no-any-return]

    return classify


def naive(net: nn.Sequential, splits: Splits, x: Tensor, on_bits: bool = False) -> Callable[[], object]:
    """A function that classifies the images with the paper's naive kernels on a CPU, in float32 or `on_bits`.

    The first layer takes pixels, so its product is of real numbers in both cases.
    """
    from bnnbench import kernels
    from bnnbench.kernels.cpu.naive import float_matmul, xnor_matmul

    modules = [_plain(module).eval() for module in net]
    inputs = splits.to_input(x)
    linear = {k: module for k, module in enumerate(modules) if isinstance(module, nn.Linear)}
    hidden = list(linear)[1:] if on_bits else []
    words = {k: kernels.pack(linear[k].weight.numpy()).words for k in hidden}

    @torch.no_grad()
    def classify() -> Tensor:
        h = inputs
        for k, module in enumerate(modules):
            if k in words:
                product = xnor_matmul(kernels.pack(h.numpy()).words, words[k], h.shape[1])
            elif isinstance(module, nn.Linear):
                product = float_matmul(h.numpy(), module.weight.numpy())
            else:
                h = module(h)
                continue
            h = torch.from_numpy(product)
        return h.argmax(1)

    return classify


def _plain(module: nn.Module) -> nn.Module:
    """A copy of a binary layer whose weights are fixed to their signs; other modules are returned as they are."""
    if not isinstance(module, BinaryLinear | BinaryConv2d):
        return module
    weight = sign(module.weight.detach())
    fan_out, fan_in = weight.shape[:2]
    plain: nn.Linear | nn.Conv2d
    if isinstance(module, BinaryLinear):
        plain = nn.Linear(fan_in, fan_out, bias=False)
    else:
        plain = nn.Conv2d(fan_in, fan_out, weight.shape[2], module.stride, module.padding, bias=False)
    plain.weight = nn.Parameter(weight, requires_grad=False)
    return plain
