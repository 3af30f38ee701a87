"""Batch normalisation against PyTorch's, in one process and over the parts of several."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import start_processes

from bnnbench.binary.batch_norm import BatchNorm

SHAPES = [(12, 5), (12, 5, 3, 4)]


def reference(shape: tuple[int, ...], scale: bool) -> nn.Module:
    norm = nn.BatchNorm1d(shape[1]) if len(shape) == 2 else nn.BatchNorm2d(shape[1])
    norm.weight.requires_grad_(scale)
    return norm.double()


def batch(shape: tuple[int, ...], step: int) -> tuple[Tensor, Tensor]:
    """Values far from 0, so that a variance as a difference of squares would show, and a gradient for each."""
    generator = torch.Generator().manual_seed(step)
    x, gradient = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return (3 * x + 1000).requires_grad_(), gradient


def train(norm: nn.Module, shape: tuple[int, ...], part: slice = slice(None)) -> list[Tensor]:
    """Two updates of gamma and beta; all outputs, input gradients, parameters and running statistics."""
    found: list[Tensor] = []
    optimizer = torch.optim.SGD([p for p in norm.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        x, gradient = batch(shape, step)
        optimizer.zero_grad()
        y = norm(x[part])
        (y * gradient[part]).sum().backward()
        if distributed.is_initialized():
            for parameter in norm.parameters():
                distributed.all_reduce(parameter.grad)
        optimizer.step()
        assert x.grad is not None
        found += [y.detach(), x.grad[part]]
    norm.eval()
    found.append(norm(batch(shape, 5)[0][part]).detach())
    return [*found, *(value.double() for value in norm.state_dict().values() if value.dim())]


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_batch_norm(shape: tuple[int, ...], scale: bool) -> None:
    ours, theirs = train(BatchNorm(shape[1], scale=scale).double(), shape), train(reference(shape, scale), shape)
    if not scale:
        theirs = [value for value in theirs if not torch.equal(value, torch.ones(shape[1], dtype=torch.float64))]
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.4, None])
def test_its_momentum_can_be_changed_afterwards(momentum: float | None) -> None:
    """As recalibration of running statistics does; None is the mean over batches."""
    ours, theirs = BatchNorm(5).double(), nn.BatchNorm1d(5).double()
    for norm in (ours, theirs):
        norm.momentum = momentum
        for step in range(3):
            norm(batch((12, 5), step)[0])
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_of_two_processes_are_one_batch(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Interleaved parts, since a part alone has another mean than the batch."""
    start_processes(partial(_part_of_two, shape=shape, folder=tmp_path), nprocs=2, start_method="fork")
    whole = train(BatchNorm(shape[1]).double(), shape)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for part, all_of_it in zip(found, whole, strict=True):
            expected = all_of_it[rank::2] if all_of_it.dim() > 1 else all_of_it
            assert torch.allclose(part, expected, rtol=1e-11, atol=1e-11)


def _part_of_two(rank: int, shape: tuple[int, ...], folder: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(train(BatchNorm(shape[1]).double(), shape, slice(rank, None, 2)), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_equals_the_mean_becomes_beta(dtype: torch.dtype) -> None:
    """Sums of signs: integers whose mean is an integer, where a rounding error would decide the next sign."""
    x = torch.arange(-48, 49, 2, dtype=dtype)[torch.randperm(49)] + 6
    norm: Any = BatchNorm(1).to(dtype)
    y = norm(x[:, None])
    assert y[x == 6].abs().max() == 0
    assert (y[x > 6] > 0).all()


def test_a_shape_that_is_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \[N, C\] or \[N, C, H, W\], got \[4\]"):
        BatchNorm(4)(torch.zeros(4))
    with pytest.raises(ValueError, match="one value a channel"):
        BatchNorm(4)(torch.zeros(1, 4))


def test_statistics_of_bfloat16_are_float32() -> None:
    x = (3 * torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(0)) + 100).bfloat16().requires_grad_()
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    y, expected = ours(x), theirs(x.float())
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), expected, atol=0.02)  # the last bit of outputs up to 4
    torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=1e-5, atol=0)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
