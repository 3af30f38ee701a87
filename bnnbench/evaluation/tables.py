"""Tables for training and testing nets: a published split, standardised by its training rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnbench.bayes.posterior import Predictive, RealPredictive
from bnnbench.data.content import Table
from bnnbench.data.kinds import table
from bnnbench.errors import UserError
from bnnbench.evaluation.table_params import TablePosterior
from bnnbench.harness.run import Run

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TableSplit:
    """Inputs float32 [N, D] with mean 0 and standard deviation 1 over training rows, and targets, on the run's device.

    Real targets for training and validation are standardised in the same way; `y_test` and the predictions that
    `in_unit` gives are in the unit of the table. Classes are int64 from 0 to `n_classes` - 1; for real targets
    `n_classes` is 0.
    """

    x_train: Tensor
    y_train: Tensor
    validation: tuple[Tensor, Tensor] | None
    x_test: Tensor
    y_test: Tensor
    n_classes: int
    mean: float
    scale: float

    def in_unit(self, predictive: Predictive) -> Predictive:
        """A prediction of standardised targets in the unit of the table."""
        if not isinstance(predictive, RealPredictive):
            return predictive
        return replace(predictive, mean=self.mean + self.scale * predictive.mean, noise=self.scale * predictive.noise)


def table_split(params: TablePosterior, run: Run) -> TableSplit:
    """The published split `params.split`, or else the split with the number of the seed, modulo the number of splits.

    Raises `UserError` for a split that the table does not have.
    """
    data = table(params.dataset, run.data(params.dataset))
    if params.split is not None and params.split >= len(data.splits):
        raise UserError(f"{params.dataset}: split {params.split} is not one of its {len(data.splits)}, from 0 on")
    rows, tests = data.splits[run.seed % len(data.splits) if params.split is None else params.split]
    rows = rows[: params.n_train]
    held_out = round(params.validation * len(rows))
    order = run.rng("validation").permutation(len(rows)) if held_out else np.arange(len(rows))
    return standardised(data, rows[order[held_out:]], rows[order[:held_out]], tests, run)


def standardised(
    data: Table, trains: Rows, validates: Rows, tests: Rows, run: Run, inputs_by: Rows | None = None
) -> TableSplit:
    """Rows of a table as a split; inputs are standardised by the rows `inputs_by`, or else by the training rows."""
    classes = np.issubdtype(data.y.dtype, np.integer)
    centre, spread = (0.0, 1.0) if classes else _moments(data.y[trains])
    x_mean, x_scale = _moments(data.x[trains if inputs_by is None else inputs_by])

    def inputs(chosen: Rows) -> Tensor:
        return _tensor((data.x[chosen] - x_mean) / x_scale, run)

    def targets(chosen: Rows) -> Tensor:
        return _tensor(data.y[chosen], run) if classes else _tensor((data.y[chosen] - centre) / spread, run)

    validation = (inputs(validates), targets(validates)) if len(validates) else None
    n_classes = int(data.y.max()) + 1 if classes else 0
    return TableSplit(
        inputs(trains), targets(trains), validation, inputs(tests), _tensor(data.y[tests], run), n_classes,
        float(centre), float(spread),
    )  # fmt: skip


def _moments(values: NDArray[Any]) -> tuple[Any, Any]:
    """Mean and standard deviation over rows; the deviation of a constant column is replaced by 1."""
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _tensor(values: NDArray[Any], run: Run) -> Tensor:
    kind = torch.int64 if np.issubdtype(values.dtype, np.integer) else torch.float32
    return torch.as_tensor(values, dtype=kind).to(run.device)
