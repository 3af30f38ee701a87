"""Which fit a checkpoint belongs to: the method, its parameters, the shapes of the net and the data."""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from bnnbench.bayes.journal import State

if TYPE_CHECKING:
    from bnnbench.bayes.method import Train


def identity(name: str, params: BaseModel, model: nn.Module, train: "Train") -> State:
    """A description of a fit in strings, numbers and containers; one fit may continue another if theirs are equal.

    For the net it holds the names and shapes of parameters and buffers and which of them are frozen; for the data it
    holds a checksum of all values. The values of the net are left out, as a continued fit restores its own.
    """
    return {
        "method": name,
        "params": params.model_dump(mode="json", fallback=repr),
        "net": [_shape(name, part) for name, part in (*model.named_parameters(), *model.named_buffers())],
        "data": checksum(*_parts(train)),
    }


def checksum(*parts: Tensor | str) -> str:
    """SHA-256 of text and of the types, shapes and values of tensors, whatever device the tensors are on."""
    digest = sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype} {list(part.shape)};".encode())
            digest.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(f"{part};".encode())
    return digest.hexdigest()


def _shape(name: str, part: Tensor) -> list[Any]:
    return [name, str(part.dtype), list(part.shape), part.requires_grad]


def _parts(train: "Train") -> list[Tensor | str]:
    """Points, held-out points, and the likelihood and prior by name and numbers; `augment` is left out, as a function
    cannot be compared.
    """
    return [train.x, train.y, *(train.validation or ()), *_described(train.likelihood), *_described(train.prior)]


def _described(part: object) -> list[Tensor | str]:
    """The type of an object and the numbers, text and tensors that it holds, also in mappings."""
    parts: list[Tensor | str] = [type(part).__qualname__]
    for key, value in sorted(getattr(part, "__dict__", {}).items()):
        inner = value if isinstance(value, Mapping) else {"": value}
        parts += [
            entry if isinstance(entry, Tensor) else f"{key} {name} {entry}"
            for name, entry in sorted(inner.items())
            if isinstance(entry, Tensor) or _is_plain(entry)
        ]
    return parts


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str)
