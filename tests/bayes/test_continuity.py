"""Draws are continuous in the data: a change in the last bit, or in the eigenvectors' freedom, moves them as little."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import classes, stream
from torch import Tensor, nn

from bnnbench.bayes import last_layer
from bnnbench.bayes.curvature import Curvature, Full, Kronecker
from bnnbench.bayes.gaussian import LaplaceNormal
from bnnbench.bayes.laplace import LaplacePosterior, laplace
from bnnbench.bayes.likelihood import Categorical
from bnnbench.bayes.method import Train
from bnnbench.bayes.predictives import normal_draws
from bnnbench.harness import registry

ULP = 1 + 2.0**-23
FEW: dict[str, Any] = {"warmup": 1, "draws": 4, "chains": 1}
BASES: dict[str, dict[str, Any]] = {
    "laplace": {},
    "laplace, kronecker": {"structure": "kronecker"},
    "laplace, at the mode": {"centre": "mode"},
    "refine": {"laplace": {"precision": 5.0}, "optimisation": {"epochs": 1}},
    "refine, whitened": {"laplace": {"precision": 5.0}, "optimisation": {"epochs": 1}, "whitened": True},
    "refine, subspace": {"laplace": {"precision": 5.0}, "optimisation": {"epochs": 1}, "subspace": 9},
    "hmc": {"sampling": FEW},
    "hmc, kronecker": {"sampling": FEW, "structure": "kronecker"},
    "nuts, whitened": {**FEW, "whitened": True, "max_tree_depth": 2},
}


def last_layer_data() -> tuple[nn.Linear, Tensor, Tensor]:
    """Features of a ReLU and five classes: the curvature of softmax has as many zero eigenvalues as features."""
    torch.manual_seed(0)
    x = torch.randn(300, 8, generator=stream()).relu()
    return nn.Linear(8, 5), x, torch.randint(0, 5, (300,), generator=stream(1))


@pytest.mark.parametrize("kind", BASES)
def test_a_change_in_the_last_bit_of_the_data_moves_draws_as_little(kind: str) -> None:
    net, x, y = last_layer_data()
    params = {"training": None, "precision": 5.0, **BASES[kind]}
    method = registry.method(kind.partition(",")[0])
    first, second = (method.fit(net, Train(inputs, y), params, stream(2)) for inputs in (x, x * ULP))
    draws, moved = (posterior.sample(4, stream(3)) for posterior in (first, second))
    assert (moved - draws).abs().max() < 1e-3 * draws.std()


def test_linearised_draws_move_as_little() -> None:
    net, x, y = last_layer_data()
    params = {"training": None, "precision": 5.0, "link": "linearised"}
    outputs = []
    for inputs in (x, x * ULP):
        posterior = laplace.fit(net, Train(inputs, y), params, stream(2))
        assert isinstance(posterior, LaplacePosterior)
        outputs.append(posterior.predict(x, 5, stream(3)).logits)  # type: ignore[union-attr]
    assert (outputs[0] - outputs[1]).abs().max() < 1e-3 * outputs[0].std()


def turned(vectors: Tensor, same: slice, seed: int) -> Tensor:
    """Eigenvectors with other signs, those of one eigenvalue turned within their space."""
    signs = torch.sign(torch.randn(vectors.shape[1], generator=stream(seed), dtype=vectors.dtype))
    found = vectors * signs
    size = len(range(*same.indices(vectors.shape[1])))
    rotation = torch.linalg.qr(torch.randn(size, size, generator=stream(seed + 1), dtype=vectors.dtype))[0]
    found[:, same] = found[:, same] @ rotation
    return found


def check_alike(first: Curvature, second: Curvature, precision: float) -> None:
    size = len(first.eigenvalues)
    mean = torch.randn(size, generator=stream(5), dtype=torch.float64)
    one, other = (LaplaceNormal(mean, curvature, precision) for curvature in (first, second))
    e = torch.randn(6, size, generator=stream(6), dtype=torch.float64)
    everything = torch.arange(size)
    assert torch.allclose(one.push(e), other.push(e), atol=1e-9)
    assert torch.allclose(one.pull(e), other.pull(e), atol=1e-9)
    assert torch.allclose(one.rows(everything), other.rows(everything), atol=1e-9)
    assert torch.allclose(one.sample(6, stream(6)), one.push(e), atol=1e-9)  # sample and push are one map
    assert torch.allclose(one.pull(one.push(e)), e, atol=1e-9)
    root = one.rows(everything)
    assert torch.allclose(root, root.T, atol=1e-12)
    assert torch.allclose(one.push(e), mean + e @ root.T, atol=1e-9)
    assert torch.allclose(torch.linalg.slogdet(root)[1], one.log_det)


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 12), st.floats(1e-3, 1e3))
def test_the_root_does_not_depend_on_the_choice_of_eigenvectors(
    seed: int, size: int, repeated: int, precision: float
) -> None:
    vectors = torch.linalg.qr(torch.randn(size, size, generator=stream(seed), dtype=torch.float64))[0]
    values = torch.rand(size, generator=stream(seed + 1), dtype=torch.float64) * 50
    same = slice(0, min(repeated, size))
    values[same] = 0
    check_alike(Full(values, vectors), Full(values, turned(vectors, same, seed)), precision)


def test_neither_does_that_of_a_kronecker_product() -> None:
    net, theta, features, _ = classes(40, 4, 3)
    found = last_layer.kronecker(net, theta, features, Categorical())
    a, b = torch.tensor([0.0, 2.0, 2.0]).double(), torch.tensor([1.0, 1.0, 1.0, 3.0, 4.0]).double()
    values = torch.zeros_like(found.eigenvalues).index_copy(0, found.order, torch.outer(a, b).reshape(-1))
    u, v = found.output_vectors, found.feature_vectors
    other = Kronecker(values, turned(u, slice(1, 3), 1), turned(v, slice(0, 3), 2), found.order)
    check_alike(Kronecker(values, u, v, found.order), other, 0.7)


def test_linearised_draws_do_not_depend_on_the_choice_of_eigenvectors() -> None:
    vectors = torch.linalg.qr(torch.randn(4, 4, generator=stream(), dtype=torch.float64))[0]
    covariance = (vectors * torch.tensor([2.0, 2.0, 2.0, 5.0]).double()) @ vectors.T
    root = (vectors * torch.tensor([2.0, 2.0, 2.0, 5.0]).double().sqrt()) @ vectors.T
    noise = torch.randn(7, 3, 4, 1, generator=stream(1), dtype=torch.float64)
    found = normal_draws(torch.ones(3, 4).double(), covariance.expand(3, 4, 4), 7, stream(1))
    assert torch.allclose(found, 1 + (root @ noise).squeeze(-1))
