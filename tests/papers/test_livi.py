"""The LIVI paper's own parts: its data, its nets and generators, and what is measured of weights."""

import numpy as np
import pytest
import torch
from problems import stream
from torch import nn

from bnnbench.bayes.implicit.generators import WeightGenerator
from bnnbench.bayes.implicit.livi import LIVIParams
from bnnbench.bayes.network import WholeNet
from bnnbench.data.synthetic import LONGEST, two_clusters, waves
from bnnbench.evaluation.dependence import across_layers, layer_sizes
from bnnbench.evaluation.networks import image_net
from bnnbench.harness import paper
from bnnbench.metrics.modes import n_modes
from bnnbench.papers.livi.experiments.scaling import activations, net_of
from bnnbench.papers.livi.settings import NETS


def counted(metric: str) -> dict[str, float]:
    """What the authors' code has of each net, as published."""
    rows = paper.get("livi").published()
    return {row.variant: row.compared for row in rows if row.metric == metric and row.compared is not None}


def made(name: str) -> WeightGenerator:
    """The generator of a net's weights, as the experiment `scaling` declares it."""
    variants = paper.get("livi").spec.experiments["scaling"].variants
    params = LIVIParams.model_validate({"generator": variants[name]["generator"]})
    return params.generator.made(int(counted("n_weights")[name]))


def test_the_toy_data_are_those_of_the_authors_code() -> None:
    """70 even points on both sides of a gap; the noise is of standard deviation 0.3 around the function."""
    points = two_clusters(0)
    assert points.x.shape == (70, 1)
    assert np.abs(points.x).max() == pytest.approx(1.0)
    assert np.abs(points.x).min() == pytest.approx(0.61 / 1.28)
    assert (points.x < 0).sum() == 38
    assert np.allclose(points.clean, waves(LONGEST * points.x[:, 0]))
    errors = np.concatenate([two_clusters(seed).y - two_clusters(seed).clean for seed in range(40)])
    assert errors.std() == pytest.approx(0.3, rel=0.05)
    assert waves(np.array([0.125])) == pytest.approx(0.125 + 0.8 * np.sin(np.pi / 4) + 0.8)


def test_nets_have_as_many_weights_as_the_authors_code() -> None:
    assert {name: sum(part.numel() for part in net_of(name).parameters()) for name in NETS} == counted("n_weights")


@pytest.mark.parametrize(("name", "tolerance"), [("lenet", 0.0), ("mlp", 0.0), ("wrn-28-10", 0.005)])
def test_generators_hold_all_weights_and_come_near_the_authors_totals(name: str, tolerance: float) -> None:
    with torch.device("meta"):
        generator = made(name)
    total = sum(parameter.numel() for parameter in generator.parameters())
    assert abs(total / counted("n_parameters")[name] - 1) <= tolerance
    assert generator.n_outputs == counted("n_weights")[name]


def test_activations_are_the_outputs_of_all_layers() -> None:
    assert activations(made("lenet")) == 2 * 250 * 250 + 350 * 127


def test_layers_of_a_net_hold_all_its_weights() -> None:
    net = image_net("lenet", (1, 28, 28), 10, 0)
    sizes = layer_sizes(WholeNet(net))
    assert sizes == [156, 2416, 30_840, 10_164, 850]
    assert sum(sizes) == counted("n_weights")["lenet"]
    normed = WholeNet(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4))))
    assert layer_sizes(normed) == [6, 16, 8]


def test_correlations_across_layers_of_normal_weights() -> None:
    """Of weights with correlation 0.6 between two layers and none within, whatever the sizes of the layers."""
    shared = torch.randn(4000, 1, generator=stream(1))
    first = 0.6**0.5 * shared + 0.4**0.5 * torch.randn(4000, 3, generator=stream(2))
    second = 0.6**0.5 * shared + 0.4**0.5 * torch.randn(4000, 50, generator=stream(3))
    together, apart = across_layers(torch.cat([first, second], 1), [3, 50], stream(4))
    assert together == pytest.approx(0.6, abs=0.02)
    assert apart == pytest.approx((2 / np.pi / 4000) ** 0.5, abs=0.01)
    alone = torch.randn(4000, 53, generator=stream(5))
    assert across_layers(alone, [3, 50], stream(4))[0] < 0.02
    assert across_layers(torch.zeros(50, 53), [3, 50], stream(4)) == (0.0, 0.0)


def test_pairs_are_never_within_a_layer() -> None:
    """Two layers, each with a number of its own that all its weights are."""
    values = torch.randn(2000, 2, generator=stream(6))
    draws = torch.cat([values[:, :1].expand(-1, 4), values[:, 1:].expand(-1, 7)], 1)
    assert across_layers(draws, [4, 7], stream(4))[0] < 0.06


def test_modes_of_known_densities() -> None:
    """A normal, two normals far apart, three, a uniform, a small side peak, and a constant."""
    noise = torch.randn(2000, 6, generator=stream(7), dtype=torch.float64)
    kind = torch.randint(3, (2000,), generator=stream(8))
    noise[:, 1] += 6.0 * (kind > 0)
    noise[:, 2] += 7.0 * kind
    noise[:, 3] = torch.rand(2000, generator=stream(9), dtype=torch.float64)
    noise[:40, 4] += 9.0  # two per cent, below the prominence that counts
    noise[:, 5] = 1.0
    assert n_modes(noise).tolist() == [1, 2, 3, 1, 1, 1]
    assert n_modes(-3 * noise + 100).tolist() == [1, 2, 3, 1, 1, 1]


@pytest.mark.parametrize("affine", [True, False])
def test_a_wide_resnet_computes_without_parameters_of_batch_norms(affine: bool) -> None:
    net = image_net("wrn-10-1", (3, 32, 32), 10, 0, affine=affine)
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    assert all((norm.weight is not None) == affine for norm in norms)
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
