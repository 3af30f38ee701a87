"""Random tensors from an explicit stream, on any device.

Numbers are drawn on the generator's device and then moved, so a stream on the CPU gives a GPU the same numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, Tensor


def normal(shape: Sequence[int], generator: Generator | None, like: Tensor) -> Tensor:
    """Standard normal numbers of `shape`, with the dtype and device of `like`."""
    return torch.randn(tuple(shape), generator=generator, device=_home(generator), dtype=like.dtype).to(like.device)


def uniform(shape: Sequence[int], generator: Generator | None, like: Tensor) -> Tensor:
    """Numbers in [0, 1) of `shape`, with the dtype and device of `like`."""
    return torch.rand(tuple(shape), generator=generator, device=_home(generator), dtype=like.dtype).to(like.device)


def signs(shape: Sequence[int], generator: Generator | None, like: Tensor) -> Tensor:
    """-1 or +1 with equal probability."""
    return uniform(shape, generator, like).sub_(0.5).sign_().add_(0.5).sign_()  # 0 becomes +1


def permutation(n: int, generator: Generator | None, device: torch.device) -> Tensor:
    """A random order of `n` indices."""
    return torch.randperm(n, generator=generator, device=_home(generator)).to(device)


def seed(generator: Generator | None) -> int:
    """A random seed, for the generator of another library."""
    return int(torch.randint(2**31 - 1, (), generator=generator, device=_home(generator)))


@contextmanager
def global_stream(start: int, device: torch.device) -> Iterator[None]:
    """A context in which torch's global streams (CPU and `device`) start at a seed; they are put back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(start)
        if device.type == "cuda":
            torch.cuda.manual_seed(start)
        yield


def _home(generator: Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
