"""What a notebook needs, by one name each: fit a method, measure it, reference draws, and results as a table.

    import bnnbench

    posterior = bnnbench.fit("laplace", net, x, y, precision="evidence")
    bnnbench.measure(posterior, x_test, y_test)["nll"]

    case = bnnbench.reference("refinement/fmnist", seed=0, scale="smoke")
    draws = my_sampler(case.log_density, case.n_params)
    case.measure(draws)["mmd"]

`import bnnbench` alone costs nothing: these names are loaded when they are asked for.
"""

import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, nn

from bnnbench.bayes.likelihood import Categorical, Likelihood
from bnnbench.bayes.method import Train
from bnnbench.bayes.posterior import Posterior
from bnnbench.bayes.prior import NumpyroPrior, Prior
from bnnbench.errors import UserError
from bnnbench.evaluation.case import ReferenceCase
from bnnbench.evaluation.scores import scores
from bnnbench.harness import config, execute, paper, plan, recorded, registry
from bnnbench.harness.config import parse

if TYPE_CHECKING:
    import pandas as pd


def fit(
    method: str,
    net: nn.Module,
    x: Any,
    y: Any,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | NumpyroPrior | None = None,
    validation: tuple[Any, Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> Posterior:
    """The posterior of a registered method (`bnnbench list methods`) with its `options`; `net` is left as it was.

    x [N, ...] and y [N] are tensors or arrays; labels are classes unless a `likelihood` says otherwise. Raises
    `UserError` for an unknown method or option, `ValueError` for a net and data that do not fit together.
    """
    chosen: Any = registry.method(method)
    params = parse(chosen.params, options, f"method {method!r}", "")
    held_out = None if validation is None else (_tensor(validation[0]), _tensor(validation[1]))
    train = Train(_tensor(x), _tensor(y), likelihood or Categorical(), held_out, prior=prior)
    posterior: Posterior = chosen.fit(net, train, params, Generator().manual_seed(seed))
    return posterior


def measure(posterior: Posterior, x: Any, y: Any, *, n_draws: int | None = None, seed: int = 0) -> dict[str, float]:
    """Scores of a posterior's predictions at test points x [N, ...] with targets y [N], as the report names them.

    Draws beside reference draws are measured by `reference(...).measure(draws)`.
    """
    generator = Generator().manual_seed(seed)
    return scores(posterior.predict(_tensor(x), n_draws, generator), _tensor(y), generator)


def reference(
    experiment: str, seed: int = 0, scale: str = "laptop", configuration: str | Path = config.DEFAULT_PATH
) -> ReferenceCase:
    """The posterior that an experiment (`refinement/fmnist`) measures methods against, with draws of long chains.

    The net and the chains are computed where the results folder does not hold them yet: at smoke scale in seconds, at
    laptop scale in minutes. Raises `UserError` for an experiment that has no such posterior.
    """
    chosen = config.load(str(configuration), {"scale": scale, "experiments": [experiment]})
    made = plan.make(chosen, str(configuration))
    job = made.jobs[0]
    module = import_module(paper.get(job.paper).module(job.experiment))
    if not hasattr(module, "reference_case"):
        raise UserError(f"{experiment}: has no reference draws; take an experiment of trained nets: refinement/fmnist")
    with tempfile.TemporaryDirectory() as folder:
        case: ReferenceCase = module.reference_case(job.params, execute.lone_run(made, job, seed, Path(folder)))
    return case


def results(folder: str | Path = "results/laptop") -> "pd.DataFrame":
    """The numbers of a results folder or of a recording: a row a variant, seed and metric.

    Raises `UserError` for a folder that holds none.
    """
    import pandas as pd

    place = Path(folder)
    if recorded.is_recording(place):
        return pd.DataFrame(_rows(place))
    table = place / "results.parquet"
    if not table.exists():
        raise UserError(f"{table}: no such file; run the workflow (snakemake), or name a recording")
    return pd.read_parquet(table)


def _rows(place: Path) -> list[Mapping[str, Any]]:
    return [
        {
            "paper": one.paper,
            "experiment": one.experiment,
            "variant": one.variant,
            "scale": one.scale,
            "seed": seed.seed,
            "metric": metric,
            "value": value,
            "unit": one.metrics[metric].unit,
            "higher_is_better": one.metrics[metric].higher_is_better,
        }
        for one in recorded.read(place)
        for seed in one.seeds
        for metric, value in seed.metrics.items()
    ]


def _tensor(values: Any) -> torch.Tensor:
    """Arrays of doubles become float32, the type of a net's parameters; tensors stay as they are."""
    if isinstance(values, torch.Tensor):
        return values
    tensor = torch.as_tensor(values)
    return tensor.float() if tensor.dtype == torch.float64 else tensor
