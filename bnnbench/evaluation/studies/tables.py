"""A method that predicts the target of a table: real numbers with a known or inferred noise, or classes."""

from typing import TYPE_CHECKING, Any

from bnnbench.evaluation import measures
from bnnbench.evaluation.table_params import TablePosterior
from bnnbench.harness.experiment import Outcome, study
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bnnbench.bayes.likelihood import Likelihood
    from bnnbench.bayes.posterior import Predictive
    from bnnbench.evaluation.problem import Origin
    from bnnbench.evaluation.tables import TableSplit

METRICS = (
    *measures.scored(),
    *measures.WEIGHTS,
    *measures.CHAINS,
    *measures.COST,
)


@study(params=TablePosterior, metrics=METRICS)
def tables(params: TablePosterior, run: Run) -> Outcome:
    """Fits the method on a split and measures its predictions of the split's test rows."""
    from bnnbench.evaluation import inference, scores
    from bnnbench.evaluation.problem import problem, reference
    from bnnbench.evaluation.tables import table_split

    data = table_split(params, run)
    here = problem(params.scope, origin(params, data), run)
    posterior, cost = inference.fit(params.method, params.filled(), here, run)

    def predict(x: "Tensor") -> "Predictive":
        return data.in_unit(inference.predict(posterior, here.inputs(x), params.n_draws, run))

    test, latency = inference.timed(predict, data.x_test, run)
    outcomes = [
        Outcome({**scores.scores(test, data.y_test, run.generator("targets")), **cost, **latency}),
        inference.diagnosed(posterior, here.inputs(data.x_test)),
    ]
    if params.reference and params.scope != "all" and hasattr(posterior, "sample"):
        options = {"precision": params.precision, "sampling": params.sampling()}
        drawn: Any = posterior
        outcomes.append(inference.compared(drawn.sample, reference(here, options, run).draws, run))
    return inference.merged(*outcomes)


def origin(params: TablePosterior, data: "TableSplit") -> "Origin":
    """The net of `params` and the rows that train it."""
    from torch import nn

    from bnnbench.bayes.likelihood import Heteroscedastic
    from bnnbench.bayes.method import Train
    from bnnbench.evaluation.networks import initialised, perceptron
    from bnnbench.evaluation.problem import Origin

    likelihood = _likelihood(params, data)
    n_outputs = data.n_classes or (2 if type(likelihood) is Heteroscedastic else 1)
    sizes = (data.x_train.shape[1], *params.widths, n_outputs)
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[params.activation]

    def new(run: Run) -> "nn.Module":
        return initialised(perceptron(sizes, activation), run.generator("init")).to(run.device)

    train = Train(data.x_train, data.y_train, likelihood, data.validation)
    return Origin(new, train, params.training(), params.shared(), (params.dataset,))


def _likelihood(params: TablePosterior, data: "TableSplit") -> "Likelihood":
    from bnnbench.bayes.likelihood import Categorical, Gaussian, Heteroscedastic, LearnedNoise

    if data.n_classes:
        return Categorical()
    if params.noise == "learned":
        return LearnedNoise()
    return Heteroscedastic() if params.noise == "heteroscedastic" else Gaussian(params.noise / data.scale)
