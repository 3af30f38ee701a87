"""A trained binarized net, read as the paper's blocks of layer, [max-pool], BatchNorm and sign; the last has no sign.

Only modules whose whole behaviour is known are read: what a subclass, a hook or a parametrisation adds would be lost
silently. Everything else is refused, with the path of the module in the net.
"""

from dataclasses import dataclass
from inspect import isfunction
from itertools import pairwise

from torch import nn

from bnnbench.binary.batch_norm import BatchNorm
from bnnbench.binary.layers import BinaryActivation, BinaryConv2d, BinaryLinear
from bnnbench.binary.shift_norm import ShiftBatchNorm

Norm = nn.BatchNorm1d | nn.BatchNorm2d | BatchNorm | ShiftBatchNorm
UNDERSTOOD = (
    BinaryLinear,
    BinaryConv2d,
    BinaryActivation,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    BatchNorm,
    ShiftBatchNorm,
    nn.MaxPool2d,
    nn.Dropout,
    nn.Identity,
    nn.Flatten,
)
FORM = "a block is a binary layer, max-pooling, BatchNorm, sign"


@dataclass
class Block:
    """A binary layer at `path` in the net, with what follows it up to the next one."""

    path: str
    layer: BinaryLinear | BinaryConv2d
    pool: int = 1
    norm: Norm | None = None
    sign: bool = False
    flat: bool = False


def blocks(net: nn.Sequential) -> list[Block]:
    """The blocks of a net, at least one; raises `TypeError` or `ValueError` for a net of another form."""
    if not isinstance(net, nn.Sequential):
        raise TypeError(f"PackedNet: the net is a {type(net).__name__}; it must be an nn.Sequential of its layers")
    _check_plain("the net", net, (nn.Sequential,))
    read: list[Block] = []
    for path, module in net._modules.items():  # named_children() leaves out a module that occurs twice
        where = f"module {path!r}"
        assert module is not None
        _check_plain(where, module, UNDERSTOOD)
        if isinstance(module, BinaryLinear | BinaryConv2d):
            read.append(Block(path, module))
        elif not isinstance(module, nn.Dropout | nn.Identity):  # which do nothing in evaluation
            _add(read[-1] if read else None, where, module)
    if not read:
        raise ValueError("PackedNet: the net has no binary layer")
    _check_whole(read)
    _check_joints(read)
    return read


def _check_plain(where: str, module: nn.Module, understood: tuple[type[nn.Module], ...]) -> None:
    """Refuses a module that does more than its class says."""
    kind = type(module)
    own = next((parent for parent in understood if isinstance(module, parent) and kind not in understood), None)
    if own is not None:
        reason = f"is a {kind.__name__}, which changes {own.__name__}"
    elif module._forward_hooks or module._forward_pre_hooks:
        reason = f"({kind.__name__}) has forward hooks"
    else:
        replaced = [name for name in vars(module) if isfunction(getattr(kind, name, None))]
        if not replaced:
            return
        reason = f"({kind.__name__}) has another {replaced[0]} than its class"
    raise ValueError(f"PackedNet: {where} {reason}; packed bits would lose that, so pack a net without it")


def _add(block: Block | None, where: str, module: nn.Module) -> None:
    """Adds to a block a module that follows its layer; the order must be that of the paper."""
    name = type(module).__name__
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1):
        raise ValueError(f"PackedNet: {where} flattens {module.start_dim} to {module.end_dim}; it must be 1 to -1")
    if block is None:
        if not isinstance(module, nn.Flatten):
            raise ValueError(f"PackedNet: the net begins with {name} ({where}); it must begin with a binary layer")
        return
    is_conv = isinstance(block.layer, BinaryConv2d)
    if isinstance(module, nn.MaxPool2d) and is_conv and block.pool == 1 and block.norm is None:
        block.pool = _window(where, module)
    elif isinstance(module, Norm) and block.norm is None and _is_spatial(module) in (None, is_conv):
        block.norm = module
    elif isinstance(module, BinaryActivation) and block.norm is not None:
        block.sign = True
    elif isinstance(module, nn.Flatten) and (block.norm is not None or not is_conv):
        block.flat = True
    else:
        raise ValueError(f"PackedNet: {name} is out of place ({where}); {FORM}")


def _is_spatial(norm: Norm) -> bool | None:
    """Whether a BatchNorm is of images; `None` where it takes both images and rows."""
    if isinstance(norm, ShiftBatchNorm):
        return norm.spatial
    return None if isinstance(norm, BatchNorm) else isinstance(norm, nn.BatchNorm2d)


def _window(where: str, pool: nn.MaxPool2d) -> int:
    """The window of a pooling that tiles the image; any other is refused."""
    size, ones = pool.kernel_size, (1, (1, 1))
    square = isinstance(size, int) or len(set(size)) == 1
    side = size if isinstance(size, int) else size[0]
    plain = pool.stride in (side, (side, side)) and pool.padding in (0, (0, 0)) and pool.dilation in ones
    if not square or not plain or pool.ceil_mode or pool.return_indices:
        form = "max-pooling must be square, with its stride equal to its window and nothing else"
        raise ValueError(f"PackedNet: {where}: {form}")
    return side


def _check_whole(blocks: list[Block]) -> None:
    """Every layer but the last needs BatchNorm and sign, the last one BatchNorm alone."""
    for block in blocks:
        last = block is blocks[-1]
        if block.norm is None or block.sign == last:
            rule = "every layer needs BatchNorm, and every layer but the last needs the sign"
            raise ValueError(f"PackedNet: {rule}; module {block.path!r} is wrong")
        if last and isinstance(block.layer, BinaryConv2d):
            raise ValueError(f"PackedNet: the last layer must be dense; module {block.path!r} is a convolution")


def _check_joints(blocks: list[Block]) -> None:
    """Refuses a net that does not flatten images where dense layers begin, or that flattens them elsewhere."""
    for before, after in pairwise(blocks):
        from_conv, to_conv = isinstance(before.layer, BinaryConv2d), isinstance(after.layer, BinaryConv2d)
        if to_conv and (not from_conv or before.flat):
            raise ValueError(f"PackedNet: module {after.path!r} is a convolution, but its input is not an image")
        if from_conv and not to_conv and not before.flat:
            raise ValueError(f"PackedNet: module {after.path!r} is dense and follows images: nn.Flatten is missing")
