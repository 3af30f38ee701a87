"""Images classified by a method: splits, other data, shifts, shared nets and reference draws."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.data.cifar_c import KINDS, Corrupted
from bnnbench.data.content import Images, Split
from bnnbench.errors import DataUnavailable, UserError
from bnnbench.evaluation import inference, shift
from bnnbench.evaluation.image_params import ImageNet, ImagePosterior
from bnnbench.evaluation.images import flip_and_crop, others, rotated, splits
from bnnbench.evaluation.problem import problem
from bnnbench.evaluation.studies.images import images as study
from bnnbench.evaluation.studies.images import origin
from bnnbench.harness import registry
from bnnbench.harness.run import Run


def images(n_train: int = 120, n_test: int = 150) -> Images:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        y = rng.integers(0, 10, n)
        x = rng.integers(0, 100, (n, 28, 28)) + 15 * y[:, None, None]
        return Split(x.astype(np.uint8), y.astype(np.int64))

    return Images({"train": split(n_train), "test": split(n_test)}, tuple("0123456789"))


def run(folder: Path, seed: int = 0) -> Run:
    data = images()
    return Run(seed, "cpu", folder, lambda name: data, checkpoint_seconds=0)


def small(**changes: Any) -> ImagePosterior:
    values = {"n_validation": 30, "epochs": 1, "precision": 20, "chains": 2, "chain_draws": 8, "chain_warmup": 8}
    return ImagePosterior.model_validate({**values, **changes})


def test_test_images_are_divided_as_the_authors_divide_them(tmp_path: Path) -> None:
    found = [splits(ImageNet(n_validation=30), run(tmp_path, seed)) for seed in (0, 1)]
    assert torch.equal(found[0].x_test, found[1].x_test)
    test = images().splits["test"]
    generator = torch.Generator().manual_seed(42)
    whole: Any = range(150)
    first, second = torch.utils.data.random_split(whole, [30, 120], generator)
    for x, y, rows in (
        (found[0].x_validation, found[0].y_validation, list(first.indices)),
        (found[0].x_test, found[0].y_test, list(second.indices)),
    ):
        assert np.allclose(x[:, 0].numpy() * 255, test.x[rows], atol=1e-4)
        assert y.tolist() == test.y[rows].tolist()
    assert found[0].test_rows.tolist() == list(second.indices)
    assert len(splits(ImageNet(n_validation=2000), run(tmp_path)).y_validation) == 30  # a fifth at most


def test_images_are_averaged_down(tmp_path: Path) -> None:
    found = splits(ImageNet(n_validation=30, side=14), run(tmp_path))
    x = images().splits["train"].x.reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255
    assert np.allclose(found.x_train[:, 0].numpy(), x, atol=1e-6)


def test_crops_and_flips_are_of_the_padded_image() -> None:
    x = torch.rand(20, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    seen = set()
    for image, found in zip(x, flip_and_crop(x, torch.Generator().manual_seed(1)), strict=True):
        places = [
            (flipped, top, left)
            for flipped in (False, True)
            for top in range(9)
            for left in range(9)
            if torch.equal(
                nn.functional.pad(image.flip(2) if flipped else image, (4, 4, 4, 4))[:, top : top + 9, left : left + 8],
                found,
            )
        ]
        assert len(places) >= 1
        seen.add(places[0])
    assert {flipped for flipped, _, _ in seen} == {False, True}
    assert len(seen) > 10


def test_rotations_turn_images() -> None:
    x = torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rotated(x, 0), x)
    assert torch.equal(rotated(x, 180), x.flip(2, 3))
    assert torch.equal(rotated(x, 90), torch.rot90(x, -1, (2, 3))) or torch.equal(
        rotated(x, 90), torch.rot90(x, 1, (2, 3))
    )
    assert (rotated(torch.ones(1, 1, 9, 9), 45)[0, 0, 0, 0]) == 0


def given(folder: Path, **data: Any) -> Run:
    """A run on a machine that has `data` besides what nets are trained on."""

    def load(name: str) -> Any:
        if (found := data.get(name.replace("-", "_"), images() if name == "fashion-mnist" else None)) is None:
            raise DataUnavailable(f"{name} is not on this machine; get it")
        return found

    return Run(0, "cpu", folder, load)


def test_other_data_are_made_as_large(tmp_path: Path) -> None:
    wide = Images({"test": Split(np.full((5, 40, 40), 51, np.uint8), np.zeros(5, np.int64))}, ("a",))
    found = others(small(others=["mnist"]), given(tmp_path, mnist=wide))[0]["mnist"]
    assert found.shape == (5, 1, 28, 28)
    assert torch.allclose(found, torch.full_like(found, 0.2))


def test_photographs_of_several_sizes_are_made_as_large_one_by_one(tmp_path: Path) -> None:
    class Photographs:
        def __len__(self) -> int:
            return 3

        def read(self, i: int) -> Any:
            return np.full((30 + 10 * i, 50, 3), 51 * (i + 1), np.uint8)

    colour = Images({"train": Split(np.zeros((20, 32, 32, 3), np.uint8), np.zeros(20, np.int64))}, tuple("0123456789"))
    colour.splits["test"] = colour.splits["train"]
    lsun = SimpleNamespace(splits={"test": Photographs()})
    found = others(small(dataset="cifar10", others=["lsun"]), given(tmp_path, cifar10=colour, lsun=lsun))[0]["lsun"]
    assert found.shape == (3, 3, 32, 32)
    for i, image in enumerate(found):
        assert torch.allclose(image, torch.full_like(image, 0.2 * (i + 1)))


def test_data_that_are_not_there_or_no_others_are_left_out_and_named(tmp_path: Path) -> None:
    found, absent = others(small(others=["mnist", "kmnist"]), given(tmp_path, mnist=images()))
    assert not found
    assert absent == [
        "mnist is left out: on this machine the net was trained on the same data set",
        "kmnist is left out: kmnist is not on this machine",
    ]
    outcome = study(small(method="map", others=["mnist", "kmnist"]), given(tmp_path, mnist=images()))
    assert outcome.warnings == absent
    assert not any(name.startswith(("fpr95", "auroc")) for name in outcome.metrics)


def test_the_mean_over_other_data_is_that_of_the_chosen_ones(tmp_path: Path) -> None:
    three = {name: images(n_test=150 + k) for k, name in enumerate(("mnist", "kmnist", "emnist_digits"), 1)}
    chosen = ["mnist", "kmnist", "emnist-digits", "notmnist"]
    params = small(method="map", others=chosen, averaged=chosen[:3])
    metrics = study(params, given(tmp_path, **three, notmnist=images(n_test=160))).metrics
    mean = np.mean([metrics[f"fpr95_{name}"] for name in chosen[:3]])
    assert metrics["fpr95_mean"] == pytest.approx(mean)
    assert "fpr95_notmnist" in metrics
    assert "fpr95_mean" not in study(params, given(tmp_path, **{**three, "kmnist": None})).metrics


def test_official_corruptions_are_of_the_test_images(tmp_path: Path) -> None:
    """Files in which every image is that of the test set, darkened by its severity, against images darkened here."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 40)
    colour = Images({"train": Split(x, y), "test": Split(x, y)}, tuple("0123456789"))
    files = np.concatenate([x // (severity + 1) for severity in range(1, 6)])
    official = Corrupted(dict.fromkeys(KINDS, files), y)
    params = small(dataset="cifar10", net="convnet", severities=[1, 4], n_corrupted=10)
    data = splits(params, given(tmp_path, cifar10=colour))

    def predict(images: torch.Tensor) -> ClassPredictive:
        return ClassPredictive(50 * images.flatten(1)[:, :10][None])

    with_files = given(tmp_path, cifar10=colour, cifar10_c=official)
    outcome = shift.corruptions(predict, data, params, with_files)
    for severity in (0, 1, 4):
        darker = torch.from_numpy(x[data.test_rows[:10]] // (severity + 1)).permute(0, 3, 1, 2) / 255
        expected = nn.functional.cross_entropy(50 * darker.flatten(1)[:, :10], data.y_test[:10]).item()
        assert outcome.metrics[f"nll_cifar10c_{severity}"] == pytest.approx(expected, rel=1e-5)
    assert not outcome.warnings
    without = shift.corruptions(predict, data, params, given(tmp_path, cifar10=colour))
    assert without.warnings[0].startswith("only our own transforms corrupt images: cifar10-c is not")
    assert {name for name in outcome.metrics if "corrupted" in name} == set(without.metrics)
    assert all(outcome.metrics[name] == value for name, value in without.metrics.items())


def test_options_are_checked_by_the_method_and_may_name_the_target(tmp_path: Path) -> None:
    here = problem("last", origin(small(), splits(small(), run(tmp_path))), run(tmp_path))
    params = small(method="laplace", options={"precision": "target"})
    posterior: Any
    posterior, cost = inference.fit("laplace", params.filled(), here, run(tmp_path))
    assert posterior.distribution.precision == 20
    assert cost.keys() <= {"fit_seconds", "fit_cpu_seconds", "fit_memory", "bits_per_weight"}
    assert min(cost["fit_seconds"], cost["fit_cpu_seconds"]) > 0
    assert cost["bits_per_weight"] > 32  # the net, and a matrix over the weights of its last layer
    with pytest.raises(UserError, match=r"method 'laplace': no key 'options\.precisn'; did you mean 'precision'"):
        inference.fit("laplace", {"precisn": 3}, here, run(tmp_path))


@pytest.mark.parametrize("stuck", [float("nan"), float("inf")])
def test_stuck_chains_have_no_rhat_and_the_others_do(stuck: float) -> None:
    for rhat, expected in (([1.0, stuck], {}), ([1.0, 1.5], {"rhat": 1.25, "rhat_max": 1.5})):
        posterior: Any = SimpleNamespace(rhat=torch.tensor(rhat))
        assert inference.diagnosed(posterior, torch.zeros(3, 2)).metrics == expected


def test_chains_beyond_their_bounds_are_numbers_and_warnings(tmp_path: Path) -> None:
    """Eight draws of two chains cannot have 400 effective ones."""
    sampling = {"chains": 2, "draws": 8, "warmup": 8}
    outcome = study(small(method="hmc", options={"precision": 20.0, "sampling": sampling}), run(tmp_path))
    assert {"rhat_outputs", "ess_bulk_outputs", "ebfmi", "acceptance", "divergences"} <= outcome.metrics.keys()
    assert outcome.metrics["ess_bulk_outputs"] < 400
    assert any(text.startswith("chains: ess_bulk_outputs is") for text in outcome.warnings)


def test_a_net_that_does_not_fit_the_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"net 'convnet' takes images of 3 x 32 x 32, and these have 1 x 28 x 28"):
        study(small(net="convnet"), run(tmp_path))
    table = Run(0, "cpu", tmp_path, lambda name: SimpleNamespace())
    with pytest.raises(
        UserError, match="data set 'wine' holds a SimpleNamespace; this experiment takes images of one size"
    ):
        study(small(dataset="wine"), table)


def test_a_method_of_another_package_is_run_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoParams(MethodParams):
        pass

    class Uniform:
        def predict(self, x: Any, n_draws: Any = None, generator: Any = None) -> ClassPredictive:
            return ClassPredictive(torch.zeros(1, len(x), 10))

    @method("uniform", NoParams)
    def uniform(model: Any, train: Train, params: Any, generator: Any, journal: Any) -> Any:
        return Uniform()

    known = {"uniform": SimpleNamespace(load=lambda: uniform, value="elsewhere:uniform", module="elsewhere")}
    monkeypatch.setattr(registry, "methods", lambda: known)
    metrics = study(small(method="uniform"), run(tmp_path)).metrics
    assert metrics["nll"] == pytest.approx(np.log(10))
    assert metrics["mmc"] == pytest.approx(10)
    assert "mmd" not in metrics


def test_a_method_that_predicts_no_classes_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = SimpleNamespace(predict=lambda x, n_draws=None, generator=None: SimpleNamespace())
    chosen = SimpleNamespace(params=MethodParams, fit=lambda *_: real)
    monkeypatch.setattr(registry, "method", lambda name: chosen)
    with pytest.raises(UserError, match="method 'mine' predicts SimpleNamespace; images are classified"):
        study(small(method="mine"), run(tmp_path))


def test_the_net_and_the_reference_are_computed_once(tmp_path: Path) -> None:
    first = study(small(method="laplace", options={"precision": 20.0, "centre": "mode"}), run(tmp_path))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shared/*/content.pt")}
    assert len(kept) == 2
    second = study(small(method="map", angles=[0, 90], n_rotated=10), run(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("shared/*/content.pt")} == kept
    assert first.metrics["mmd"] < second.metrics["mmd"]
    assert second.tables["rotation"]["angle"] == [0, 90]
    assert second.metrics["nll_rotated_90"] == second.tables["rotation"]["nll"][1]


def test_a_reference_that_nobody_needs_is_not_computed(tmp_path: Path) -> None:
    metrics = study(small(method="laplace", options={"precision": 20.0}, reference=False), run(tmp_path)).metrics
    assert not {"mmd", "weight_std"} & metrics.keys()
    assert metrics["accuracy"] > 0
    assert len(list(tmp_path.glob("shared/*/content.pt"))) == 1  # the net alone


def test_the_kept_marginals_are_draws_of_the_posterior(tmp_path: Path) -> None:
    """The data can only narrow a Gaussian prior, here with variance 1 / 20."""
    outcome = study(small(method="laplace", options={"precision": 20.0, "structure": "diagonal"}), run(tmp_path))
    table = outcome.tables["marginals"]
    assert len(set(table["weight"])) == 4
    draws = {k: [v for w, v in zip(table["weight"], table["value"], strict=True) if w == k] for k in table["weight"]}
    assert {len(values) for values in draws.values()} == {16}
    assert 0 < outcome.metrics["weight_std"] < 1.1 / np.sqrt(20)
    point = study(small(method="laplace", options={"precision": 20.0, "link": "mean"}), run(tmp_path)).metrics
    assert point["mmd"] > outcome.metrics["mmd"]  # the mean alone is no cloud of draws
    assert "weight_std" not in point
    assert "weight_std" not in study(small(method="map"), run(tmp_path)).metrics
