"""What a method costs: the peak of its memory, and what it keeps."""

from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bnnbench.evaluation import cost

MEGABYTES = 200


def held_for_a_moment() -> int:
    return int(np.ones(MEGABYTES * 2**17).sum())  # doubles, written to, and gone


@pytest.mark.skipif(not cost.PROCESS.exists(), reason="the system tells no peak of memory")
def test_the_peak_is_what_was_held_and_starts_anew() -> None:
    found, first = cost.measured(held_for_a_moment, "cpu")
    _, second = cost.measured(lambda: None, "cpu")
    assert found == MEGABYTES * 2**17
    assert first.peak_megabytes == pytest.approx(MEGABYTES, rel=0.1)
    assert second.peak_megabytes is not None
    assert second.peak_megabytes < 0.1 * MEGABYTES
    assert first.cpu_seconds > 0


def test_a_system_without_a_peak_has_no_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cost, "PROCESS", tmp_path)
    found, took = cost.measured(lambda: 3, "cpu")
    assert (found, took.peak_megabytes) == (3, None)


@dataclass(frozen=True)
class Kept:
    """A posterior of sorts."""

    net: nn.Module
    draws: Any


def test_each_piece_of_memory_counts_once_however_deep() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    own = 32 * (3 * 4 + 4 + 4 * 4) + 64  # batch norm has a scale, a shift, a mean, a variance and a count
    assert cost.stored_bits(net) == own
    draws = torch.zeros(10, 16, dtype=torch.float64)
    pair = namedtuple("pair", "a b")
    assert cost.stored_bits(Kept(net, {"draws": [draws, draws[2:], pair(draws, "words")]})) == own + 64 * 160
    packed = np.zeros(8, dtype=np.uint8)
    assert cost.stored_bits([packed, packed[1:].view(), net, Kept(net, None)]) == own + 64
    itself: list[Any] = [torch.zeros(1, dtype=torch.bool)]
    itself.append(itself)
    assert cost.stored_bits(itself) == 8
