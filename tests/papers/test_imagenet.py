"""The ImageNet experiment on pictures made here: splits, schedule, training, resumption."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bnnbench.data import ImageFolder, ImageFolders
from bnnbench.errors import DataError, Diverged, UserError
from bnnbench.harness import history
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.experiments.imagenet import imagenet
from bnnbench.papers.binarized.imagenet.settings import ImageNet
from bnnbench.papers.binarized.imagenet.splits import photo_splits
from bnnbench.papers.binarized.imagenet.training import learning_rate

TIMES = ("time", "images_per_second")
SMALL: dict[str, Any] = {
    "inflation": 1, "width": 0.03, "first_stride": 2, "resize": 40, "crop": 36, "epochs": 3, "batch_size": 8,
    "decode_workers": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ImageFolders:
    """Four classes in the list, of which three have training images: their mean colour tells the class."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    classes = ("n01", "n02", "n03", "n04")

    def split(name: str, labels: list[int]) -> ImageFolder:
        paths = []
        for i, label in enumerate(labels):
            paths.append(folder / f"{name}-{i:02}.png")
            colour = 40 + 160 * np.array([label & 1, label & 2, label == 3], dtype=bool)
            Image.fromarray((colour + rng.integers(-40, 40, (40, 44, 3))).astype(np.uint8)).save(paths[-1])
        return ImageFolder(tuple(paths), np.array(labels, np.int64), classes)

    return ImageFolders({"train": split("train", [0] * 9 + [2] * 9 + [3] * 9), "test": split("test", [0, 1, 2, 3] * 5)},
                        classes)  # fmt: skip


def run(folder: Path, data: ImageFolders, kind: type[Run] = Run) -> Run:
    return kind(0, "cpu", folder, lambda name: data, checkpoint_seconds=0)


def curves(folder: Path) -> list[dict[str, float]]:
    rows = history.read(folder / "history.jsonl").rows
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def numbers(metrics: Any) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in TIMES}


def test_classes_without_training_images_are_left_out(pictures: ImageFolders) -> None:
    splits = photo_splits(pictures, "some")
    assert splits.n_classes == 3
    assert splits.train.classes == ("n01", "n03", "n04")
    assert splits.train.labels.tolist() == [0] * 9 + [1] * 9 + [2] * 9
    assert splits.test.labels.tolist() == [0, 1, 2] * 5
    kept = [i for i in range(20) if i % 4 != 1]
    assert splits.test.paths == tuple(pictures.splits["test"].paths[i] for i in kept)
    assert splits.warnings == ["3 of 4 classes have training images; the others are left out"]


def test_splits_are_thinned_evenly_and_need_validation_images(pictures: ImageFolders) -> None:
    splits = photo_splits(pictures, "some", most=6)
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    alone = photo_splits(ImageFolders({"test": pictures.splits["test"]}, pictures.classes), "some")
    assert alone.train.paths == alone.test.paths
    assert "measure nothing" in alone.warnings[0]
    with pytest.raises(DataError, match="some: no validation images"):
        photo_splits(ImageFolders({"train": pictures.splits["train"]}, pictures.classes), "some")


def test_the_schedule_is_stretched() -> None:
    published = ImageNet()
    rates = [learning_rate(published, epoch) for epoch in range(50)]
    assert rates == [5e-3] * 20 + [1e-3] * 10 + [5e-4] * 5 + [1e-4] * 5 + [1e-5] * 10
    assert [learning_rate(ImageNet(epochs=10), epoch) for epoch in range(10)] == rates[::5]
    larq = ImageNet(epochs=150, schedule_epochs=150, schedule=tuple((10.0 * i, 0.01 / 2**i) for i in range(15)))
    assert [learning_rate(larq, epoch) for epoch in range(150)] == [0.01 / 2 ** (e // 10) for e in range(150)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 300}, "crop 300 does not fit into images resized to 256"),
        ({"schedule": ((1, 0.1),)}, "schedule must start at epoch 0"),
        ({"schedule": ((0, 0.1), (5, 0.2), (5, 0.3))}, "schedule must start at epoch 0 and go upwards"),
    ],
)
def test_impossible_parameters_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageNet.model_validate(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 28}, "batch_size 28 is more than the 27 training images"),
        ({"precision": "bfloat16"}, "bfloat16 needs a GPU"),
    ],
)
def test_impossible_runs_are_refused(
    pictures: ImageFolders, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        imagenet(ImageNet.model_validate({**SMALL, **change}), run(tmp_path, pictures))


@pytest.mark.parametrize(("net", "steps"), [("alexnet", (1, 3, 5)), ("googlenet", (3,))])
def test_training_restored_in_the_middle_of_an_epoch_gives_the_same_bits(
    pictures: ImageFolders, tmp_path: Path, net: str, steps: tuple[int, ...]
) -> None:
    params = ImageNet(**{**SMALL, "net": net})
    expected = imagenet(params, run(tmp_path / "whole", pictures))
    for step in steps:

        class Killed(Run):
            def checkpoint(self, at, state):  # type: ignore[no-untyped-def]
                super().checkpoint(at, state)
                if at == step:  # noqa: B023
                    raise KeyboardInterrupt

        folder = tmp_path / f"killed-{step}"
        with pytest.raises(KeyboardInterrupt):
            imagenet(params, run(folder, pictures, Killed))
        found = imagenet(params, run(folder, pictures))
        assert numbers(found.metrics) == numbers(expected.metrics)
        assert curves(folder) == curves(tmp_path / "whole")


def test_a_real_valued_net_learns_the_colours(pictures: ImageFolders, tmp_path: Path) -> None:
    changes = {"weights": "float", "activation": "relu", "width": 0.1, "epochs": 20, "schedule": ((0, 0.003),)}
    outcome = imagenet(ImageNet.model_validate({**SMALL, **changes}), run(tmp_path, pictures))
    assert outcome.metrics["top1_accuracy"] > 90
    assert outcome.metrics["top5_accuracy"] == 100
    assert outcome.metrics["best_top1_accuracy"] == max(row.get("top1_accuracy", 0) for row in curves(tmp_path))


FAST = {**SMALL, "schedule": ((0, 0.05), (20, 0.005))}  # fast enough for latent weights to reach the clip


@pytest.fixture(scope="module")
def unchanged(pictures: ImageFolders, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    folder = tmp_path_factory.mktemp("unchanged")
    imagenet(ImageNet.model_validate(FAST), run(folder, pictures))
    return curves(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "float"},
        {"activation": "relu"},
        {"activation": "hardtanh"},
        {"net": "googlenet"},
        {"inflation": 2},
        {"width": 0.05},
        {"first_stride": 1},
        {"latent_init": "glorot"},
        {"scale_learning_rate": False},
        {"clip": False},
        {"loss": "squared-hinge"},
        {"resize": 44},
        {"max_images": 20},
        {"schedule": ((0, 0.05), (40, 0.005))},
        {"schedule_epochs": 20},
        {"batch_size": 9},
        {"precision": "float64"},
    ],
    ids=str,
)
def test_every_parameter_has_an_effect(
    pictures: ImageFolders, unchanged: list[dict[str, float]], tmp_path: Path, change: dict[str, Any]
) -> None:
    imagenet(ImageNet.model_validate({**FAST, **change}), run(tmp_path, pictures))
    assert curves(tmp_path) != unchanged


def test_decoding_workers_change_nothing(pictures: ImageFolders, tmp_path: Path) -> None:
    for workers in (0, 2):
        imagenet(ImageNet(**{**SMALL, "decode_workers": workers}), run(tmp_path / str(workers), pictures))
    assert curves(tmp_path / "0") == curves(tmp_path / "2")


def test_auxiliary_classifiers_train_along(pictures: ImageFolders, tmp_path: Path) -> None:
    large = {**SMALL, "net": "googlenet", "resize": 80, "crop": 80, "epochs": 1, "max_images": 8}
    for auxiliary in (True, False):
        params = ImageNet(**{**large, "auxiliary": auxiliary})
        imagenet(params, run(tmp_path / str(auxiliary), pictures))
    with_them, without = curves(tmp_path / "True")[0]["train_loss"], curves(tmp_path / "False")[0]["train_loss"]
    assert with_them > 1.3 * without


def test_a_loss_that_is_not_finite_is_a_divergence(pictures: ImageFolders, tmp_path: Path) -> None:
    params = {**SMALL, "weights": "float", "activation": "relu", "schedule": ((0, 1e38),)}
    with pytest.raises(Diverged, match=r"train_loss is (nan|inf)"):
        imagenet(ImageNet(**params), run(tmp_path, pictures))


def test_a_net_that_its_last_step_ruined_has_no_accuracy(pictures: ImageFolders, tmp_path: Path) -> None:
    params = {**SMALL, "weights": "float", "activation": "relu", "schedule": ((0, 1e38),), "batch_size": 27}
    with pytest.raises(Diverged, match=r"outputs of validation images are not finite after epoch 1"):
        imagenet(ImageNet(**{**params, "epochs": 1}), run(tmp_path, pictures))


def test_latent_weights_are_clipped(pictures: ImageFolders, tmp_path: Path) -> None:
    found: list[float] = []

    class Keeping(Run):
        def checkpoint(self, at, state):  # type: ignore[no-untyped-def]
            found.append(state()["net"]["0.weight"].abs().max().item())

    imagenet(ImageNet(**{**SMALL, "schedule": ((0, 0.05),)}), run(tmp_path, pictures, Keeping))
    assert max(found) == 1.0
    assert torch.get_default_dtype() == torch.float32


def test_training_is_the_loop_that_the_parameters_describe(pictures: ImageFolders, tmp_path: Path) -> None:
    """Against a loop written out with PyTorch's own layers in float64: normalisation, rates, Adam, evaluation."""
    from torch import nn

    from bnnbench.data.batches import EVALUATION, Photographs
    from bnnbench.data.views import View
    from bnnbench.harness.seeds import derive

    schedule = ((0, 0.01), (25, 0.001))
    changes = {"weights": "float", "activation": "hardtanh", "precision": "float64", "schedule": schedule}
    outcome = imagenet(ImageNet.model_validate({**SMALL, **changes}), run(tmp_path, pictures))

    blocks: list[nn.Module] = []
    plan = [(3, 2, 11, 2, 2, True), (2, 6, 5, 1, 2, True), (6, 12, 3, 1, 1, False), (12, 8, 3, 1, 1, False),
            (8, 8, 3, 1, 1, True)]  # fmt: skip
    for fan_in, fan_out, kernel, stride, padding, pool in plan:
        blocks += [nn.Conv2d(fan_in, fan_out, kernel, stride, padding, bias=False)]
        blocks += [nn.MaxPool2d(3, 2)] if pool else []
        blocks += [nn.BatchNorm2d(fan_out), nn.Hardtanh()]
    blocks += [nn.Flatten(), nn.Linear(8, 123, bias=False), nn.BatchNorm1d(123), nn.Hardtanh()]
    blocks += [nn.Linear(123, 123, bias=False), nn.BatchNorm1d(123), nn.Hardtanh()]
    net = nn.Sequential(*blocks, nn.Linear(123, 3, bias=False), nn.BatchNorm1d(3))
    generator = torch.Generator().manual_seed(derive(0, "init"))
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
    net.double()

    splits = photo_splits(pictures, "some")
    seed = derive(0, "views")
    training, testing = (Photographs(split, View(40, 36), seed) for split in (splits.train, splits.test))

    def pixels(source: Photographs, images: list[int], epoch: int) -> torch.Tensor:
        found = np.stack([source[(i, epoch)][0] for i in images]) / 255  # type: ignore[index]
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        return torch.from_numpy((found - mean[:, None, None]) / std[:, None, None])

    optimizer = torch.optim.Adam(net.parameters())
    losses, accuracies = [], []
    for epoch in range(3):
        order = np.random.default_rng((seed, epoch)).permutation(27).tolist()
        optimizer.param_groups[0]["lr"] = 0.01 if epoch < 2 else 0.001  # the change at 25 of 50 is at 1.5 of 3
        net.train()
        for start in (0, 8, 16):
            batch = order[start : start + 8]
            labels = torch.from_numpy(splits.train.labels[batch])
            loss = nn.functional.cross_entropy(net(pixels(training, batch, epoch)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        net.eval()
        guesses = net(pixels(testing, list(range(15)), EVALUATION)).argmax(1).numpy()
        accuracies.append(100 * float(np.mean(guesses == splits.test.labels)))
    rows = curves(tmp_path)
    assert [row["train_loss"] for row in rows] == pytest.approx(losses, rel=1e-8)
    assert [row["top1_accuracy"] for row in rows[2::3]] == pytest.approx(accuracies)
    assert outcome.metrics["top1_accuracy"] == pytest.approx(accuracies[-1])
