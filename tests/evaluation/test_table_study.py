"""The target of a table predicted by a method: splits, units, and likelihoods."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bnnbench.data.content import Table
from bnnbench.data.tables import standard_splits
from bnnbench.errors import UserError
from bnnbench.evaluation.studies.tables import tables as study
from bnnbench.evaluation.table_params import TablePosterior
from bnnbench.evaluation.tables import table_split
from bnnbench.harness.run import Run


def waves(n: int = 200, unit: float = 1.0, classes: bool = False, height: float = 5.0) -> Table:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (n, 3)) * [1, 10, 0] + [0, 5, 7]  # the last column is constant
    y = 40 + height * np.sin(x[:, 0] / 3) + 0.1 * x[:, 1] + 0.3 * rng.standard_normal(n)
    targets: Any = (y > np.median(y)).astype(np.int64) if classes else unit * y
    return Table(x, targets, standard_splits(n, 4), ("a", "b", "c"), "y")


def run(folder: Path, seed: int = 0, **changes: Any) -> Run:
    data = waves(**changes)
    return Run(seed, "cpu", folder, lambda name: data)


def small(**changes: Any) -> TablePosterior:
    training = {"epochs": 80, "learning_rate": 1e-2, "schedule": "constant"}
    values = {"widths": [20], "noise": 0.5, "options": {"training": training}, "chains": 2, "chain_draws": 8}
    return TablePosterior.model_validate({**values, **changes})


def test_inputs_and_targets_are_standardised_by_training_rows(tmp_path: Path) -> None:
    data, found = waves(), table_split(small(validation=0.2), run(tmp_path, seed=1))
    rows, tests = data.splits[1]
    assert len(found.x_train) == round(0.8 * len(rows))
    assert torch.allclose(found.x_train.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(found.x_train.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5)
    assert found.y_train.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert np.allclose(found.y_test, data.y[tests])
    assert found.validation is not None
    used = torch.cat([found.y_train, found.validation[1]]) * found.scale + found.mean
    assert np.allclose(np.sort(used.numpy()), np.sort(data.y[rows]), atol=1e-4)


@pytest.mark.parametrize(("seed", "split", "expected"), [(0, None, 0), (3, None, 3), (5, None, 1), (5, 2, 2)])
def test_a_seed_has_a_published_split(tmp_path: Path, seed: int, split: int | None, expected: int) -> None:
    found = table_split(small(split=split), run(tmp_path, seed=seed))
    assert np.allclose(found.y_test, waves().y[waves().splits[expected][1]])


def test_a_split_that_a_table_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="uci-boston: split 4 is not one of its 4, from 0 on"):
        table_split(small(split=4), run(tmp_path))


def test_scores_are_in_the_unit_of_the_table(tmp_path: Path) -> None:
    """Targets in tenths: errors and widths are ten times as large, and a log density falls by log 10 a point."""
    first = study(small(method="map"), run(tmp_path / "a")).metrics
    second = study(small(method="map", noise=5.0), run(tmp_path / "b", unit=10.0)).metrics
    assert first["rmse"] < 1.5  # the targets' own deviation is 2.6
    for name, expected in (("rmse", 10), ("crps", 10), ("width_95", 10), ("coverage_95", 1)):
        assert second[name] == pytest.approx(expected * first[name], rel=1e-3)
    assert second["nll"] == pytest.approx(first["nll"] + np.log(10), rel=1e-3)


@pytest.mark.parametrize("noise", ["learned", "heteroscedastic"])
def test_noise_that_is_inferred_is_that_of_the_targets(tmp_path: Path, noise: str) -> None:
    """Of 180 rows on a plane with deviation 0.3, by a net that is trained to the point estimate."""
    training = {"epochs": 200, "learning_rate": 1e-2, "schedule": "cosine", "batch_size": 64}
    params = small(method="map", noise=noise, options={"training": training})
    found = study(params, run(tmp_path, height=0.0)).metrics
    assert found["width_95"] == pytest.approx(2 * 1.96 * 0.3, rel=0.4)
    assert found["coverage_95"] > 70


def test_a_net_that_is_trained_for_all_methods_keeps_the_noise_that_it_learned(tmp_path: Path) -> None:
    training = {"epochs": 200, "learning_rate": 1e-2, "schedule": "cosine", "batch_size": 64}
    params = small(method="map", scope="whole", noise="learned", options={}, **training)
    found = study(params, run(tmp_path, height=0.0)).metrics
    assert found["width_95"] == pytest.approx(2 * 1.96 * 0.3, rel=0.4)


def test_classes_of_a_table_are_classified(tmp_path: Path) -> None:
    found = study(small(method="map"), run(tmp_path, classes=True)).metrics
    assert found["accuracy"] > 80
    assert found["nll"] < np.log(2)


def test_draws_of_the_weights_are_measured_against_those_of_hmc(tmp_path: Path) -> None:
    options = {"precision": 5.0, "scope": "all", "structure": "diagonal"}
    params = small(
        method="laplace", scope="whole", options=options, reference=True, precision=5.0, epochs=40, widths=[4]
    )
    found = study(params, run(tmp_path)).metrics
    assert {"mmd", "mmd_floor", "weight_std", "prior_precision"} <= found.keys()
    assert found["prior_precision"] == 5


def test_a_table_with_a_method_that_does_not_fit_is_named(tmp_path: Path) -> None:
    from bnnbench.evaluation.image_params import ImagePosterior
    from bnnbench.evaluation.studies.images import images

    data: Callable[[str], Any] = lambda name: waves()  # noqa: E731
    with pytest.raises(UserError, match="holds a table; this experiment takes images of one size"):
        images(ImagePosterior(), Run(0, "cpu", tmp_path, data))
