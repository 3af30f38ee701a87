"""Training: named terms, progress, steps, clipping, rates by group, and steps of torch's own optimizers."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from problems import stream
from pydantic import ValidationError
from test_checkpoints import Kept, Killed
from torch import Tensor, nn

from bnnbench.bayes.journal import SILENT
from bnnbench.bayes.likelihood import Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.training import Training, batches, descend, n_batches
from bnnbench.harness import registry

X = torch.randn(20, 3, generator=stream(), dtype=torch.float64)
Y = X.sum(1)


class Seen:
    """A journal that keeps curves."""

    steps, checkpoint, restore = SILENT.steps, SILENT.checkpoint, SILENT.restore

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log(self, step: int, **values: float) -> None:
        self.rows.append((step, values))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def trained(module: nn.Module, journal: Any = SILENT, **options: Any) -> list[float]:
    """Trains the module on squares; returns the progress of every step."""
    progresses = []

    def objective(rows: Tensor, progress: float) -> Tensor:
        progresses.append(progress)
        loss: Tensor = (module(X[rows])[:, 0] - Y[rows]).square().mean()
        return loss

    descend(module, objective, len(X), Training(batch_size=6, **options), stream(), journal)
    return progresses


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 11])
def test_so_many_steps_are_made_as_are_asked_for(steps: int) -> None:
    progresses = trained(net(), steps=steps)  # 4 batches an epoch
    assert progresses == pytest.approx([k / steps for k in range(steps)])


def test_progress_of_epochs_rises_from_0_to_1() -> None:
    assert trained(net(), epochs=3) == pytest.approx([k / 12 for k in range(12)])


@pytest.mark.parametrize(("n", "size"), [(20, 6), (19, 6), (13, 6), (7, 6), (6, 6), (1, 6), (5, 1), (1, 1), (12, 20)])
def test_batches_are_counted(n: int, size: int) -> None:
    assert n_batches(n, size) == len(batches(n, size, stream(), torch.device("cpu")))


def test_a_killed_training_by_steps_goes_on_to_the_same_bits() -> None:
    whole, killed = net(), net()
    trained(whole, steps=11, learning_rate=0.01)
    journal = Kept(2)
    with pytest.raises(Killed):
        trained(killed, journal, steps=11, learning_rate=0.01)
    again = net()
    generator = stream()
    batches(len(X), 6, generator, torch.device("cpu"))  # the stream after the first epoch

    def objective(rows: Tensor, progress: float) -> Tensor:
        loss: Tensor = (again(X[rows])[:, 0] - Y[rows]).square().mean()
        return loss

    training = Training(batch_size=6, steps=11, learning_rate=0.01)
    descend(again, objective, len(X), training, generator, Kept(saved=journal.saved))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_terms_are_summed_and_each_is_logged() -> None:
    module, journal = net(), Seen()

    def objective(rows: Tensor, progress: float) -> dict[str, Tensor]:
        fit = (module(X[rows])[:, 0] - Y[rows]).square().mean()
        return {"fit": fit, "kl": 100 * progress * torch.ones(()).double()}

    descend(module, objective, len(X), Training(batch_size=6, epochs=2), stream(), journal)
    reference = net()
    trained(reference, epochs=2)
    for own, other in zip(module.parameters(), reference.parameters(), strict=True):
        assert torch.equal(own, other)  # a term without a gradient changes nothing
    for k, (step, values) in enumerate(journal.rows):
        assert step == k + 1
        assert values["loss"] == pytest.approx(values["fit"] + values["kl"])
        assert values["kl"] == pytest.approx(100 * sum((4 * k + j) / 8 for j in range(4)) / 4)


def test_curves_of_long_trainings_are_thinned() -> None:
    journal = Seen()
    trained(net(), journal, epochs=1000)
    steps = [step for step, _ in journal.rows]
    assert 300 <= len(steps) <= 301
    assert steps[-1] == 1000


def in_groups(module: nn.Module) -> list[dict[str, Any]]:
    first = [module.get_parameter("0.weight"), module.get_parameter("0.bias")]
    return [
        {"params": first},
        {"params": [module.get_parameter("2.weight")], "lr": 5e-3},
        {"params": [module.get_parameter("2.bias")], "lr": 3e-2},
    ]


Optimizer = Callable[[nn.Module], torch.optim.Optimizer]
PEERS: dict[str, tuple[dict[str, Any], Optimizer, float | None]] = {
    "adam": ({}, lambda m: torch.optim.Adam(m.parameters(), 1e-2), None),
    "amsgrad": ({"amsgrad": True}, lambda m: torch.optim.Adam(m.parameters(), 1e-2, amsgrad=True), None),
    "clipped": ({"optimizer": "sgd", "clip": 0.1}, lambda m: torch.optim.SGD(m.parameters(), 1e-2, 0.9), 0.1),
    "groups": (
        {"rates": {"2": 0.5, "2.bias": 3.0}},
        lambda m: torch.optim.Adam(in_groups(m), 1e-2),
        None,
    ),
}


@pytest.mark.parametrize("kind", PEERS)
def test_steps_are_those_of_torchs_optimizers(kind: str) -> None:
    options, made, clip = PEERS[kind]
    module, reference = net(), net()
    trained(module, learning_rate=1e-2, schedule="constant", epochs=5, **options)
    optimizer, generator = made(reference), stream()
    for _ in range(5):
        for rows in batches(len(X), 6, generator, X.device):
            optimizer.zero_grad()
            (reference(X[rows])[:, 0] - Y[rows]).square().mean().backward()
            if clip is not None:
                norm = torch.cat([p.grad.reshape(-1) for p in reference.parameters()]).norm()  # type: ignore[union-attr]
                for parameter in reference.parameters():
                    parameter.grad *= min(1.0, clip / norm.item())
            optimizer.step()
    for own, other in zip(module.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(own, other, rtol=1e-5, atol=1e-7)


def test_a_rate_of_no_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^rates: no parameter's name begins with '3'; the net has 0.weight"):
        trained(net(), rates={"3": 1.0})
    for wrong in ({"steps": 0}, {"clip": 0.0}, {"rates": {"0": -1.0}}):
        with pytest.raises(ValidationError):
            Training(**wrong)


def test_a_prior_is_a_term_of_its_own() -> None:
    from bnnbench.bayes.prior import IsotropicNormal

    journal, model = Seen(), net()
    train = Train(X, Y, Gaussian(1.0), prior=IsotropicNormal(2.0))
    options = {"training": {"epochs": 1, "batch_size": 20, "learning_rate": 1e-9}}
    registry.method("map").fit(deepcopy(model), train, options, stream(), journal)
    (_, values), theta = journal.rows[0], nn.utils.parameters_to_vector(model.parameters())
    expected = -torch.distributions.Normal(0.0, 0.5**0.5).log_prob(theta).sum() / 20
    assert values["prior"] == pytest.approx(expected.item())
    assert values["loss"] == pytest.approx(values["data"] + values["prior"])
