"""Which fit a checkpoint is of: the method, its parameters, the shapes of the net and the data."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from bnnbench.bayes.journal import State

if TYPE_CHECKING:
    from bnnbench.bayes.method import Train


def identity(name: str, params: BaseModel, model: nn.Module, train: "Train") -> State:
    """What two fits share where one may continue the other, in strings, numbers and containers of them.

    Of the net it holds the names and shapes of parameters and buffers and which are frozen, of the data a checksum of
    all values. Values of the net are left out: a fit that is continued has its own.
    """
    return {
        "method": name,
        "params": params.model_dump(mode="json", fallback=repr),
        "net": [_shape(name, part) for name, part in (*model.named_parameters(), *model.named_buffers())],
        "data": checksum(*_parts(train)),
    }


def checksum(*parts: Tensor | str) -> str:
    """SHA-256 of the types, shapes and values of tensors and of text, whatever device the tensors are on."""
    found = sha256()
    for part in parts:
        if isinstance(part, Tensor):
            found.update(f"{part.dtype} {list(part.shape)};".encode())
            found.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            found.update(f"{part};".encode())
    return found.hexdigest()


def _shape(name: str, part: Tensor) -> list[Any]:
    return [name, str(part.dtype), list(part.shape), part.requires_grad]


def _parts(train: "Train") -> list[Tensor | str]:
    """Points, held-out points and the likelihood by its name and numbers; what `augment` does cannot be told."""
    numbers = {key: value for key, value in getattr(train.likelihood, "__dict__", {}).items() if _is_plain(value)}
    likelihood = f"{type(train.likelihood).__qualname__} {sorted(numbers.items())}"
    return [train.x, train.y, *(train.validation or ()), likelihood]


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str)
