"""The last-layer Hessian and a refinement step beside laplace-torch and Pyro: one thread, CPU time, interleaved.

Plain `pytest` runs everything once on little data; `pytest --benchmark` measures; with `-s` it prints ratios to ours.
"""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from bnnbench.bayes import last_layer
from bnnbench.bayes.flows import RadialFlow
from bnnbench.bayes.gaussian import LaplaceNormal
from bnnbench.bayes.gp_weights.metagp import MetaGPParams, made
from bnnbench.bayes.journal import SILENT
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import LinearNet
from bnnbench.bayes.refine import PUBLISHED, Refined, fit_flow
from bnnbench.bayes.target import Target
from bnnbench.harness.stopwatch import interleaved
from bnnbench.papers.gp_prior.dense import dense_outputs, pairs_outputs

OURS, N_FEATURES, N_CLASSES, PRECISION = "ours", 84, 10, 510.0
NET = LinearNet(N_FEATURES, N_CLASSES)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features [n, 84] like those after a ReLU, labels, and the parameters that the labels were drawn from."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, N_FEATURES, generator=generator).relu()
    theta = 0.2 * torch.randn(NET.n_params, generator=generator)
    p = NET.outputs(theta[None], x)[0].softmax(-1)
    return x, torch.multinomial(p, 1, generator=generator)[:, 0], theta


def measure(benchmark: Any, candidates: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Times all candidates interleaved and leaves their median ratio to ours in the benchmark's record."""
    spent = interleaved(candidates, 1 if benchmark.disabled else rounds)
    seconds = {name: median(times) for name, times in spent.items()}
    ratios = {name: median(t / o for t, o in zip(times, spent[OURS], strict=True)) for name, times in spent.items()}
    benchmark.extra_info.update({"seconds": seconds, "ratio": ratios})
    if not benchmark.disabled:
        print(*(f"\n{name}: {seconds[name]:.3f} s, {ratios[name]:.1f} times ours" for name in spent))
    benchmark.pedantic(candidates[OURS], rounds=3)


@pytest.mark.benchmark(group="last-layer Hessian, 60,000 x 84 features, 10 classes")
def test_last_layer_hessian(benchmark: Any) -> None:
    laplace = pytest.importorskip("laplace")
    from torch.utils.data import DataLoader, TensorDataset

    x, y, theta = data(200 if benchmark.disabled else 60_000)
    layer = nn.Linear(N_FEATURES, N_CLASSES)
    nn.utils.vector_to_parameters(theta, layer.parameters())
    loader = DataLoader(TensorDataset(x, y), batch_size=min(len(x), 1000))

    def theirs() -> Tensor:
        approximation = laplace.Laplace(layer, "classification", subset_of_weights="all", hessian_structure="full")
        approximation.fit(loader)
        found: Tensor = approximation.H
        return found

    def ours() -> Tensor:
        return last_layer.hessian(NET, theta, x, Categorical())

    expected = theirs()
    assert (ours() - expected).abs().max() < 1e-4 * expected.abs().max()
    measure(benchmark, {OURS: ours, "laplace-torch, default backend": theirs}, rounds=3)


@pytest.mark.benchmark(group="refinement, one epoch of 469 steps on 850 parameters")
@pytest.mark.parametrize("length", [1, 5, 30])
def test_refinement_epoch(benchmark: Any, length: int) -> None:
    pytest.importorskip("pyro")
    n = 300 if benchmark.disabled else 60_000
    x, y, theta = data(n)
    base = LaplaceNormal(theta, last_layer.curvature(NET, theta, x, Categorical(), "full"), 15.0)
    target = Target(NET, x, y, Categorical(), PRECISION)
    generator = torch.Generator().manual_seed(0)
    flow = RadialFlow(length, NET.n_params, generator)

    def ours() -> None:
        settings = PUBLISHED.model_copy(update={"epochs": 1})
        fit_flow(Refined(flow, base), target, settings, 1, generator, SILENT)

    measure(benchmark, {OURS: ours, "Pyro AutoNormalizingFlow": pyro_epoch(x, y, base, length)}, rounds=3)


def pyro_epoch(x: Tensor, y: Tensor, base: LaplaceNormal, length: int) -> Callable[[], None]:
    """The same epoch with Pyro's guide, objective and optimiser."""
    import pyro
    from pyro import distributions as dist
    from pyro.infer import SVI, Trace_ELBO
    from pyro.infer.autoguide import AutoNormalizingFlow

    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    scale = base.push(torch.eye(NET.n_params)) - base.mean
    root = torch.linalg.cholesky(scale.T @ scale)

    class Guide(AutoNormalizingFlow):
        def get_base_dist(self) -> Any:
            return dist.MultivariateNormal(base.mean, scale_tril=root)

    def model(x: Tensor, y: Tensor) -> None:
        prior = dist.Normal(torch.zeros(NET.n_params), PRECISION**-0.5).to_event(1)
        theta = pyro.sample("theta", prior)
        logits = NET.outputs(theta.unsqueeze(0), x)[0]
        with pyro.plate("data", size=60_000, subsample_size=len(x)):
            pyro.sample("y", dist.Categorical(logits=logits), obs=y)

    optim, guide_of = cast(Any, pyro.optim), cast(Any, Guide)
    guide = guide_of(model, lambda dim: dist.transforms.iterated(length, dist.transforms.radial, dim))
    optimizer = optim.CosineAnnealingLR(
        {"optimizer": torch.optim.Adam, "optim_args": {"lr": 1e-3}, "T_max": 20 * len(x) // PUBLISHED.batch_size}
    )
    svi = SVI(model, guide, optimizer, Trace_ELBO())

    def epoch() -> None:
        for rows in torch.randperm(len(x)).split(PUBLISHED.batch_size):
            svi.step(x[rows], y[rows])
            optimizer.step()

    return epoch


@pytest.mark.benchmark(group="a step of metagp: one input, 20 hidden units, 50 points, 30 codes, 15 contexts, 2 draws")
def test_step_of_a_process_over_weights(benchmark: Any) -> None:
    """Through the kernel's factors beside moments of every weight, and beside free pairs of inducing points."""
    small = benchmark.disabled
    train = Train(
        torch.linspace(-1.2, 1.2, 10 if small else 50)[:, None], torch.zeros(10 if small else 50), Gaussian(0.1)
    )
    model = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 1))
    net = made(
        model, train, MetaGPParams.model_validate({"auxiliary": {"kind": "rbf"}}), torch.Generator().manual_seed(0)
    )

    def step(outputs: Callable[..., Tensor]) -> Callable[[], None]:
        def run() -> None:
            net.zero_grad(set_to_none=True)
            stream = torch.Generator().manual_seed(1)
            made_outputs = outputs(net, train.x, net.draw(2, stream), stream)
            (train.likelihood.nll(made_outputs, train.y).mean() + net.kl() / len(train)).backward()

        return run

    candidates = {
        OURS: step(type(net).outputs),
        "moments of every weight": step(dense_outputs),
        "pairs of inducing points": step(pairs_outputs),
    }
    measure(benchmark, candidates, rounds=20)
