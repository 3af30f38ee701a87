"""Pruning keeps what it must and does not depend on the order of hidden units; attacks follow the gradient."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from bnnbench.bayes.effective import retained_shares
from bnnbench.bayes.network import WholeNet, flat
from bnnbench.evaluation import attack, sparsity

S, H, P = 12, 4, 5


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_pruning_in_each_draw_drops_its_own_smallest(share: float) -> None:
    weights = draws(S, H, P)
    found = sparsity.pruned_per_draw(weights, share)
    for before, after in zip(weights.flatten(1), found.flatten(1), strict=True):
        dropped = after == 0
        assert int(dropped.sum()) == int(share * H * P + 1e-9)
        assert torch.equal(after[~dropped], before[~dropped])
        if dropped.any():
            assert before[dropped].abs().max() < before[~dropped].abs().min()


def test_one_mask_drops_the_same_weights_of_all_draws() -> None:
    weights = draws(S, H, P)
    weights[:, 2, 3] *= 1e-3  # small everywhere
    found = sparsity.pruned_by_one_mask(weights, 0.5)
    assert ((found == 0).all(0) == (found == 0).any(0)).all()
    assert (found[:, 2, 3] == 0).all()
    assert int((found[0] == 0).sum()) == 10


def outputs(first: Tensor, last: Tensor) -> Tensor:
    x = draws(7, P, seed=3)
    return torch.einsum("snh,sh->sn", torch.tanh(torch.einsum("np,shp->snh", x, first)), last)


def test_a_matched_mask_does_not_see_the_order_of_units() -> None:
    """Draws around one net, units permuted and their signs changed at random: the pruned functions are the same."""
    first, last = 3 * draws(1, H, P, seed=1) + 0.05 * draws(S, H, P), draws(S, H, seed=2)
    orders = torch.stack([torch.randperm(H, generator=Generator().manual_seed(s)) for s in range(S)])
    signs = draws(S, H, seed=4).sign()
    moved = (signs[..., None] * first).gather(1, orders[..., None].expand_as(first))
    moved_last = (signs * last).gather(1, orders)
    assert torch.allclose(outputs(first, last), outputs(moved, moved_last))
    one, other = (outputs(sparsity.pruned_by_matched_mask(a, 0.6), b) for a, b in ((first, last), (moved, moved_last)))
    assert torch.allclose(one, other)
    blind = outputs(sparsity.pruned_by_one_mask(moved, 0.6), moved_last)
    assert not torch.allclose(one, blind)
    in_order = outputs(sparsity.pruned_by_one_mask(first, 0.6), last)
    assert torch.allclose(one, in_order)  # units of `first` are in one order already


def test_inputs_are_ranked_by_their_weights() -> None:
    first, last = draws(S, H, P), draws(S, H, seed=1)
    first[..., [1, 4]] *= 10
    found = sparsity.input_scores(first, last)
    assert set(found.argsort()[-2:].tolist()) == {1, 4}
    assert sparsity.selection(found, (1, 4)) == 1.0
    # All active inputs last: precision is 1/4 and 2/5 where they are found.
    assert sparsity.selection(-found, (1, 4)) == pytest.approx(0.5 * (1 / 4 + 2 / 5))


def test_effective_parameters_are_the_trace_of_the_definition() -> None:
    x, weight, bias, output = draws(9, 3), draws(2, 4, 3), draws(2, 4, seed=1), draws(2, 4, seed=2)
    noise, scale = torch.tensor([0.3, 0.8], dtype=torch.float64), draws(2, 4, 3, seed=5).abs()
    found = retained_shares(x, weight, bias, output, noise, scale)
    for k in range(2):
        phi = torch.tanh(x @ weight[k].T + bias[k])
        slope = 1 - phi**2
        in_weight = torch.stack([output[k, h] * slope[:, h] * x[:, i] for h in range(4) for i in range(3)], dim=1)
        in_bias = slope * output[k]
        covariance = (
            phi @ phi.T + in_bias @ in_bias.T + torch.ones(9, 9) + noise[k] ** 2 * torch.eye(9, dtype=torch.float64)
        )
        data = in_weight.T @ torch.linalg.inv(covariance) @ in_weight
        prior = torch.diag(scale[k].flatten() ** -2)
        expected = torch.trace(torch.linalg.inv(prior + data) @ data)
        assert float(found[k].sum()) == pytest.approx(float(expected), rel=1e-9)
        assert (found[k].diff() <= 1e-12).all()


def classifier() -> tuple[WholeNet, Tensor]:
    net = WholeNet(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double())
    return net, torch.stack([flat(net.module.parameters()) + 0.5 * draws(net.n_params, seed=s) for s in range(3)])


def test_gradients_of_an_attack_are_finite_differences() -> None:
    net, theta = classifier()
    x, y = draws(5, 3), torch.tensor([0, 1, 1, 0, 1])
    found = attack.input_gradients(net, theta, x, y)

    def losses(x: Tensor) -> Tensor:
        log_probs = net.outputs(theta, x).log_softmax(-1).detach()
        return -log_probs.gather(2, y.expand(3, 5)[..., None])[..., 0]

    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = 1e-6
        expected = (losses(x + step) - losses(x - step)) / 2e-6
        assert torch.allclose(found[..., i], expected, atol=1e-8)


def test_each_draw_is_attacked_by_its_own_gradient() -> None:
    """A small step raises the loss of every draw; robustness counts what moves."""
    net, theta = classifier()
    x, y = draws(20, 3), torch.arange(20) % 2
    gradients = attack.input_gradients(net, theta, x, y)
    before, after = attack.attacked(net, theta, x, y, 1e-3, gradients)
    loss_before, loss_after = (-p.gather(2, y.expand(3, 20)[..., None]).log() for p in (before, after))
    assert (loss_after > loss_before).all()
    found = attack.robustness(before, after, {"all": 2.0, "none": 0.0})
    assert found["all"] == 1.0
    assert found["none"] == 0.0
    flipped = np.mean(
        [(b.argmax(-1) != a.argmax(-1)).float().mean().item() for b, a in zip(before, after, strict=True)]
    )
    assert found["flipped"] == pytest.approx(flipped)
