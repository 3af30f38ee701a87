"""Measures of predictions and of draws, against closed forms."""

import pytest
import torch

from bnnbench.evaluation import scores


def test_the_distance_of_draws_from_themselves_is_the_floor() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(200, 300, generator=generator)
    found = scores.distance_scores(draws[:100], draws[100:])
    assert found["mmd_published"] == pytest.approx(found["mmd_floor"], rel=0.05)
    assert abs(found["mmd"]) < 0.1 * found["mmd_floor"]
    far = scores.distance_scores(draws[:100] + 1, draws[100:])
    assert far["mmd"] > 10 * found["mmd_floor"]
