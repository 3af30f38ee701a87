"""Conversion of arrays between torch and JAX, by way of NumPy on the CPU."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import jax


def to_jax(values: Tensor, float64: bool | None = None) -> "jax.Array":
    """The tensor in JAX, as float64 or float32, or with its own dtype where `float64` is `None`."""
    import jax.numpy as jnp

    dtype = None if float64 is None else jnp.float64 if float64 else jnp.float32
    return jnp.asarray(values.detach().cpu().numpy(), dtype=dtype)


def to_torch(values: Any, like: Tensor | None = None) -> Tensor:
    """The array in torch, on the CPU with its own dtype, or with the dtype and device of `like`."""
    tensor = torch.from_numpy(np.array(values))
    return tensor if like is None else tensor.to(like)
