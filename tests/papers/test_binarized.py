"""The splits and the training loop of the binarized paper."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bnnbench.data.dataset import Images, Split
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.experiments.mnist_mlp import MnistMLP, mnist_mlp
from bnnbench.papers.binarized.splits import classification_splits


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
    splits = classification_splits(data, 60, 30, run(tmp_path, data))
    pixels = data.splits["train"].x.reshape(100, 784).astype(np.float32) / 255 * 2 - 1
    assert np.allclose(splits.x_train.numpy(), pixels[:60], atol=1e-6)
    assert np.allclose(splits.x_validation.numpy(), pixels[70:], atol=1e-6)
    assert len(splits.x_test) == 40
    assert splits.x_train.min() >= -1
    assert splits.x_train.max() <= 1
    assert not splits.warnings


@pytest.mark.parametrize("n", [20, 21, 59])
def test_a_small_data_set_is_split_without_overlap_and_with_a_warning(tmp_path: Path, n: int) -> None:
    data = images(n)
    splits = classification_splits(data, 50, 10, run(tmp_path, data))
    assert len(splits.x_train) + len(splits.x_validation) == n
    assert len(splits.x_validation) == n // 4
    assert splits.warnings == [
        f"the data set has {n} training images, not 50 + 10: {n - n // 4} train, {n // 4} validate"
    ]


PARAMS = MnistMLP(
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
    from bnnbench.harness import history

    rows = list(history.read(tmp_path / "history.jsonl"))
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
    saved: dict[bool, float] = {}
    for clip in (True, False):

        class Keeping(Run):
            def checkpoint(self, step, state):  # type: ignore[no-untyped-def]
                weights = [
                    value for name, value in state()["net"].items() if name.endswith("weight") and value.ndim == 2
                ]
                saved[clip] = max(weight.abs().max().item() for weight in weights)  # noqa: B023

        mnist_mlp(MnistMLP(**{**params, "clip": clip}), Keeping(0, "cpu", tmp_path / str(clip), lambda name: data))
    assert saved[True] == 1.0
    assert saved[False] > 1.0


def test_a_loss_that_is_not_finite_is_a_divergence(tmp_path: Path) -> None:
    from bnnbench.harness.experiment import Diverged

    data = images(250)
    params = MnistMLP(**{**PARAMS.model_dump(), "weights": "float", "activation": "relu", "learning_rate": 1e38})
    with pytest.raises(Diverged, match=r"is (nan|inf)"):
        mnist_mlp(params, run(tmp_path, data))
