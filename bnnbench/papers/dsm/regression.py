"""All that is measured of one regression's draws, so that nothing is sampled twice."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnnbench.bayes.diagnostics import bulk_size
from bnnbench.bayes.effective import retained_shares
from bnnbench.bayes.posterior import RealPredictive
from bnnbench.evaluation import inference, scores, sparsity
from bnnbench.harness.experiment import Outcome
from bnnbench.harness.run import Run
from bnnbench.metrics import regression as metrics
from bnnbench.papers.dsm.nets import Fitted, fit, likelihood_of
from bnnbench.papers.dsm.settings import SHARES, Regression

SHOWN = 4  # outputs whose traces are kept
PRUNED_DRAWS = 500  # spread over the chains, by which pruning is judged
SCHEMES: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "draw": sparsity.pruned_per_draw,
    "mask": sparsity.pruned_by_one_mask,
    "matched": sparsity.pruned_by_matched_mask,
}


class Data:
    """Inputs [N, p] and targets [N] that train and test, and those of the authors' stored split; targets as
    measured.
    """

    def __init__(
        self,
        train: tuple[Any, Any],
        test: tuple[Any, Any],
        stored: tuple[Any, Any] | None = None,
        active: tuple[int, ...] = (),
        standardised: bool = True,
    ) -> None:
        (self.x, y), (self.x_test, self.y_test) = map(_tensors, (train, test))
        self.stored = None if stored is None else _tensors(stored)
        self.active = active
        self.mean, self.scale = (y.mean().item(), y.std(correction=0).item()) if standardised else (0.0, 1.0)
        self.y = (y - self.mean) / self.scale


def _tensors(pair: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(np.asarray(pair[0], float)), torch.as_tensor(np.asarray(pair[1], float))


def measured(params: Regression, data: Data, run: Run) -> Outcome:
    """Fits the net and measures predictions, chains, pruning, effective parameters and the choice of inputs."""
    fitted = fit(params, data.x, data.y, likelihood_of(params), 1, run)
    outputs = fitted.outputs(data.x_test)
    noise = fitted.theta[:, -1].exp() if params.noise is None else outputs.new_full((len(outputs),), params.noise)
    spread = (data.scale * noise[:, None]).expand_as(outputs)
    predicted = RealPredictive(data.mean + data.scale * outputs, spread)
    found = scores.real_scores(predicted, data.y_test, run.generator("targets"))
    found |= {**_as_authors(predicted.mean, data, fitted), "noise": noise.mean().item(), **fitted.cost}
    found["steps"] = fitted.posterior.sampled.n_steps.double().mean().item()
    chains = outputs[:, : inference.DIAGNOSED].unflatten(0, fitted.posterior.chains.shape[:2])
    found["ess_per_cpu_second"] = bulk_size(chains).nanmedian().item() / fitted.cost["fit_cpu_seconds"]
    return inference.merged(
        Outcome(found, {"traces": _traces(chains)}),
        inference.diagnosed(fitted.posterior, data.x_test),
        _pruned(fitted, data),
        _effective(fitted, params, data, noise),
        _selected(fitted, data),
    )


def _as_authors(mean: Tensor, data: Data, fitted: Fitted) -> dict[str, float]:
    """Means over draws of the RMSE, in units of the scale that standardised the targets; CRPS without noise."""
    found = {"rmse_draws": _rmse_of_draws((mean - data.y_test) / data.scale)}
    found["crps_noise_free"] = metrics.crps(mean, data.y_test)
    if data.stored is not None:
        x, y = data.stored
        found["rmse_stored"] = _rmse_of_draws(fitted.outputs(x) - (y - data.mean) / data.scale)
    return found


def _rmse_of_draws(errors: Tensor) -> float:
    return errors.square().mean(1).sqrt().mean().item()


def _traces(chains: Tensor) -> dict[str, list[Any]]:
    """Outputs at the first test points along the chains [K, n, N]."""
    k, n = chains.shape[:2]
    return {
        "chain": [c for c in range(k) for _ in range(n)],
        "draw": list(range(n)) * k,
        **{f"output_{i}": chains[..., i].flatten().tolist() for i in range(min(SHOWN, chains.shape[2]))},
    }


def _pruned(fitted: Fitted, data: Data) -> Outcome:
    """RMSE of the posterior mean with part of the first layer's weights set to 0, by three schemes."""
    theta = fitted.theta[fitted.spread(PRUNED_DRAWS)]
    first = fitted.parts(theta)["first"]
    found = {}
    for scheme, prune in SCHEMES.items():
        for share in SHARES:
            mean = fitted.outputs(data.x_test, fitted.with_first(theta, prune(first, share / 100))).mean(0)
            found[f"rmse_pruned_{scheme}_{share}"] = metrics.rmse(data.mean + data.scale * mean, data.y_test)
    return Outcome(found)


def _effective(fitted: Fitted, params: Regression, data: Data, noise: Tensor) -> Outcome:
    """m_eff with the prior's own precision and with that of the authors' code, and the curve of shares."""
    if params.depth > 1 or params.diagnosed == 0:
        return Outcome({})
    chosen = fitted.spread(params.diagnosed)
    parts = fitted.parts(fitted.theta[chosen])
    scale = fitted.site("0.scale")[chosen]
    width, inputs = scale.shape[1:]
    known = params.prior.known_scale(inputs, width)

    def shares(scale: Tensor) -> Tensor:
        return retained_shares(data.x, parts["first"], parts["bias"], parts["output"][:, 0], noise[chosen], scale)

    own = shares(scale)
    authors = own if known == 1.0 else shares(scale / known)
    low, middle, high = own.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=own.dtype), dim=0)
    curve = {
        "rank": list(range(1, own.shape[1] + 1)),
        "low": low.tolist(),
        "median": middle.tolist(),
        "high": high.tolist(),
    }
    return Outcome(
        {"m_eff": own.sum(1).mean().item(), "m_eff_authors": authors.sum(1).mean().item()},
        {"eigenvalues": curve, "m_eff": {"own": own.sum(1).tolist(), "authors": authors.sum(1).tolist()}},
    )


def _selected(fitted: Fitted, data: Data) -> Outcome:
    """How well the weights rank the inputs that matter; the weights of one draw, for a drawing."""
    parts = fitted.parts(fitted.theta)
    last = parts["first"][-1]
    table = {
        "unit": [j for j in range(last.shape[0]) for _ in range(last.shape[1])],
        "input": list(range(last.shape[1])) * last.shape[0],
        "weight": last.flatten().tolist(),
    }
    if not data.active or fitted.posterior.net.n_params == 0 or parts["output"].shape[2] != last.shape[0]:
        return Outcome({}, {"weights": table})
    ranks = sparsity.input_scores(parts["first"], parts["output"][:, 0])
    return Outcome({"selection": sparsity.selection(ranks, data.active)}, {"weights": table})
