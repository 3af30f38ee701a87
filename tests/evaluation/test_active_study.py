"""Active learning: which rows are asked for, how they are scaled, and what is reported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bnnbench.bayes.posterior import ClassPredictive, RealPredictive
from bnnbench.data.content import Table
from bnnbench.errors import UserError
from bnnbench.evaluation.pools import acquired, labelled_split, pool, uncertainty
from bnnbench.evaluation.studies.active import active
from bnnbench.evaluation.table_params import ActiveLearning
from bnnbench.harness.run import Run


def run(folder: Path, seed: int = 0, n: int = 80) -> Run:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (n, 2))
    data = Table(x, 10 + 5 * np.sin(x[:, 0]) + x[:, 1], (), ("a", "b"), "y")
    return Run(seed, "cpu", folder, lambda name: data)


def params(**changes: Any) -> ActiveLearning:
    training = {"epochs": 5, "batch_size": 8}
    values = {"method": "ensemble", "options": {"members": 2, "training": training}, "widths": [5], "noise": 0.5}
    sizes = {"n_initial": 10, "n_test": 20, "rounds": 3, "batch": 4}
    return ActiveLearning.model_validate({**values, **sizes, **changes})


def test_rows_are_divided_without_overlap_and_labels_move_from_the_pool(tmp_path: Path) -> None:
    start = pool(params(), run(tmp_path))
    later = start.asked(np.array([0, 3]))
    for rows in (start, later):
        assert sorted([*rows.labelled, *rows.unlabelled, *rows.tests]) == list(range(80))
    assert list(later.labelled) == [*start.labelled, start.unlabelled[0], start.unlabelled[3]]
    assert not np.array_equal(start.tests, pool(params(), run(tmp_path, seed=1)).tests)
    with pytest.raises(UserError, match="80 rows, and tests, first labels and all rounds need 82"):
        pool(params(n_test=60), run(tmp_path))


def test_targets_are_scaled_by_labels_alone_and_inputs_by_all_but_the_test(tmp_path: Path) -> None:
    rows = pool(params(), run(tmp_path))
    split, others = labelled_split(params(), rows, run(tmp_path))
    y = run(tmp_path).data("").y
    assert (split.mean, split.scale) == pytest.approx((y[rows.labelled].mean(), y[rows.labelled].std()))
    inputs = torch.cat([split.x_train, others])
    assert torch.allclose(inputs.mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(inputs.std(0, correction=0), torch.ones(2), atol=1e-5)
    assert np.allclose(split.y_test, y[rows.tests])


def test_the_rows_of_largest_uncertainty_are_asked_for() -> None:
    scores = torch.tensor([0.0, 3.0, 1.0, 2.0])
    assert sorted(acquired(scores, 4, 2, torch.Generator().manual_seed(0))) == [1, 3]
    equal = {tuple(acquired(torch.zeros(50), 50, 2, torch.Generator().manual_seed(seed))) for seed in range(5)}
    assert len(equal) == 5  # no row is preferred for its place
    noise = torch.tensor([[1.0, 1.0], [3.0, 1.0]])
    mean = torch.tensor([[0.0, 5.0], [2.0, 5.0]])
    assert uncertainty(RealPredictive(mean, noise)).tolist() == pytest.approx([1 + 5, 1])


def test_uncertainty_of_classes_is_that_of_the_draws_and_not_of_the_label() -> None:
    """Two draws that agree on a coin tell nothing; two that contradict each other tell log 2."""
    logits = torch.tensor([[[0.0, 0.0], [50.0, 0.0]], [[0.0, 0.0], [0.0, 50.0]]])
    assert uncertainty(ClassPredictive(logits)).tolist() == pytest.approx([0, np.log(2)], abs=1e-6)


@pytest.mark.parametrize("acquire", ["uncertain", "random"])
def test_rounds_are_reported_and_repeat_themselves(tmp_path: Path, acquire: str) -> None:
    found, again = (active(params(acquire=acquire), run(tmp_path / name)) for name in "ab")
    assert found.tables["rounds"]["labels"] == [10, 14, 18, 22]
    assert found.metrics["rmse"] == found.tables["rounds"]["rmse"][-1]
    assert found.metrics["rmse_first"] == found.tables["rounds"]["rmse"][0]
    assert found.tables == again.tables


def test_parameters_without_meaning_are_refused() -> None:
    for wrong in ({"scope": "last"}, {"split": 0}, {"n_train": 5}, {"validation": 0.1}):
        with pytest.raises(ValidationError, match="active learning"):
            params(**wrong)
