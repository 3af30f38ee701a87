"""Active learning on a table: a few labelled rows, a pool of rows whose labels can be asked for, and test rows."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor

from bnnbench.bayes.posterior import Predictive, RealPredictive
from bnnbench.data.kinds import table
from bnnbench.errors import UserError
from bnnbench.evaluation.table_params import ActiveLearning
from bnnbench.evaluation.tables import Rows, TableSplit, standardised
from bnnbench.harness.run import Run
from bnnbench.metrics.classification import entropy


@dataclass(frozen=True)
class Pool:
    """Rows of a table: those with labels, those whose labels can be asked for, and test rows."""

    labelled: Rows
    unlabelled: Rows
    tests: Rows

    def asked(self, chosen: Rows) -> "Pool":
        """The pool after the rows at the `chosen` positions of `unlabelled` have got labels."""
        rest = np.delete(self.unlabelled, chosen)
        return replace(self, labelled=np.concatenate([self.labelled, self.unlabelled[chosen]]), unlabelled=rest)


def pool(params: ActiveLearning, run: Run) -> Pool:
    """The initial pool of a seed, drawn without replacement.

    Raises `UserError` for a table with too few rows for all rounds.
    """
    n_rows = len(table(params.dataset, run.data(params.dataset)))
    needed = params.n_test + params.n_initial + params.rounds * params.batch
    if n_rows < needed:
        raise UserError(f"{params.dataset}: {n_rows} rows, and tests, first labels and all rounds need {needed}")
    order = run.rng("pool").permutation(n_rows)
    tests, labelled, unlabelled = np.split(order, [params.n_test, params.n_test + params.n_initial])
    return Pool(labelled, unlabelled, tests)


def labelled_split(params: ActiveLearning, rows: Pool, run: Run) -> tuple[TableSplit, Tensor]:
    """The labelled rows as training data, and the inputs [M, D] of the unlabelled rows.

    Inputs are standardised by all rows but test rows, as this needs no labels, and targets by the labelled rows.
    """
    data = table(params.dataset, run.data(params.dataset))
    outside = np.concatenate([rows.labelled, rows.unlabelled])
    split = standardised(data, rows.labelled, rows.labelled[:0], rows.tests, run, outside)
    others = standardised(data, rows.labelled, rows.labelled[:0], rows.unlabelled, run, outside)
    return split, others.x_test


def uncertainty(predictive: Predictive) -> Tensor:
    """A score [M] that is large for rows whose label is worth asking for.

    For a real target this is the variance of the prediction, as in Hernández-Lobato and Adams (2015). For classes it is
    the mutual information of label and draw: the entropy of the mean minus the mean of the entropies (Houlsby et al.
    2011, equation 2).
    """
    if isinstance(predictive, RealPredictive):
        variance = predictive.moments[1].double().square()
        return variance if variance.dim() == 1 else variance.sum(1)
    draws = predictive.logits.double().softmax(-1)
    return entropy(draws.mean(0)) - entropy(draws).mean(0)


def acquired(scores: Tensor | None, n_rows: int, batch: int, generator: Generator) -> Rows:
    """Positions of `batch` rows with the largest scores [n_rows], ties at random; without scores, of random rows."""
    order = torch.randperm(n_rows, generator=generator)
    if scores is not None:
        order = order[scores.cpu()[order].argsort(descending=True, stable=True)]
    return order[:batch].numpy()
