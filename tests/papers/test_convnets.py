"""The binarized paper's ConvNets: shapes, images, filters, packed inference, and the numbers derived from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate

from bnnbench.binary.layers import BinaryConv2d, BinaryLinear
from bnnbench.binary.optimize import binary_layers
from bnnbench.data.content import Images, Split
from bnnbench.harness.run import Run
from bnnbench.papers.binarized import filters, packing, preprocess, splits
from bnnbench.papers.binarized.experiments.convnets import cifar10_convnet
from bnnbench.papers.binarized.experiments.energy import Energy, energy
from bnnbench.papers.binarized.experiments.matmul import Matmul, matmul
from bnnbench.papers.binarized.experiments.runtime import ConvNetRuntime, MLPRuntime, convnet_runtime, mlp_runtime
from bnnbench.papers.binarized.networks import convnet
from bnnbench.papers.binarized.settings import ConvNet
from bnnbench.papers.binarized.splits import classification_splits

SMALL = {"dataset": "any", "maps": 5, "width": 20, "n_train": 60, "n_validation": 20, "epochs": 3, "batch_size": 16}


def images(n: int = 80, n_test: int = 30, side: int = 13, extra: int = 0) -> Images:
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        y = rng.integers(0, 10, count)
        x = rng.integers(0, 256, (count, side, side, 3)) // 2 + 12 * y[:, None, None, None]
        return Split(x.astype(np.uint8), y.astype(np.int64))

    parts = {"train": split(n), "test": split(n_test)} | ({"extra": split(extra)} if extra else {})
    return Images(parts, tuple("0123456789"))


def run(folder: Path, data: Images | None = None, seed: int = 0) -> Run:
    return Run(seed, "cpu", folder, lambda name: data, checkpoint_seconds=0)


@pytest.mark.parametrize(("maps", "weights", "macs"), [(128, 14_022_016, 616_900_000), (64, 6_397_632, 158_000_000)])
def test_the_published_nets_have_the_published_sizes(tmp_path: Path, maps: int, weights: int, macs: int) -> None:
    net = convnet((3, 32, 32), 10, ConvNet(dataset="any", maps=maps), run(tmp_path).generator)
    assert sum(layer.weight.numel() for layer in binary_layers(net)) == weights
    names = [type(module).__name__ for module in net]
    first = ["BinaryConv2d", "BatchNorm2d", "BinaryActivation"]
    second = ["BinaryConv2d", "MaxPool2d", "BatchNorm2d", "BinaryActivation"]
    dense = ["BinaryLinear", "BatchNorm1d", "BinaryActivation"]
    assert names == [*(first + second) * 3, "Flatten", *dense * 2, "BinaryLinear", "BatchNorm1d"]
    table = energy(Energy(net="convnet", maps=maps, width=1024), run(tmp_path)).metrics
    assert table["weights"] == weights
    assert table["macs"] == pytest.approx(macs, rel=0.01)


def test_the_energy_of_the_mlp_is_that_of_the_papers_prices(tmp_path: Path) -> None:
    table = energy(Energy(), run(tmp_path)).metrics
    assert table["weights"] == table["macs"] == 36_806_656
    assert table["arithmetic_float32"] == pytest.approx(36.8 * 4.6, rel=1e-3)
    assert table["dram_float32_low"] == pytest.approx(23.9e3, rel=2e-3)
    assert table["dram_float32_high"] == pytest.approx(47.9e3, rel=2e-3)
    assert table["dram_binary_high"] == pytest.approx(1.50e3, rel=4e-3)
    assert table["memory_float32"] == pytest.approx(147.2, abs=0.05)
    assert table["memory_binary"] == pytest.approx(4.60, abs=0.005)
    assert table["energy_ratio"] > 32


def test_real_and_shifted_nets_are_built_from_the_same_plan(tmp_path: Path) -> None:
    for change, layer, norm in (
        ({"weights": "float", "activation": "relu"}, torch.nn.Conv2d, "BatchNorm2d"),
        ({"norm": "shift"}, BinaryConv2d, "ShiftBatchNorm"),
    ):
        net = convnet((3, 8, 8), 10, ConvNet.model_validate({**SMALL, **change}), run(tmp_path).generator)
        assert isinstance(net[0], layer)
        assert type(net[1]).__name__ == norm
        assert type(net[-1]).__name__ == "BatchNorm1d"
        assert net(torch.randn(4, 3, 8, 8)).shape == (4, 10)


@pytest.mark.parametrize("preprocessing", ["scale", "standardize", "zca", "zca-twice", "gcn-zca", "gcn-lcn"])
def test_inputs_are_channels_first_and_seen_from_the_training_images(tmp_path: Path, preprocessing: str) -> None:
    params = ConvNet.model_validate({**SMALL, "preprocessing": preprocessing})
    data = images()
    found = classification_splits(params, run(tmp_path, data), images=True)
    x = found.to_input(found.x_train)
    assert x.shape == (60, 3, 13, 13)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    pixels = data.splits["train"].x[:60] / 255
    expected = _prepared(pixels, preprocessing)
    if expected is not None:
        assert np.allclose(x.permute(0, 2, 3, 1).numpy(), expected, atol=2e-4 * np.abs(expected).max())
    assert (found.pixels is not None) == (preprocessing in ("scale", "standardize"))
    # The same image gives the same input wherever it stands, unless its split is scaled by itself.
    if preprocessing != "gcn-lcn":
        again = found.to_input(found.x_train[7:8])
        assert torch.allclose(again, x[7:8], atol=1e-5)


def _prepared(x: NDArray[Any], preprocessing: str) -> NDArray[Any] | None:
    """The same in float64 NumPy, by another way: whitening through the singular values of the images."""
    if preprocessing == "scale":
        return 2 * x - 1
    if preprocessing == "standardize":
        return np.asarray((x - x.mean()) / x.std())
    if preprocessing not in ("zca", "gcn-zca"):
        return None
    flat = x.reshape(len(x), -1)
    if preprocessing == "gcn-zca":
        centred = flat - flat.mean(1, keepdims=True)
        flat = centred / np.sqrt(10 + centred.var(1, keepdims=True))
    centred = flat - flat.mean(0)
    u, s, vt = np.linalg.svd(centred / np.sqrt(len(x)), full_matrices=False)
    # Directions without variance are those in which the centred images have nothing.
    return np.asarray(np.sqrt(len(x)) * u * (s / np.sqrt(s**2 + 0.1)) @ vt).reshape(x.shape)


def test_whitened_images_are_nearly_uncorrelated() -> None:
    x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0)) @ torch.randn(6, 6)
    white = preprocess.whitening(x, bias=1e-8)(x)
    assert torch.allclose(white.T @ white / len(x), torch.eye(6), atol=1e-3)


def test_local_contrast_is_that_of_gaussian_windows() -> None:
    x = torch.rand(2, 3, 12, 11, generator=torch.Generator().manual_seed(0))
    at = np.arange(9) - 4
    line = np.exp(-(at**2) / (2 * 1.591**2))
    kernel = np.outer(line, line) / np.outer(line, line).sum()
    for image, found in zip(x.double().numpy(), preprocess.local_contrast(x).numpy(), strict=True):
        for channel, result in zip(image, found, strict=True):
            centred = channel - correlate(channel, kernel, mode="constant")
            deviation = np.sqrt(correlate(centred**2, kernel, mode="constant"))
            assert np.allclose(result, centred / np.maximum(deviation, deviation.mean()), atol=1e-4)


def test_svhn_validates_on_images_of_each_class_of_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "SVHN_VALIDATION", {"train": 3, "extra": 2})
    data = images(n=100, extra=90)
    params = ConvNet.model_validate({**SMALL, "n_train": 1000})
    found = classification_splits(params, run(tmp_path, data), images=True)
    assert torch.bincount(found.y_validation).tolist() == [5] * 10
    assert len(found.x_train) == 190 - 50
    everything = np.concatenate([data.splits["train"].x, data.splits["extra"].x])
    seen = np.concatenate([found.x_train.numpy(), found.x_validation.numpy()])
    assert sorted(map(bytes, everything)) == sorted(map(bytes, seen))
    few = classification_splits(params.model_copy(update={"n_train": 20}), run(tmp_path, data), images=True)
    assert torch.equal(few.x_train, found.x_train[:20])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"norm": "shift", "optimizer": "shift-adamax"},
        {"preprocessing": "standardize"},
        {"activation": "stochastic-sign"},
    ],
    ids=str,
)
def test_a_trained_convnet_on_bits_is_the_net(tmp_path: Path, change: dict[str, Any]) -> None:
    params = ConvNet.model_validate({**SMALL, **change})
    outcome = cifar10_convnet(params, run(tmp_path, images()))
    assert outcome.metrics["packed_disagreements"] == 0
    assert outcome.metrics["packed_disagreements_float32"] <= 1
    assert 0 < outcome.metrics["unique_filters"] <= 100


def test_another_net_on_bits_would_be_noticed(tmp_path: Path) -> None:
    params = ConvNet.model_validate(SMALL)
    found = classification_splits(params, run(tmp_path, images()), images=True)
    net = convnet(found.shape, 10, params, run(tmp_path).generator).eval()
    outputs = net(found.to_input(found.x_test)).detach()
    same = packing.agreement(net, found, outputs)
    assert same["packed_disagreements"] == same["packed_disagreements_float32"] == 0
    other = packing.agreement(net, found, outputs.roll(1, dims=1))
    assert other["packed_disagreements_float32"] == len(outputs)
    assert other["packed_disagreements"] == 0  # the net itself agrees


def test_a_packed_net_that_is_wrong_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = ConvNet.model_validate(SMALL)
    found = classification_splits(params, run(tmp_path, images()), images=True)
    net, another = (convnet(found.shape, 10, params, run(tmp_path, seed=seed).generator).eval() for seed in (0, 1))
    wrong = packing.packed(another, found)
    monkeypatch.setattr(packing, "packed", lambda *_: wrong)
    counts = packing.agreement(net, found, net(found.to_input(found.x_test)).detach())
    assert counts["packed_disagreements"] == counts["packed_disagreements_float32"] > 0


@pytest.mark.parametrize("optimizer", ["adam", "shift-adamax"])
def test_a_convnet_restored_from_any_epoch_gives_the_same_bits(tmp_path: Path, optimizer: str) -> None:
    params = ConvNet.model_validate({**SMALL, "optimizer": optimizer, "norm": "shift", "activation": "stochastic-sign"})
    data = images()
    torch.manual_seed(5)
    expected = cifar10_convnet(params, run(tmp_path / "whole", data))

    class Killed(Run):
        def checkpoint(self, step: int, state: Any) -> None:
            super().checkpoint(step, state)
            if step == 2:
                raise KeyboardInterrupt

    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        cifar10_convnet(params, Killed(0, "cpu", tmp_path / "killed", lambda name: data, checkpoint_seconds=0))
    assert cifar10_convnet(params, run(tmp_path / "killed", data)).metrics == expected.metrics


def test_patterns_are_the_signs_of_a_kernel() -> None:
    weight = torch.tensor([[[[0.5, -1.0, 0.0], [-0.1, -0.2, -0.3], [0.1, 0.2, -0.4]]]])
    assert filters.patterns(weight).tolist() == [[0b011000101]]


@pytest.mark.parametrize("inverses", [True, False])
def test_unique_kernels_are_counted_map_by_map(inverses: bool) -> None:
    weight = torch.randn(40, 6, 3, 3, generator=torch.Generator().manual_seed(1))
    weight[::2] = weight[0]
    weight[1::4] = -weight[0]
    fractions = []
    for j in range(6):
        kinds: set[tuple[int, ...]] = set()
        for kernel in np.where(weight[:, j].numpy() >= 0, 1, -1).reshape(40, 9):
            key = tuple(int(tap) for tap in kernel)
            if not (inverses and tuple(-tap for tap in key) in kinds):
                kinds.add(key)
        fractions.append(len(kinds) / 40)
    found = filters.unique_fraction(filters.patterns(weight), 9, inverses)
    assert found == pytest.approx(np.mean(fractions))


def test_chance_is_that_of_random_kernels() -> None:
    """The notes' values for 128, 256 and 512 maps, and random signs themselves (mean of 600 maps)."""
    expected = {(128, True): 78.8, (256, True): 63.3, (512, True): 43.3, (128, False): 88.6, (512, False): 63.2}
    for (maps, inverses), value in expected.items():
        assert 100 * filters.unique_by_chance(maps, 9, inverses) == pytest.approx(value, abs=0.06)
    weight = torch.randn(128, 600, 3, 3, generator=torch.Generator().manual_seed(0))
    for inverses in (True, False):
        found = filters.unique_fraction(filters.patterns(weight), 9, inverses)
        assert found == pytest.approx(filters.unique_by_chance(128, 9, inverses), abs=0.004)


def test_the_rate_decays_and_is_halved() -> None:
    params = ConvNet(dataset="any", epochs=10, learning_rate=0.4, learning_rate_ratio=0.01, halve_every=3)
    rates = [params.rate(epoch) for epoch in range(10)]
    assert rates == pytest.approx([0.4 * 0.01 ** (e / 10) / 2 ** (e // 3) for e in range(10)])
    assert params.model_copy(update={"halve_every": None}).rate(9) == pytest.approx(0.4 * 0.01**0.9)


def test_all_products_of_signs_agree(tmp_path: Path) -> None:
    metrics = matmul(Matmul(size=70, rounds=1), run(tmp_path)).metrics
    assert metrics["mismatches"] == 0
    assert metrics["xnor_over_library"] == pytest.approx(metrics["seconds_library"] / metrics["seconds_xnor"])


def test_what_is_timed_at_run_time_gives_the_nets_classes(tmp_path: Path) -> None:
    params = ConvNet.model_validate(SMALL)
    found = classification_splits(params, run(tmp_path, images()), images=True)
    net = convnet(found.shape, 10, params, run(tmp_path).generator)
    for module in net:
        if hasattr(module, "running_mean"):
            module.get_buffer("running_mean").normal_(0, 5, generator=torch.Generator().manual_seed(0))
    net.eval()
    classes = net(found.to_input(found.x_test)).argmax(1).numpy()
    assert np.array_equal(np.asarray(packing.library(net, found, found.x_test)()), classes)
    assert np.array_equal(np.asarray(packing.on_bits(net, found, found.x_test)()), classes)


@pytest.mark.parametrize("kind", ["mlp", "convnet"])
def test_run_times_are_reported_beside_agreement(tmp_path: Path, kind: str) -> None:
    small: Mapping[str, Any] = {**SMALL, "epochs": 1, "n_images": 20, "rounds": 1}
    if kind == "mlp":
        values = {name: value for name, value in small.items() if name != "maps"}
        outcome = mlp_runtime(MLPRuntime.model_validate({**values, "n_naive": 10}), run(tmp_path, images()))
        assert outcome.metrics["seconds_baseline"] > 0
    else:
        outcome = convnet_runtime(ConvNetRuntime.model_validate(small), run(tmp_path, images()))
        assert "seconds_baseline" not in outcome.metrics
    metrics = outcome.metrics
    assert metrics["packed_disagreements"] == 0
    assert metrics["xnor_over_library"] == pytest.approx(metrics["seconds_library"] / metrics["seconds_xnor"])


def test_the_naive_kernels_give_the_nets_classes(tmp_path: Path) -> None:
    from bnnbench.papers.binarized.networks import mlp
    from bnnbench.papers.binarized.settings import MLP

    params = MLP.model_validate({"dataset": "any", "width": 30, "n_train": 60, "n_validation": 20})
    found = classification_splits(params, run(tmp_path, images()), images=False)
    net = mlp(3 * 13 * 13, 10, params, run(tmp_path).generator).eval()
    assert any(isinstance(module, BinaryLinear) for module in net)
    classes = net(found.to_input(found.x_test)).argmax(1).numpy()
    assert np.array_equal(np.asarray(packing.naive(net, found, found.x_test)()), classes)
