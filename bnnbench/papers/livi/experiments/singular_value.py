"""How fast the iteration finds the smallest singular value, and what its truncation does to the bound."""

from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, study
from bnnbench.harness.run import Run

COUNTS = (3, 5, 12, 50, 200)
Shape = tuple[PositiveInt, PositiveInt]


class SingularValue(Params):
    """A generator of matrix products at its start."""

    shapes: tuple[Shape, ...] = Field(((10, 10), (60, 60), (100, 50)), description="of noise, hidden and last matrices")
    sigma: PositiveFloat = 0.001
    samples: PositiveInt = Field(10, description="draws of noise")


METRICS = (
    *(Metric(f"excess_{k}", "", False, f"median of iterated over exact value after {k} iterations") for k in COUNTS),
    Metric("half_log_det", "nats", None, "entropy by the log determinant"),
    Metric("bound", "nats", None, "its lower bound by the exact smallest singular value"),
    *(Metric(f"bound_{k}", "nats", None, f"the bound after {k} iterations") for k in COUNTS),
    *(Metric(f"released_{k}", "nats", None, f"the released code's form after {k} iterations") for k in COUNTS[:2]),
    Metric("looseness", "nats", None, "log determinant minus exact bound"),
)


@study(params=SingularValue, metrics=METRICS)
def singular_value(params: SingularValue, run: Run) -> Outcome:
    """Against a full decomposition in double precision."""
    import torch

    from bnnbench.bayes.implicit import entropy
    from bnnbench.bayes.implicit.generators import matrix_generator
    from bnnbench.bayes.noise import normal

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(int(torch.randint(2**31, (), generator=run.generator("init"))))
        n_weights = params.shapes[-1][0] * params.shapes[-1][1]
        generator = matrix_generator(params.shapes, n_weights).double()
        like = torch.zeros((), dtype=torch.float64)
        at = generator.linearised(normal((params.samples, generator.n_noise), run.generator("noise"), like))
        jacobian, n_noise = at.jacobian(), generator.n_noise
        exact = torch.linalg.svdvals(jacobian)[:, -1]
        start = entropy.random_directions(params.samples, n_noise, run.generator("directions"), like)
        numbers: dict[str, Any] = {
            "half_log_det": entropy.log_det(jacobian, params.sigma).mean().item(),
            "bound": entropy.smallest_value_bound(exact, n_noise, params.sigma).mean().item(),
        }
        for k in COUNTS:
            value = entropy.smallest_singular_value(at, entropy.towards_smallest(at, start, k))
            numbers[f"excess_{k}"] = (value / exact).median().item()
            numbers[f"bound_{k}"] = entropy.smallest_value_bound(value, n_noise, params.sigma).mean().item()
            if f"released_{k}" in {metric.name for metric in METRICS}:
                released = entropy.smallest_value_bound_released(value, n_noise, params.sigma)
                numbers[f"released_{k}"] = released.mean().item()
    return Outcome({**numbers, "looseness": numbers["half_log_det"] - numbers["bound"]})
