"""Breast cancer: predictions, and the fast gradient sign method against draws of the posterior."""

from typing import TYPE_CHECKING

from bnnbench.evaluation import measures
from bnnbench.harness.experiment import Metric, Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.dsm.settings import SIZES, TOLERANCES, Cancer

if TYPE_CHECKING:
    from torch import Tensor

    from bnnbench.papers.dsm.nets import Fitted

ATTACK = "Attacks"
ROBUST = (
    *(
        Metric(
            f"safe_{size:g}_{ratio:g}", "%", True,
            f"draws and points that an attack of size {size:g} moves by at most {ratio:g} of it in probability", ATTACK,
        )
        for size in SIZES
        for ratio in TOLERANCES
    ),
    *(
        Metric(f"flipped_{size:g}", "%", False, f"draws and points whose class a step of {size:g} changes", ATTACK)
        for size in SIZES
    ),
)  # fmt: skip
METRICS = (
    *measures.CLASSES, Metric("mce_15", "%", False, "largest calibration error of 15 bins"), *ROBUST,
    *measures.CHAINS, *measures.COST, *measures.WEIGHTS,
)  # fmt: skip
AUTHORS_SEED = 42  # of their stratified split


@study(params=Cancer, metrics=METRICS)
def cancer(params: Cancer, run: Run) -> Outcome:
    """The authors' split is that of seed 0; other seeds split with their number."""
    import numpy as np
    import torch

    from bnnbench.bayes.likelihood import Categorical
    from bnnbench.bayes.posterior import ClassPredictive
    from bnnbench.data.kinds import table
    from bnnbench.data.synthetic import authors_split
    from bnnbench.evaluation import inference, scores
    from bnnbench.metrics.calibration import mce
    from bnnbench.papers.dsm.nets import fit

    data = table("breast-cancer", run.data("breast-cancer"))
    malignant = 1 - np.asarray(data.y, np.int64)  # the label that the authors' split is stratified by comes second
    trains, tests = authors_split(len(malignant), AUTHORS_SEED if run.seed == 0 else run.seed, malignant)
    centre, spread = (data.x[trains].mean(0), data.x[trains].std(0)) if params.standardised else (0.0, 1.0)
    x, labels = torch.tensor((data.x - centre) / spread), torch.tensor(malignant)
    fitted = fit(params, x[trains], labels[trains], Categorical(), 2, run)
    predicted = fitted.posterior.predict(x[tests])
    assert isinstance(predicted, ClassPredictive)
    found = {**scores.class_scores(predicted, labels[tests]), **fitted.cost}
    found["mce_15"] = 100 * mce(predicted.probs.double(), labels[tests])
    robust = _attacked(fitted, params, x[tests], labels[tests])
    return inference.merged(Outcome({**found, **robust}), inference.diagnosed(fitted.posterior, x[tests]))


def _attacked(fitted: "Fitted", params: Cancer, x: "Tensor", y: "Tensor") -> dict[str, float]:
    from bnnbench.evaluation import attack

    theta = fitted.theta[fitted.spread(params.attacked)]
    gradients = attack.input_gradients(fitted.net, theta, x, y)
    found = {}
    for size in SIZES:
        before, after = attack.attacked(fitted.net, theta, x, y, size, gradients)
        shares = attack.robustness(before, after, {f"safe_{size:g}_{ratio:g}": ratio * size for ratio in TOLERANCES})
        found[f"flipped_{size:g}"] = shares.pop("flipped")
        found |= shares
    return {name: 100 * value for name, value in found.items()}
