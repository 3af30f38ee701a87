"""Generators, products with their Jacobians, and the entropy of what they generate, against dense computations."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import stream
from torch import Tensor, nn
from torch.distributions import Normal
from torch.func import jacrev, vmap

from bnnbench.bayes.batch_norms import recalibrated
from bnnbench.bayes.implicit import entropy
from bnnbench.bayes.implicit.avb import AVBParams, Opponents
from bnnbench.bayes.implicit.family import Family, Implicit
from bnnbench.bayes.implicit.generators import (
    Chain,
    Correlated,
    Dense,
    Independent,
    MatrixProduct,
    WeightGenerator,
    matrix_generator,
    perceptron,
)  # fmt: skip
from bnnbench.bayes.implicit.kivi import SMALLEST, density_ratio, ratio_at_draws
from bnnbench.bayes.implicit.livi import LIVIParams, Sampler, livi
from bnnbench.bayes.likelihood import Gaussian, LearnedNoise
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import WholeNet, evaluate
from bnnbench.bayes.prior import Isotropic

LENET = ((65, 65), (250, 250), (250, 250), (350, 127))
TRAIN = Train(torch.zeros(4, 1), torch.zeros(4), Gaussian(1.0))
PRIOR = Isotropic(1.0, torch.zeros(1))
MNIST_MLP = ((40, 40), (420, 420), (420, 420), (420, 420), (957, 500))


def made(kind: str, seed: int = 0) -> WeightGenerator:
    """A small generator of 23 weights in double precision."""
    torch.manual_seed(seed)
    matrices = [((2, 3), (4, 3), (3, 4)), ((2, 2), (3, 5))]
    generators: dict[str, WeightGenerator] = {
        "dense": perceptron(4, (6, 7), 23),
        "matrix": matrix_generator(((2, 3), (4, 4), (5, 5)), 23),
        "correlated": Correlated(((2, 2), (3, 4), (2, 6)), matrices, 23),
        "independent": Independent([matrix_generator(matrices[0], 12), perceptron(3, (5,), 11)]),
    }
    return generators[kind].double()


def noise(generator: WeightGenerator, n_draws: int = 3) -> Tensor:
    return torch.randn(n_draws, generator.n_noise, generator=stream(1), dtype=torch.float64)


def dense_jacobian(generator: WeightGenerator, z: Tensor) -> Tensor:
    """J [S, P, d] by automatic differentiation of every draw."""
    found: Tensor = vmap(jacrev(lambda one: generator.linearised(one[None]).theta[0]))(z)
    return found


KINDS = ("dense", "matrix", "correlated", "independent")


@pytest.mark.parametrize("kind", KINDS)
def test_products_with_the_jacobian(kind: str) -> None:
    generator = made(kind)
    z = noise(generator)
    at, jacobian = generator.linearised(z), dense_jacobian(generator, z)
    assert at.theta.shape == (3, 23)
    v = torch.randn(2, *z.shape, generator=stream(2), dtype=torch.float64)
    w = torch.randn(2, 3, 23, generator=stream(3), dtype=torch.float64)
    assert torch.allclose(at.push(v), torch.einsum("spd,ksd->ksp", jacobian, v))
    assert torch.allclose(at.pull(w), torch.einsum("spd,ksp->ksd", jacobian, w))
    assert torch.allclose(at.push(v[0]), at.push(v)[0])
    assert torch.allclose(at.jacobian(), jacobian.mT)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_do_not_see_each_other(kind: str) -> None:
    generator = made(kind)
    z = noise(generator)
    alone = torch.cat([generator.linearised(one[None]).theta for one in z])
    assert torch.allclose(generator.linearised(z).theta, alone)


def test_a_matrix_product_is_a_dense_map_of_vectors() -> None:
    """vec(L X R) = (L kron R^T) vec(X) for vectors made row by row."""
    torch.manual_seed(0)
    layer = MatrixProduct((3, 4), (5, 2)).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    weight, constant = torch.kron(layer.left, layer.right.T.contiguous()), layer.inner @ layer.right + layer.outer
    assert torch.allclose(layer(x).flatten(), weight @ x.flatten() + constant.flatten())
    assert layer.left.abs().max() <= 3**-0.5
    assert layer.outer.abs().max() <= 2**-0.5


@pytest.mark.parametrize(
    ("shapes", "n_weights", "n_parameters", "n_outputs"),
    [(LENET, 44_426, 612_450, 44_450), (MNIST_MLP, 478_410, 3_130_380, 478_500)],
)
def test_sizes_of_the_released_generators(
    shapes: tuple[tuple[int, int], ...], n_weights: int, n_parameters: int, n_outputs: int
) -> None:
    generator = matrix_generator(shapes, n_weights)
    assert sum(parameter.numel() for parameter in generator.parameters()) == n_parameters
    assert sum((o0 * i0 + o0 * i1 + i1 * o1 + o0 * o1) for (i0, i1), (o0, o1) in pairwise(shapes)) == n_parameters
    assert shapes[-1][0] * shapes[-1][1] == n_outputs
    assert sum(p.numel() for p in perceptron(60, (105,), 105).parameters()) == 17_535


def test_surplus_outputs_have_no_effect() -> None:
    generator = made("matrix")
    z = noise(generator)
    generator.linearised(z).push(z).sum().backward()
    assert isinstance(generator, Chain)
    last = generator.layers[-1]
    assert isinstance(last, MatrixProduct)
    generator.linearised(z).theta.sum().backward()
    assert last.outer.grad is not None
    assert (last.outer.grad.flatten()[23:] == 0).all()
    assert (last.outer.grad.flatten()[:23] != 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: matrix_generator(((2, 2),), 4), "shapes: 1 given"),
        (lambda: matrix_generator(((2, 2), (3, 3)), 10), "holds 9 of 10 weights"),
        (lambda: Correlated(((2, 2), (2, 2)), [((2, 3), (3, 3))], 9), "trunk: it gives 4"),
        (
            lambda: Correlated(((2, 2), (2, 3)), [((2, 3), (3, 3))], 10),
            "branches: the 1 hold 9 weights, and the net has 10",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


# ---- entropy


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_determinant_is_that_of_the_covariance_of_weights(kind: str) -> None:
    """log det(J J^T + sigma^2 I_P) = (P - d) log sigma^2 + log det(J^T J + sigma^2 I_d)."""
    generator, sigma = made(kind), 0.07
    z = noise(generator)
    jacobian = dense_jacobian(generator, z)
    covariance = jacobian @ jacobian.mT + sigma**2 * torch.eye(23, dtype=torch.float64)
    small = entropy.log_det(generator.linearised(z).jacobian(), sigma)
    rest = (23 - generator.n_noise) * torch.tensor(sigma, dtype=torch.float64).log()
    assert torch.allclose(rest + small, 0.5 * torch.logdet(covariance))
    jittered = 0.5 * torch.logdet(jacobian @ jacobian.mT + 1e-5 * torch.eye(23, dtype=torch.float64))
    assert torch.allclose(entropy.log_det_released(jacobian.mT), jittered)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.floats(1e-3, 1.0))
def test_the_bound_by_the_smallest_singular_value_is_below(seed: int, n_noise: int, sigma: float) -> None:
    torch.manual_seed(seed)
    at = perceptron(n_noise, (8,), 12).double().linearised(torch.randn(2, n_noise, dtype=torch.float64))
    jacobian = at.jacobian()
    smallest = torch.linalg.svdvals(jacobian)[:, -1]
    bound = entropy.smallest_value_bound(smallest, n_noise, sigma)
    assert (bound <= entropy.log_det(jacobian, sigma) + 1e-9).all()


def test_equal_singular_values_make_the_bound_an_equality() -> None:
    generator = perceptron(4, (), 9).double()
    layer = generator.layers[0]
    assert isinstance(layer, Dense)
    with torch.no_grad():
        layer.weight.copy_(3 * torch.linalg.qr(torch.randn(9, 4, dtype=torch.float64)).Q)
    jacobian = generator.linearised(noise(generator)).jacobian()
    smallest = torch.linalg.svdvals(jacobian)[:, -1]
    assert torch.allclose(entropy.smallest_value_bound(smallest, 4, 0.1), entropy.log_det(jacobian, 0.1))


def test_the_iteration_comes_down_to_the_smallest_singular_value() -> None:
    """From above, the better the longer, and within 1 % after 200 steps at d = 400."""
    torch.manual_seed(0)
    generator = matrix_generator(((20, 20), (100, 100), (100, 100), (120, 60)), 7200).double()
    at = generator.linearised(noise(generator, 2))
    exact = torch.linalg.svdvals(at.jacobian())[:, -1]
    start = entropy.random_directions(2, 400, stream(4), exact)
    estimates = [
        entropy.smallest_singular_value(at, entropy.towards_smallest(at, start, steps)) for steps in (0, 3, 12, 50, 200)
    ]
    for estimate in estimates:
        assert (estimate >= exact * (1 - 1e-9)).all()
    for longer, shorter in zip(estimates[1:], estimates, strict=False):
        assert (longer <= shorter * (1 + 1e-9)).all()
    assert torch.allclose(estimates[-1], exact, rtol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_the_singular_value(kind: str) -> None:
    generator = made(kind)
    z = noise(generator)
    at = generator.linearised(z)
    start = entropy.random_directions(3, generator.n_noise, stream(5), z)
    value = entropy.smallest_singular_value(at, entropy.towards_smallest(at, start, 300))
    own = torch.autograd.grad(value.sum(), tuple(generator.parameters()), allow_unused=True)
    exact = torch.linalg.svdvals(generator.linearised(z).jacobian())[:, -1]
    theirs = torch.autograd.grad(exact.sum(), tuple(generator.parameters()), allow_unused=True)
    assert torch.allclose(value, exact)
    for one, other in zip(own, theirs, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-6)


def test_a_warm_start_goes_on_where_the_last_iteration_ended() -> None:
    generator = made("matrix")
    at = generator.linearised(noise(generator))
    start = entropy.random_directions(3, generator.n_noise, stream(6), at.theta)
    once = entropy.towards_smallest(at, start, 8)
    twice = entropy.towards_smallest(at, entropy.towards_smallest(at, start, 4), 4)
    first, second = (entropy.smallest_singular_value(at, directions) for directions in (once, twice))
    assert torch.allclose(first, second, rtol=1e-6)


def test_the_released_form_agrees_where_the_noise_is_small() -> None:
    smallest = torch.tensor([0.5, 2.0], dtype=torch.float64)
    exact = entropy.smallest_value_bound(smallest, 7, 1e-4)
    assert torch.allclose(entropy.smallest_value_bound_released(smallest, 7, 1e-4), exact, rtol=1e-6)
    assert entropy.smallest_value_bound_released(torch.tensor([0.0]), 7, 0.1) < entropy.smallest_value_bound(
        torch.tensor([0.0]), 7, 0.1
    )


# ---- the method

MATRICES = {"kind": "matrices", "shapes": [[2, 3], [4, 4], [6, 5]]}
OPTIONS: dict[str, dict[str, Any]] = {
    "log-det": {},
    "smallest value": {"entropy": "smallest-value", "generator": MATRICES},
    "warm": {"entropy": "smallest-value", "warm_start": True},
    "released log-det": {"entropy": "released-log-det"},
    "released smallest value": {"entropy": "released-smallest-value"},
    "branches": {
        "entropy": "smallest-value",
        "generator": {"kind": "branches", "trunk": [[2, 2], [3, 4]], "branches": [[[2, 3], [4, 4]], [[2, 2], [3, 5]]]},
    },
    "separate": {"generator": {"kind": "separate", "parts": [[[2, 2], [4, 4]], [[2, 1], [3, 5]]]}},
    "released start": {"start": "zero"},
}


def curve() -> tuple[nn.Module, Train]:
    """A net of 22 weights and a learned noise, and points with a gap."""
    torch.manual_seed(0)
    x = torch.cat([torch.linspace(-1, -0.4, 32), torch.linspace(0.4, 1, 32)])[:, None]
    y = torch.sin(3 * x[:, 0]) + 0.1 * torch.randn(64, generator=stream())
    return nn.Sequential(nn.Linear(1, 7), nn.ELU(), nn.Linear(7, 1)), Train(x, y, LearnedNoise())


@pytest.mark.parametrize("name", OPTIONS)
def test_every_generator_and_entropy_learns(name: str) -> None:
    """The bound's terms but for the entropy fall, whatever the generator."""
    net, train = curve()
    train = replace(train, likelihood=Gaussian(0.2))
    errors = []
    for steps in (1, 300):
        options = {**OPTIONS[name], "prior_weight": 0.1, "entropy_weight": 0.1}
        training = {"steps": steps, "batch_size": 64, "learning_rate": 5e-3}
        posterior: Any = livi.fit(net, train, {**options, "training": training}, stream(1))
        outputs = evaluate(posterior.net, posterior.sample(50, stream(2)), train.x)
        errors.append(train.likelihood.nll(outputs, train.y).mean())
    assert errors[1] < 0.5 * errors[0]


def test_without_entropy_the_posterior_collapses() -> None:
    """What is left is the noise sigma; with it, functions spread several times as far where there are no data."""
    net, train = curve()
    gap = torch.linspace(-0.2, 0.2, 9)[:, None]
    spreads = []
    for name in ("none", "log-det"):
        options = {"entropy": name, "training": {"steps": 1500, "batch_size": 64, "learning_rate": 5e-3}}
        posterior: Any = livi.fit(net, train, options, stream(1))
        spreads.append(evaluate(posterior.net, posterior.sample(200, stream(2)), gap)[..., 0].std(0).mean())
    assert spreads[1] > 3 * spreads[0]


def test_a_generator_that_does_not_fit_the_net_is_named() -> None:
    net, train = curve()
    small = {"kind": "matrices", "shapes": [[2, 2], [3, 3]]}
    with pytest.raises(ValueError, match=r"shapes: the last one, \(3, 3\), holds 9 of 23 weights"):
        livi.fit(net, train, {"generator": small})


def test_batch_norms_take_the_statistics_of_every_draw() -> None:
    """In a fit those of the batch, and in predictions those of the training inputs."""
    train = replace(curve()[1], likelihood=Gaussian(0.2))
    normed = nn.Sequential(nn.Linear(1, 9), nn.BatchNorm1d(9, affine=False), nn.Tanh(), nn.Linear(9, 1))
    options = {"training": {"steps": 400, "batch_size": 32, "learning_rate": 5e-3}, "prior_weight": 0.1}
    posterior: Any = livi.fit(normed, train, options, stream(1))
    theta = posterior.sample(5, stream(2))
    predicted = posterior.predict(train.x, 5, stream(2))
    alone = recalibrated(posterior.net, theta[3], train.x).outputs(theta[3][None], train.x)
    assert torch.allclose(predicted.mean[3], alone[0, :, 0], atol=1e-5)
    assert (predicted.mean.mean(0) - train.y).square().mean() < 0.5 * train.y.var()


@pytest.mark.parametrize("form", ["smallest-value", "released-smallest-value"])
def test_independent_parts_have_the_sum_of_their_bounds(form: str) -> None:
    """Each with its own smallest singular value, which the iteration reaches in spaces of a few dimensions."""
    generator = made("independent")
    net = nn.Linear(22, 1).double()
    params = LIVIParams.model_validate({"entropy": form, "samples": 3, "iterations": 60, "sigma": 0.1})
    implicit = Implicit(generator, torch.zeros(23, dtype=torch.float64), 0.1, torch.zeros(0))
    own = Family(WholeNet(net), TRAIN, implicit, PRIOR)
    at = generator.linearised(noise(generator))
    found = Sampler(own, params, stream(4)).entropy_at(at, stream(5))
    bound = entropy.smallest_value_bound if form == "smallest-value" else entropy.smallest_value_bound_released
    expected = [bound(torch.linalg.svdvals(part.jacobian())[:, -1], part.jacobian().shape[1], 0.1) for part in at.parts]
    assert torch.allclose(found, torch.stack(expected).sum(0), rtol=1e-6)


def test_the_gradient_of_the_log_determinant() -> None:
    root = torch.randn(2, 3, 5, generator=stream(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: entropy.log_det(r, 0.3), (root,))


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_a_density_ratio_of_normals(shift: float) -> None:
    """Of N(0, 1) over N(shift, 0.8^2), where the latter has its mass; draws and ridge allow a fifth."""
    of = torch.randn(2000, 1, generator=stream(1), dtype=torch.float64)
    over = shift + 0.8 * torch.randn(2000, 1, generator=stream(2), dtype=torch.float64)
    x = torch.linspace(shift - 1, shift + 1, 21, dtype=torch.float64)[:, None]
    exact = torch.exp(Normal(0, 1).log_prob(x) - Normal(shift, 0.8).log_prob(x))[:, 0]
    ratio = density_ratio(of, over, 0.01)
    assert torch.allclose(ratio(x), exact, rtol=0.2)
    assert torch.allclose(ratio(over), ratio.at_over.clamp_min(SMALLEST), atol=1e-6)


@pytest.mark.parametrize("size", [20, 60])  # torch computes distances of more than 25 points in another way
def test_the_ratio_at_its_own_draws_is_the_fitted_function(size: int) -> None:
    of, over = torch.randn(30, 4, generator=stream(1)), torch.randn(size, 4, generator=stream(2)).requires_grad_()
    apart, together = density_ratio(of, over.detach(), 0.01)(over), ratio_at_draws(of, over, 0.01)
    assert torch.allclose(apart, together, rtol=1e-9)
    (expected,), (found,) = (torch.autograd.grad(ratio.log().sum(), over) for ratio in (apart, together))
    assert expected.abs().max() > 0
    assert torch.allclose(expected, found, rtol=1e-5)


def test_a_classifier_at_its_optimum_is_the_log_ratio() -> None:
    """Of weights N(1, 0.5^2) and prior draws N(0, 1), which a net of one hidden layer can tell apart."""
    torch.manual_seed(0)
    implicit = Implicit(perceptron(1, (), 1), torch.zeros(1), 0.1, torch.zeros(0))
    own = Family(WholeNet(nn.Linear(1, 1, bias=False)), TRAIN, implicit, PRIOR)
    opponents = Opponents(own, AVBParams(discriminator=(32,)))
    optimizer = torch.optim.Adam(opponents.discriminator.parameters(), 5e-3)
    for k in range(1500):
        drawn, prior = torch.randn(2, 256, 1, generator=stream(k))
        optimizer.zero_grad()
        opponents.error(1 + 0.5 * drawn, prior).backward()
        optimizer.step()
    x = torch.linspace(0, 2, 9)[:, None]
    exact = (Normal(1, 0.5).log_prob(x) - Normal(0, 1).log_prob(x))[:, 0]
    assert (opponents.log_ratio(x) - exact).abs().max() < 0.25


def test_independent_parts_have_the_sum_of_their_entropies() -> None:
    generator = made("independent")
    z = noise(generator)
    assert isinstance(generator, Independent)
    parts = [
        entropy.log_det(part.linearised(own).jacobian(), 0.1)  # type: ignore[operator]
        for part, own in zip(generator.parts, z.split(generator.noises, dim=1), strict=True)
    ]
    assert torch.allclose(torch.stack(parts).sum(0), entropy.log_det(generator.linearised(z).jacobian(), 0.1))
