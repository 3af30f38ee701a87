"""The age of abalones in rings, raw: a seed draws the rows that train and those that test."""

from bnnbench.evaluation import measures
from bnnbench.harness.experiment import Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.dsm.settings import FRACTIONS, OWN, PRUNED, Abalone

METRICS = (*measures.REALS, *OWN, *PRUNED, *measures.CHAINS, *measures.COST, *measures.WEIGHTS)
AUTHORS_SEED = 42  # of their sample of rows and of its split


@study(params=Abalone, metrics=METRICS)
def abalone(params: Abalone, run: Run) -> Outcome:
    """The authors' own rows are those of seed 0; other seeds sample and split with their number."""
    import numpy as np

    from bnnbench.data.kinds import table
    from bnnbench.data.synthetic import authors_split
    from bnnbench.papers.dsm.regression import Data, measured

    data = table("abalone", run.data("abalone"))
    sex = data.x[:, :3] @ np.array([3.0, 2.0, 1.0])  # male, female, infant, as the authors number them
    x = np.column_stack([sex, data.x[:, 3:]])
    seed = AUTHORS_SEED if run.seed == 0 else run.seed
    count = round(FRACTIONS[params.n] * len(data))
    rows = np.random.RandomState(seed).permutation(len(data))[:count]  # what pandas samples with this seed
    trains, tests = (rows[part] for part in authors_split(count, seed))
    points = Data((x[trains], data.y[trains]), (x[tests], data.y[tests]), standardised=False)
    return measured(params, points, run)
