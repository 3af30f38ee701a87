"""The posterior of a last layer whose bias has no effect, as the refinement paper's released code has it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bnnbench.data.content import Images, Split
from bnnbench.evaluation.problem import reference
from bnnbench.evaluation.studies import images
from bnnbench.harness.run import Run
from bnnbench.papers.refinement.experiments.last_layer import (
    LastLayerPosterior,
    last_layer,
    reference_case,
    without_bias,
)


def run(folder: Path) -> Run:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = (rng.integers(0, 60, (300, 28, 28)) + 60 * y[:, None, None]).astype(np.uint8)
    parts = {"train": Split(x[:150], y[:150]), "test": Split(x[150:], y[150:])}
    data = Images(parts, ("a", "b", "c"))
    return Run(0, "cpu", folder, lambda name: data, checkpoint_seconds=0)


def params(method: str, ignore_bias: bool = True, **options: Any) -> LastLayerPosterior:
    return LastLayerPosterior(
        method=method, options=options, ignore_bias=ignore_bias, n_validation=30, epochs=1, net="mlp", width=6, side=4,
        precision=20, chains=2, chain_draws=200, chain_warmup=50,
    )  # fmt: skip


def test_the_layer_without_a_bias_gives_the_nets_logits_less_its_bias(tmp_path: Path) -> None:
    data, whole = images.posed(params("hmc"), run(tmp_path))
    bare = without_bias(whole)
    features = whole.inputs(data.x_test)
    assert isinstance(whole.model, nn.Linear)
    assert torch.allclose(bare.model(features), whole.model(features) - whole.model.bias, atol=1e-6)
    assert torch.equal(bare.inputs(data.x_test), features)


def test_theta_is_that_of_hmc_with_a_bias_from_its_prior(tmp_path: Path) -> None:
    """HMC beside the reference, which is HMC too: the distance is that of two samples of one distribution."""
    sampling = {"chains": 2, "draws": 200, "warmup": 50}
    found = last_layer(params("hmc", precision=20, sampling=sampling), run(tmp_path)).metrics
    assert found["mmd"] < 0.01
    wide = last_layer(params("laplace", precision=1.0), run(tmp_path)).metrics  # with a bias, and a prior far wider
    assert wide["mmd"] > 0.1


def test_reference_draws_of_both_posteriors_are_kept_apart(tmp_path: Path) -> None:
    bare, whole = (reference_case(params("hmc", ignore), run(tmp_path)) for ignore in (True, False))
    assert bare.n_params == 3 * 6
    assert whole.n_params == 3 * 7
    assert bare.measure(bare.reference.draws)["nll"] > 0
    here = images.posed(params("hmc"), run(tmp_path))[1]
    again = reference(without_bias(here), images.sampler(params("hmc")), run(tmp_path))
    assert torch.equal(again.draws, bare.reference.draws)
    assert again.diagnostics["rhat_parameters"] < 1.1
    assert "draws is 400; at least 10000 is asked for" in again.misses()


def test_only_a_last_layer_has_a_bias_to_ignore() -> None:
    with pytest.raises(ValidationError, match="of the last layer"):
        LastLayerPosterior(scope="all", ignore_bias=True)
