"""Curvatures against autograd, against each other and against laplace-torch."""

from collections.abc import Callable

import pytest
import torch
from problems import classes, stream
from torch import Tensor, nn
from torch.nn.utils import weight_norm

from bnnbench.bayes import ggn, last_layer, layerwise
from bnnbench.bayes.curvature import Curvature, Full
from bnnbench.bayes.gaussian import LaplaceNormal
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.network import LinearNet, WholeNet, flat


def dense(curvature: Curvature, size: int, values: Tensor | None = None) -> Tensor:
    """Q diag(e) Q^T, with the eigenvalues e or with other values."""
    columns = curvature.rotate(torch.eye(size, dtype=curvature.eigenvalues.dtype))
    return columns.T @ ((curvature.eigenvalues if values is None else values)[:, None] * columns)


def summed_loss(net: LinearNet, features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda theta: Categorical().nll(net.outputs(theta[None], features), labels).sum()


@pytest.mark.parametrize(("n", "chunk"), [(40, 1024), (40, 7), (1, 1)])
def test_last_layer_hessian_is_that_of_autograd(n: int, chunk: int) -> None:
    net, theta, features, labels = classes(n, 5, 4)
    expected = torch.autograd.functional.hessian(summed_loss(net, features, labels), theta)
    found = last_layer.hessian(net, theta, features, Categorical(), chunk)
    assert (found - expected).abs().max() < 1e-8
    assert torch.allclose(
        last_layer.diagonal(net, theta, features, Categorical(), chunk), expected.diagonal(), atol=1e-8
    )


def test_hessian_without_a_bias() -> None:
    _, _, features, labels = classes(30, 4, 3)
    net = LinearNet(4, 3, bias=False)
    theta = torch.randn(net.n_params, generator=stream(5), dtype=torch.float64)
    expected = torch.autograd.functional.hessian(summed_loss(net, features, labels), theta)
    for structure in ("full", "kronecker", "diagonal"):
        found = dense(last_layer.curvature(net, theta, features, Categorical(), structure), net.n_params)
        if structure == "full":
            assert (found - expected).abs().max() < 1e-8
        assert len(found) == 12


def test_float32_hessian_is_that_of_float64() -> None:
    net, theta, features, _ = classes(5000, 20, 5)
    exact = last_layer.hessian(net, theta, features, Categorical())
    single = last_layer.hessian(net, theta.float(), features.float(), Categorical())
    assert (single - exact).abs().max() < 2e-6 * exact.abs().max()


def test_all_layer_gauss_newton_is_the_hessian_of_the_linearised_net() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    net, theta = WholeNet(module), flat(module.parameters())
    x = torch.randn(20, 3, generator=stream(), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda t: net.outputs(t[None], x)[0], theta)
    second = Categorical().hessian(net.outputs(theta[None], x)[0])
    expected = torch.einsum("ncp,nck,nkq->pq", jacobian, second, jacobian)
    full = ggn.curvature(net, theta, x, Categorical(), "full")
    assert torch.allclose(dense(full, net.n_params), expected, atol=1e-9)
    diagonal = ggn.curvature(net, theta, x, Categorical(), "diagonal")
    assert torch.allclose(diagonal.eigenvalues, expected.diagonal(), atol=1e-9)


def test_the_diagonal_by_layers_is_that_of_the_jacobians() -> None:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 2, dilation=2, bias=False)]
    module = nn.Sequential(*convolutions, nn.Flatten(), nn.Tanh(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    net, theta = WholeNet(module), flat(module.parameters())
    x = torch.randn(300, 2, 5, 5, generator=stream(), dtype=torch.float64)
    assert layerwise.applies(net, theta, x)
    outputs, jacobian = ggn.jacobians(net, theta)(x)
    expected = torch.einsum("ncp,nck,nkp->p", jacobian, Categorical().hessian(outputs), jacobian)
    assert torch.allclose(ggn.curvature(net, theta, x, Categorical(), "diagonal").eigenvalues, expected, atol=1e-9)


class Residual(nn.Module):
    """Works in place on the outputs of a layer, also across a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h += x
        out: Tensor = self.last(torch.relu_(h))
        return out


def in_place() -> list[nn.Module]:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 6), nn.ReLU(inplace=True), nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)]
    return [nn.Sequential(*layers), Residual()]


@pytest.mark.parametrize("k", [0, 1], ids=["activation", "residual"])
def test_work_in_place_does_not_change_the_diagonal(k: int) -> None:
    module = in_place()[k].double()
    net, theta = WholeNet(module), flat(module.parameters())
    x = torch.randn(40, 3, generator=stream(), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda t: net.outputs(t[None], x)[0], theta)
    second = Categorical().hessian(net.outputs(theta[None], x)[0])
    expected = torch.einsum("ncp,nck,nkp->p", jacobian, second, jacobian)
    assert layerwise.applies(net, theta, x)
    assert torch.allclose(layerwise.diagonal(net, theta, x, Categorical()), expected, atol=1e-10)


class HalvedConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


SHARED, TIED = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
TIED[2].weight = TIED[0].weight
OTHERS = {
    "tied weights": TIED,
    "weight norm": nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 3)),
    "own convolution": nn.Sequential(nn.Unflatten(1, (3, 1, 1)), HalvedConv(3, 4, 1), nn.Flatten(), nn.Linear(4, 3)),
    "batch norm": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)),
    "shared layer": nn.Sequential(SHARED, nn.Tanh(), SHARED),
    "sequences": nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Linear(1, 2), nn.Flatten(), nn.Linear(6, 3)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_nets_go_through_their_jacobians(kind: str) -> None:
    module = OTHERS[kind].double().eval()
    net, theta = WholeNet(module), flat(module.parameters())
    x = torch.randn(20, 3, generator=stream(), dtype=torch.float64)
    assert not layerwise.applies(net, theta, x)
    found = ggn.curvature(net, theta, x, Categorical(), "diagonal").eigenvalues
    full = dense(ggn.curvature(net, theta, x, Categorical(), "full"), net.n_params)
    assert torch.allclose(found, full.diagonal(), atol=1e-9)


def test_all_layers_of_a_linear_net_are_its_last_layer() -> None:
    net, theta, features, _ = classes(30, 4, 3)
    module = nn.Linear(4, 3).double()
    found = ggn.curvature(WholeNet(module), theta, features, Categorical(), "full")
    expected = last_layer.hessian(net, theta, features, Categorical())
    assert torch.allclose(dense(found, net.n_params), expected, atol=1e-9)


def test_kronecker_is_exact_where_all_points_have_the_same_probabilities() -> None:
    net, theta, features, _ = classes(50, 4, 3)
    theta = torch.zeros_like(theta)
    theta[-3:] = torch.tensor([0.5, -1.0, 0.2])  # a bias alone: probabilities differ between classes only
    found = dense(last_layer.kronecker(net, theta, features, Categorical()), net.n_params)
    assert torch.allclose(found, last_layer.hessian(net, theta, features, Categorical()), atol=1e-9)


def test_kronecker_has_the_trace_of_its_factors_and_stays_positive() -> None:
    net, theta, features, _ = classes(200, 6, 4)
    found = last_layer.kronecker(net, theta, features, Categorical())
    second = Categorical().hessian(net.outputs(theta[None], features)[0]).mean(0)
    assert torch.isclose(found.eigenvalues.sum(), second.trace() * net.augmented(features).square().sum())
    assert found.eigenvalues.min() >= 0


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal"])
def test_rotations_undo_each_other(structure: last_layer.Structure) -> None:
    net, theta, features, _ = classes(50, 4, 3)
    curvature = last_layer.curvature(net, theta, features, Categorical(), structure)
    z = torch.randn(7, net.n_params, generator=stream(), dtype=torch.float64)
    assert torch.allclose(curvature.rotate_back(curvature.rotate(z)), z, atol=1e-12)
    assert torch.allclose(curvature.rotate(z).norm(dim=1), z.norm(dim=1))
    variances = 1 / (curvature.eigenvalues + 2)
    covariance = dense(curvature, net.n_params, variances)
    assert torch.allclose(curvature.marginal(variances), covariance.diagonal())
    rows = LaplaceNormal(theta, curvature, 2.0).rows(torch.arange(net.n_params))
    assert torch.allclose(rows @ rows.T, covariance)


@pytest.mark.parametrize("likelihood", [Categorical(), Gaussian(0.7)])
def test_second_derivatives_in_the_outputs(likelihood: Categorical | Gaussian) -> None:
    n_outputs = 4 if isinstance(likelihood, Categorical) else 1
    outputs = torch.randn(5, n_outputs, generator=stream(), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 3, 0]) if n_outputs > 1 else torch.randn(5, generator=stream(1), dtype=torch.float64)
    found, root = likelihood.hessian(outputs), likelihood.root(outputs)
    for k in range(5):
        one = slice(k, k + 1)
        expected = torch.autograd.functional.hessian(
            lambda f, one=one: likelihood.nll(f[None], y[one]).sum(), outputs[k]
        )
        assert torch.allclose(found[k], expected, atol=1e-12)
    assert torch.allclose(root @ root.transpose(1, 2), found, atol=1e-12)


def test_full_eigendecomposition_gives_the_matrix_back() -> None:
    a = torch.randn(6, 4, generator=stream(), dtype=torch.float64)
    assert torch.allclose(dense(Full.of(a @ a.T), 6), a @ a.T, atol=1e-12)


@pytest.mark.parametrize("structure", ["full", "diagonal"])
@pytest.mark.parametrize("scope", ["last", "all"])
def test_curvature_agrees_with_laplace_torch(structure: last_layer.Structure, scope: str) -> None:
    laplace = pytest.importorskip("laplace")
    from torch.utils.data import DataLoader, TensorDataset

    net, _, features, labels = classes(400, 6, 4, dtype=torch.float32)
    torch.manual_seed(0)
    module = nn.Linear(6, 4) if scope == "last" else nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    theirs = laplace.Laplace(
        module, "classification", subset_of_weights="all", hessian_structure={"diagonal": "diag"}.get(structure, "full")
    )
    theirs.fit(DataLoader(TensorDataset(features, labels), batch_size=100))
    theta = flat(module.parameters())
    if scope == "last":
        ours = last_layer.curvature(net, theta, features, Categorical(), structure)
    else:
        assert structure != "kronecker"
        ours = ggn.curvature(WholeNet(module), theta, features, Categorical(), structure)
    found = dense(ours, len(theta)) if structure == "full" else ours.eigenvalues
    assert (found - theirs.H).abs().max() < 1e-4 * theirs.H.abs().max()
