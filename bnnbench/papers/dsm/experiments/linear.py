"""A sparse linear model with correlated inputs, where shrinkage has a closed form."""

from bnnbench.harness.experiment import Metric, Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.dsm.settings import Linear

METRICS = (
    Metric("rmse", "", False, "of the posterior mean, on the 20 % that do not train"),
    Metric("coefficient_error", "", False, "distance of the posterior mean from the true coefficients"),
    Metric("spread_of_zeros", "", False, "mean posterior deviation of the coefficients that are 0"),
    Metric("m_eff", "", None, "sum of 1 - kappa with kappa = 1 / (1 + N scale^2 / noise^2), mean over draws"),
)


@study(params=Linear, metrics=METRICS)
def linear(params: Linear, run: Run) -> Outcome:
    """NUTS on the coefficients and the noise, or least squares."""
    import numpy as np
    import torch
    from torch import nn

    from bnnbench.bayes.likelihood import LearnedNoise
    from bnnbench.bayes.method import Train
    from bnnbench.bayes.priors.scale_mixture import scale_mixture
    from bnnbench.data.synthetic import COEFFICIENTS, authors_split, sparse_linear
    from bnnbench.harness import registry

    points = sparse_linear(params.n, params.correlation, run.seed)
    trains, tests = authors_split(params.n, run.seed)
    x, y = points.x[trains], points.y[trains]
    truth = np.array(COEFFICIENTS)
    found, tables = {}, {}
    if params.prior is None:
        mean = np.linalg.lstsq(x, y, rcond=None)[0]
    else:
        prior = scale_mixture(params.prior, 1, len(x))
        method = registry.method("nuts")
        data = Train(torch.tensor(x), torch.tensor(y), LearnedNoise(), prior=prior)
        net = nn.Linear(x.shape[1], 1, bias=False).double()
        posterior = method.fit(net, data, params.options(), run.generator("method"), run)
        theta = posterior.chains.flatten(0, 1).double()
        weights, noise = theta[:, :-1].numpy(), theta[:, -1:].exp().numpy()
        scale = posterior.sites["weight.scale"].flatten(0, 1).double().numpy().reshape(weights.shape)
        mean = weights.mean(0)
        found["m_eff"] = float((1 - 1 / (1 + len(x) * scale**2 / noise**2)).sum(1).mean())
        found["spread_of_zeros"] = float(weights[:, truth == 0].std(0).mean())
        kept = weights[:: max(1, len(weights) // 400)]
        tables["coefficients"] = {f"w{k + 1}": kept[:, k].tolist() for k in range(kept.shape[1])}
    found["rmse"] = float(np.sqrt(np.mean((points.x[tests] @ mean - points.y[tests]) ** 2)))
    found["coefficient_error"] = float(np.linalg.norm(mean - truth))
    return Outcome(found, tables)
