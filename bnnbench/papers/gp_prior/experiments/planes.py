"""Two classes in the plane: accuracy where there are points, and entropy far from all of them."""

from math import log, pi
from typing import TYPE_CHECKING

from bnnbench.evaluation import measures
from bnnbench.harness.experiment import Metric, Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.gp_prior.settings import Plane

if TYPE_CHECKING:
    from torch import Tensor

    from bnnbench.bayes.posterior import ClassPredictive

NEW, CELLS = 1000, 41
METRICS = (
    *measures.CLASSES,
    Metric("entropy_far", "nats", True, f"mean entropy on the circle far from all points; at most {log(2):.3f}"),
    Metric("entropy_near", "nats", None, "mean entropy at test points"),
    *measures.COST,
)


@study(params=Plane, metrics=METRICS)
def planes(params: Plane, run: Run) -> Outcome:
    """Fits the method to labelled points; measures predictions at other points and on the circle."""
    import torch

    from bnnbench.bayes.likelihood import Categorical
    from bnnbench.bayes.posterior import ClassPredictive
    from bnnbench.evaluation import inference, scores
    from bnnbench.metrics.classification import entropy
    from bnnbench.papers.gp_prior.toys import posed

    (x, y), (x_test, y_test) = _points(params, run)
    here = posed(params, x, y, Categorical(), 2, run)
    posterior, cost = inference.fit(params.method, params.options, here, run)

    def predict(at: "Tensor") -> "ClassPredictive":
        predicted = inference.predict(posterior, at.to(run.device), params.n_draws, run)
        assert isinstance(predicted, ClassPredictive)  # as the likelihood is one of classes
        return predicted

    test, latency = inference.timed(predict, x_test, run)
    angle = torch.arange(200) * 2 * pi / 200
    circle = params.radius * torch.stack([angle.cos(), angle.sin()], 1)
    axis = torch.linspace(-params.radius, params.radius, CELLS)
    cells = torch.cartesian_prod(axis, axis)
    at_cells = predict(cells).probs.double()
    numbers = {
        **scores.class_scores(test, y_test.to(run.device)),
        "entropy_far": entropy(predict(circle).probs.double()).mean().item(),
        "entropy_near": entropy(test.probs.double()).mean().item(),
    }
    columns = {"x": cells[:, 0].tolist(), "y": cells[:, 1].tolist()}
    shown = {**columns, "p": at_cells[:, 1].tolist(), "entropy": entropy(at_cells).tolist()}
    points = {"x": x[:, 0].tolist(), "y": x[:, 1].tolist(), "label": y.tolist()}
    return Outcome({**numbers, **cost, **latency}, {"map": shown, "points": points})


def _points(params: Plane, run: Run) -> "tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]":
    """Training and test points, standardised by those for training."""
    import numpy as np
    import torch

    if params.data == "moons":
        from sklearn.datasets import make_moons

        states = (int(run.rng("points").integers(2**31)), int(run.rng("new points").integers(2**31)))
        parts = [make_moons(n, noise=0.1, random_state=s) for n, s in zip((params.n_train, NEW), states, strict=True)]
    else:
        from bnnbench.data.kinds import table

        banana = table("banana", run.data("banana"))
        order = run.rng("points").permutation(len(banana))
        rows = np.split(order, [params.n_train])
        parts = [(banana.x[part], banana.y[part]) for part in rows]
    mean, scale = parts[0][0].mean(0), parts[0][0].std(0)
    train, test = (
        (torch.tensor((x - mean) / scale, dtype=torch.float32), torch.tensor(y, dtype=torch.int64)) for x, y in parts
    )
    return train, test
