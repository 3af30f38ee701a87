"""Predictions for metric tests: probabilities, with rows that are certain or uniform, and scores with ties."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

seeds = st.integers(0, 2**32 - 1)


def predictions(n: int, classes: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Probabilities [N, C], about a fifth of the rows one-hot and a fifth uniform; labels [N]."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.4), size=n)
    kind = rng.integers(0, 5, n)
    probabilities[kind == 0] = np.eye(classes)[rng.integers(0, classes, (kind == 0).sum())]
    probabilities[kind == 1] = 1 / classes
    return torch.from_numpy(probabilities).to(dtype), torch.from_numpy(rng.integers(0, classes, n))


def tied(n: int, seed: int, values: int = 6) -> Tensor:
    """Scores [N] among a few values, most of them outside [0, 1]."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-values // 2, values // 2 + 1, n) * 37.5)
