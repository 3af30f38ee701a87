"""Friedman's first function under a prior: a seed is a data set."""

from bnnbench.evaluation import measures
from bnnbench.harness.experiment import Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.dsm.settings import OWN, PRUNED, Friedman

METRICS = (*measures.REALS, *OWN, *PRUNED, *measures.CHAINS, *measures.COST, *measures.WEIGHTS)
NEW_POINTS = 100_000  # added to the seed of the data, it gives that of new points


@study(params=Friedman, metrics=METRICS)
def friedman(params: Friedman, run: Run) -> Outcome:
    """New points test, with the scaling of the points that train; the authors' 20 % are measured besides."""
    from bnnbench.data.synthetic import FRIEDMAN_ACTIVE, authors_split
    from bnnbench.data.synthetic import friedman as sample
    from bnnbench.papers.dsm.regression import Data, measured

    seed = run.seed if params.generator_seed is None else params.generator_seed
    correlated = params.design == "correlated"
    points, new = sample(params.n, seed, correlated), sample(params.n_test, seed + NEW_POINTS, correlated)
    rows, held = authors_split(params.n, run.seed if params.split_seed is None else params.split_seed)
    data = Data((points.x[rows], points.y[rows]), (new.x, new.y), (points.x[held], points.y[held]), FRIEDMAN_ACTIVE)
    return measured(params, data, run)
