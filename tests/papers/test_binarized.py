"""The splits and the training loop of the binarized paper."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy_bnn import NumpyBNN, hinge

from bnnbench.binary.layers import BinaryActivation, BinaryLinear
from bnnbench.binary.optimize import binary_layers
from bnnbench.data.content import Images, Split
from bnnbench.harness import history
from bnnbench.harness.run import Run
from bnnbench.harness.seeds import derive
from bnnbench.papers.binarized.experiments.mnist_mlp import mnist_mlp
from bnnbench.papers.binarized.networks import mlp
from bnnbench.papers.binarized.settings import MLP
from bnnbench.papers.binarized.splits import Splits, classification_splits
from bnnbench.papers.binarized.training import train


def images(n_train: int, n_test: int = 40) -> Images:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        y = np.arange(n, dtype=np.int64) % 10
        x = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        x[np.arange(n), y] = 255  # a row that tells the class
        return Split(x, y)

    return Images({"train": split(n_train), "test": split(n_test)}, tuple("0123456789"))


def run(folder: Path, data: Images, seed: int = 0) -> Run:
    return Run(seed, "cpu", folder, lambda name: data, checkpoint_seconds=0)


def test_splits_are_the_papers(tmp_path: Path) -> None:
    data = images(100)
    splits = classification_splits(MLP(n_train=60, n_validation=30), run(tmp_path, data), images=False)
    pixels = data.splits["train"].x.reshape(100, 784).astype(np.float32) / 255 * 2 - 1
    assert np.allclose(splits.to_input(splits.x_train).numpy(), pixels[:60], atol=1e-6)
    assert np.allclose(splits.to_input(splits.x_validation).numpy(), pixels[70:], atol=1e-6)
    assert len(splits.x_test) == 40
    assert not splits.warnings


@pytest.mark.parametrize("n", [20, 21, 59])
def test_a_small_data_set_is_split_without_overlap_and_with_a_warning(tmp_path: Path, n: int) -> None:
    data = images(n)
    splits = classification_splits(MLP(n_train=50, n_validation=10), run(tmp_path, data), images=False)
    assert len(splits.x_train) + len(splits.x_validation) == n
    assert len(splits.x_validation) == n // 4
    assert splits.warnings == [
        f"the data set has {n} training images, not 50 + 10: {n - n // 4} train, {n // 4} validate"
    ]


PARAMS = MLP(
    width=24, depth=2, dropout_input=0.1, dropout_hidden=0.1, n_train=200, n_validation=50, epochs=6, batch_size=16,
    activation="stochastic-sign",
)  # fmt: skip


def test_training_restored_from_any_epoch_gives_the_same_bits(tmp_path: Path) -> None:
    data = images(250)
    torch.manual_seed(5)
    expected = mnist_mlp(PARAMS, run(tmp_path / "whole", data))
    for epoch in (1, 4):
        folder = tmp_path / f"killed-{epoch}"
        torch.manual_seed(5)

        class Killed(Run):
            def checkpoint(self, step, state):  # type: ignore[no-untyped-def]
                super().checkpoint(step, state)
                if step == epoch:  # noqa: B023
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            mnist_mlp(PARAMS, Killed(0, "cpu", folder, lambda name: data, checkpoint_seconds=0))
        torch.manual_seed(99)  # the restored stream must win
        found = mnist_mlp(PARAMS, run(folder, data))
        assert found.metrics == expected.metrics
        assert found.tables == expected.tables


def test_the_test_error_is_that_of_the_best_validation_epoch(tmp_path: Path) -> None:
    data = images(250)
    outcome = mnist_mlp(PARAMS, run(tmp_path, data))
    rows = history.read(tmp_path / "history.jsonl").rows
    errors = [row["validation_error"] for row in rows]
    assert len(errors) == 6
    assert outcome.metrics["validation_error"] == min(errors)
    assert outcome.metrics["best_epoch"] == max(i for i, error in enumerate(errors, 1) if error == min(errors))
    first = next(i for i, error in enumerate(errors, 1) if error <= min(errors) + 1)
    assert outcome.metrics["epochs_to_converge"] == first
    counts = np.array(outcome.tables["confusion"]["count"]).reshape(10, 10)
    assert counts.sum() == 40
    assert outcome.metrics["test_error"] == pytest.approx(100 * (1 - np.trace(counts) / 40))


def test_latent_weights_leave_the_clip_only_without_it(tmp_path: Path) -> None:
    data = images(250)
    params = {**PARAMS.model_dump(), "activation": "sign", "epochs": 3}
    saved: dict[str, float] = {}
    for clip in ("latent", "none"):

        class Keeping(Run):
            def checkpoint(self, step, state):  # type: ignore[no-untyped-def]
                weights = [
                    value for name, value in state()["net"].items() if name.endswith("weight") and value.ndim == 2
                ]
                saved[clip] = max(weight.abs().max().item() for weight in weights)  # noqa: B023

        mnist_mlp(MLP(**{**params, "clip": clip}), Keeping(0, "cpu", tmp_path / clip, lambda name: data))
    assert saved["latent"] == 1.0
    assert saved["none"] > 1.0


def test_a_loss_that_is_not_finite_is_a_divergence(tmp_path: Path) -> None:
    from bnnbench.errors import Diverged

    data = images(250)
    params = MLP(**{**PARAMS.model_dump(), "weights": "float", "activation": "relu", "learning_rate": 1e38})
    with pytest.raises(Diverged, match=r"is (nan|inf)"):
        mnist_mlp(params, run(tmp_path, data))


def test_the_whole_training_is_the_papers(tmp_path: Path) -> None:
    """Three epochs with incomplete batches, exponential decay, evaluation and choice, against NumPy in float64."""
    sizes = [(11, 9), (11, 11), (6, 11)]
    generator = np.random.default_rng(3)
    n_train, n_validation, n_test, batch, epochs = 53, 40, 30, 10, 3
    centres = generator.normal(size=(6, 9))

    def part(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = generator.integers(0, 6, n)
        return torch.from_numpy(centres[y] + 0.7 * generator.normal(size=(n, 9))), torch.from_numpy(y)

    splits = Splits(*part(n_train), *part(n_validation), *part(n_test), n_classes=6)
    layers: list[torch.nn.Module] = []
    for fan_out, fan_in in sizes:
        layers += [BinaryLinear(fan_in, fan_out), torch.nn.BatchNorm1d(fan_out, eps=1e-4), BinaryActivation()]
    net = torch.nn.Sequential(*layers[:-1]).double()
    weights = [generator.uniform(-1, 1, size) for size in sizes]
    for layer, weight in zip(binary_layers(net), weights, strict=True):
        layer.weight.data = torch.from_numpy(weight.copy())
    params = MLP(epochs=epochs, batch_size=batch, learning_rate=0.02, learning_rate_ratio=0.1)
    found = train(net, splits, params, Run(7, "cpu", tmp_path, lambda name: None))

    reference = NumpyBNN(weights)
    order = torch.Generator().manual_seed(derive(7, "batches"))
    best, chosen = 101.0, {}
    rows = history.read(tmp_path / "history.jsonl").rows
    for epoch in range(epochs):
        indices = torch.randperm(n_train, generator=order).numpy()
        losses = []
        for start in range(0, n_train - batch + 1, batch):
            x, y = (t.numpy()[indices[start : start + batch]] for t in (splits.x_train, splits.y_train))
            losses.append(reference.training_loss(x, y))
            reference.step(x, y, 0.02 * 0.1 ** (epoch / epochs))
        outputs = reference.outputs(splits.x_validation.numpy())
        error = 100 * np.mean(outputs.argmax(1) != splits.y_validation.numpy())
        if error <= best:
            test = reference.outputs(splits.x_test.numpy()).argmax(1) != splits.y_test.numpy()
            best, chosen = error, {"test_error": 100 * test.mean(), "best_epoch": epoch + 1}
        assert rows[epoch]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-6)  # summed in float32
        assert rows[epoch]["validation_error"] == pytest.approx(error)
        assert rows[epoch]["validation_loss"] == pytest.approx(hinge(outputs, splits.y_validation.numpy()), rel=1e-9)
    assert found.metrics["test_error"] == pytest.approx(chosen["test_error"])
    assert found.metrics["best_epoch"] == chosen["best_epoch"]
    saturated = np.concatenate([np.abs(weight).ravel() > 0.99 for weight in reference.weights]).mean()
    assert found.metrics["saturated"] == pytest.approx(100 * saturated)


Curve = list[tuple[float, float]]


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Curve, Mapping[str, float]]:
    return trained(tmp_path_factory.mktemp("unchanged"), {})


def trained(folder: Path, change: dict[str, object]) -> tuple[Curve, Mapping[str, float]]:
    """Losses by epoch, and metrics, of the same training with one parameter changed."""
    torch.manual_seed(0)
    values = {**PARAMS.model_dump(), "learning_rate": 0.03}  # large enough for latent weights to reach the clip
    outcome = mnist_mlp(MLP.model_validate({**values, **change}), run(folder, images(250)))
    rows = history.read(folder / "history.jsonl").rows
    return [(row["train_loss"], row["validation_loss"]) for row in rows], outcome.metrics


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "float"},
        {"weights": "stochastic"},
        {"activation": "relu"},
        {"activation": "hardtanh"},
        {"activation": "sign"},
        {"gradient_mask": False},
        {"scale_learning_rate": False},
        {"clip": "none"},
        {"clip": "all"},
        {"norm": "shift"},
        {"norm": "shift-paper"},
        {"optimizer": "shift-adamax"},
        {"optimizer": "shift-adamax-paper"},
        {"scale_gammas": True},
        {"round_scale": True},
        {"halve_every": 2},
        {"preprocessing": "standardize"},
        {"preprocessing": "zca"},
        {"width": 25},
        {"depth": 3},
        {"dropout_input": 0.3},
        {"dropout_hidden": 0.3},
        {"n_train": 190},
        {"n_validation": 45},
        {"batch_size": 17},
        {"learning_rate": 0.004},
        {"learning_rate_ratio": 1e-3},
    ],
    ids=str,
)
def test_every_parameter_has_an_effect(
    unchanged: tuple[Curve, Mapping[str, float]], tmp_path: Path, change: dict[str, object]
) -> None:
    curve, metrics = trained(tmp_path, change)
    assert curve != unchanged[0]
    assert metrics != unchanged[1]


def test_inputs_and_labels_belong_together(tmp_path: Path) -> None:
    data = images(100)
    splits = classification_splits(MLP(n_train=60, n_validation=30), run(tmp_path, data), images=False)
    for x, y in (
        (splits.x_train, splits.y_train),
        (splits.x_validation, splits.y_validation),
        (splits.x_test, splits.y_test),
    ):
        rows = splits.to_input(x).view(-1, 28, 28).eq(1.0).all(dim=2)  # the white row that tells the class
        assert torch.equal(rows.double().argmax(dim=1), y)


def test_the_net_is_built_as_the_paper_orders_it(tmp_path: Path) -> None:
    params = MLP(width=7, depth=2, gradient_mask=False)
    net = mlp(5, 3, params, run(tmp_path, images(20)).generator)
    block = ["BinaryLinear", "BatchNorm1d", "BinaryActivation", "Dropout"]
    assert [type(module).__name__ for module in net] == ["Dropout", *block, *block, "BinaryLinear", "BatchNorm1d"]
    assert [module.p for module in net if isinstance(module, torch.nn.Dropout)] == [0.2, 0.5, 0.5]
    norms = [module for module in net if isinstance(module, torch.nn.BatchNorm1d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-4, 0.1)}
    assert [module.mask for module in net if isinstance(module, BinaryActivation)] == [False, False]
