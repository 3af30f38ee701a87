"""Active learning on a table: a method asks for labels of rows, and is measured after every round."""

from typing import Any

from bnnbench.evaluation import measures
from bnnbench.evaluation.table_params import ActiveLearning
from bnnbench.harness.experiment import Metric, Outcome, study
from bnnbench.harness.run import Run

METRICS = (
    *measures.scored(),
    Metric("rmse_first", "", False, "root mean squared error before any label was asked for", "Active learning"),
    Metric("nll_first", "nats", False, "negative log-likelihood before any label was asked for", "Active learning"),
    Metric("accuracy_first", "%", True, "accuracy before any label was asked for", "Active learning"),
    Metric("fit_cpu_seconds", "s", False, "CPU time of the fits of all rounds", "Cost"),
)


@study(params=ActiveLearning, metrics=METRICS)
def active(params: ActiveLearning, run: Run) -> Outcome:
    """The scores after the last round, those before the first, and the table "rounds" with all of them.

    In each round the net is fitted from scratch to the labelled rows; then `batch` more rows of the pool are labelled.
    """
    from bnnbench.evaluation import inference, scores
    from bnnbench.evaluation.pools import acquired, labelled_split, pool, uncertainty
    from bnnbench.evaluation.problem import problem
    from bnnbench.evaluation.studies.tables import origin

    rows, cpu_seconds = pool(params, run), 0.0
    rounds: list[dict[str, float]] = []
    for k in range(params.rounds + 1):
        data, others = labelled_split(params, rows, run)
        here = problem("all", origin(params, data), run)
        posterior, cost = inference.fit(params.method, params.filled(), here, run)
        cpu_seconds += cost["fit_cpu_seconds"]
        test = data.in_unit(inference.predict(posterior, data.x_test, params.n_draws, run))
        rounds.append(scores.scores(test, data.y_test, run.generator("targets")))
        if k < params.rounds:
            guess = inference.predict(posterior, others, params.n_draws, run)
            worth = uncertainty(guess) if params.acquire == "uncertain" else None
            rows = rows.asked(acquired(worth, len(others), params.batch, run.generator("acquire")))
    first = {f"{name}_first": rounds[0][name] for name in ("rmse", "nll", "accuracy") if name in rounds[0]}
    table: dict[str, list[Any]] = {name: [one[name] for one in rounds] for name in rounds[-1]}
    labels = [params.n_initial + params.batch * k for k in range(len(rounds))]
    return Outcome({**rounds[-1], **first, "fit_cpu_seconds": cpu_seconds}, {"rounds": {"labels": labels, **table}})
