"""A checkpoint is taken by the fit that wrote it and by no other; what is no checkpoint is a fresh start."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import stream
from torch import Generator, Tensor, nn

from bnnbench.bayes.identity import checksum
from bnnbench.bayes.journal import SILENT, Resumable, Stages, State, streams
from bnnbench.bayes.likelihood import Gaussian, Likelihood
from bnnbench.bayes.method import Train
from bnnbench.harness import registry

X = torch.randn(40, 3, generator=stream())
Y = X.sum(1)
BRIEF: dict[str, Any] = {"epochs": 4, "batch_size": 16}
MAP: dict[str, Any] = {"training": BRIEF}


class Killed(Exception):
    """Stands for a signal."""


class Kept:
    """A journal in memory that dies once at `death` logs; as that of a job, it puts back streams by itself."""

    steps = staticmethod(SILENT.steps)

    def __init__(self, death: int = 10**9, saved: Any = None, generator: Generator | None = None) -> None:
        self.left, self.saved, self.generator, self.logged = death, saved, generator, 0

    def log(self, step: int, **values: float) -> None:
        self.logged += 1
        if self.logged == self.left:
            raise Killed

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        self.saved = deepcopy((step, state()))

    def restore(self) -> Any:
        if self.saved is not None and self.generator is not None:
            self.generator.manual_seed(99)
        return self.saved


def net(width: int = 5) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))


def train(x: Tensor = X, y: Tensor = Y, noise: float = 0.3) -> Train:
    return Train(x, y, Gaussian(noise), validation=(x[:9], y[:9]))


def fit(name: str, model: nn.Module, data: Train, params: Mapping[str, Any], saved: Any) -> tuple[Tensor, int]:
    """Draws of a fit that finds `saved`, and how many epochs it computed."""
    generator = stream(3)
    journal = Kept(saved=saved, generator=generator)
    posterior: Any = registry.method(name).fit(model, data, params, generator, journal)
    return posterior.sample(2, stream()), journal.logged


def killed(name: str, params: Mapping[str, Any], death: int = 3) -> Any:
    """The checkpoint that a killed fit leaves."""
    journal = Kept(death)
    with pytest.raises(Killed):
        registry.method(name).fit(net(), train(), params, stream(3), journal)
    assert journal.saved is not None
    return journal.saved


def frozen() -> nn.Module:
    found = net()
    found[0].requires_grad_(False)
    return found


def one_bit(x: Tensor) -> Tensor:
    found = x.clone()
    found.view(-1)[17] *= 1 + 2.0**-23
    return found


OTHERS: dict[str, tuple[nn.Module, Train, dict[str, Any]]] = {
    "parameters": (net(), train(), {"training": {**BRIEF, "learning_rate": 0.01}}),
    "epochs": (net(), train(), {"training": {**BRIEF, "epochs": 5}}),
    "width": (net(6), train(), MAP),
    "frozen": (frozen(), train(), MAP),
    "float64": (net().double(), train(X.double()), MAP),
    "inputs": (net(), train(one_bit(X)), MAP),
    "targets": (net(), train(y=one_bit(Y)), MAP),
    "order": (net(), train(X.flip(0), Y.flip(0)), MAP),
    "fewer": (net(), train(X[:-1], Y[:-1]), MAP),
    "likelihood": (net(), train(noise=0.4), MAP),
    "validation": (net(), Train(X, Y, Gaussian(0.3), validation=(X[1:9], Y[1:9])), MAP),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_checkpoint_of_another_fit_is_left_alone(kind: str) -> None:
    saved = killed("map", MAP)
    model, data, params = OTHERS[kind]
    fresh, epochs = fit("map", model, data, params, None)
    found, computed = fit("map", model, data, params, saved)
    assert torch.equal(found, fresh)
    assert computed == epochs


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("map", MAP),
        ("dropout", MAP),
        ("swag", {**MAP, "snapshots": 2}),
        ("mfvi", MAP),
        ("avb", MAP),
        ("kivi", MAP),
        ("livi", MAP),
    ],
)
def test_the_fit_that_wrote_a_checkpoint_goes_on_from_it(name: str, params: dict[str, Any]) -> None:
    saved = killed(name, params)
    whole, epochs = fit(name, net(), train(), params, None)
    found, computed = fit(name, net(), train(), params, saved)
    assert torch.equal(found, whole)
    assert computed == epochs - 2


@pytest.mark.parametrize("other", ["dropout", "mfvi", "swag", "csghmc", "ensemble"])
def test_a_checkpoint_of_another_method_is_left_alone(other: str) -> None:
    params: dict[str, Any] = {"cycles": 1, "epochs_per_cycle": 4} if other == "csghmc" else MAP
    saved = killed(other, params)
    assert torch.equal(fit("map", net(), train(), MAP, saved)[0], fit("map", net(), train(), MAP, None)[0])


def damaged() -> dict[str, Any]:
    """What may lie where a checkpoint is looked for."""
    step, state = killed("map", MAP)
    found: dict[str, Any] = {
        f"without {name}": (step, {key: value for key, value in state.items() if key != name}) for name in state
    }
    wrong = [None, 3, "text", [], [torch.zeros(2)], {}, [torch.zeros(3, dtype=torch.uint8)] * 2, state["streams"][:1]]
    for k, value in enumerate(wrong):
        found[f"streams {k}"] = (step, {**state, "streams": value})
        found[f"whole {k}"] = (step, value)
    for k, value in enumerate(wrong[:5]):
        found[f"state {k}"] = (step, {**state, "state": value})
        found[f"fit {k}"] = (step, {**state, "fit": value})
    return found


@pytest.mark.parametrize("kind", damaged())
def test_what_is_no_checkpoint_is_a_fresh_start(kind: str) -> None:
    fresh, epochs = fit("map", net(), train(), MAP, None)
    found, computed = fit("map", net(), train(), MAP, damaged()[kind])
    assert torch.equal(found, fresh)
    assert computed == epochs


def never(journal: Any) -> State:
    raise AssertionError("computed")


def stages_state() -> State:
    journal, generator = Kept(), stream()
    stages = Stages(journal, generator)
    stages.run("first", lambda journal: {"value": torch.rand(1, generator=generator)})
    with pytest.raises(Killed):
        stages.run("second", lambda journal: _unfinished(journal, generator))
    state: State = journal.saved[1]
    return state


def _unfinished(journal: Any, generator: Generator) -> State:
    journal.checkpoint(2, lambda: {"value": torch.rand(1, generator=generator)})
    raise Killed


def test_stages_go_on_from_what_they_wrote_and_from_nothing_else() -> None:
    state = stages_state()
    assert (
        Stages(Kept(saved=(5, state)), stream(9)).run("first", never)["value"]
        == state["done"]["first"]["result"]["value"]
    )
    inner = {**state["current"], "streams": None}
    broken: list[Any] = [
        {},
        None,
        3,
        {**state, "done": [1]},
        {**state, "done": {"first": 1}},
        {**state, "current": inner},
    ]
    broken += [
        {**state, "start": [torch.zeros(2)]},
        {**state, "current": 1},
        {key: state[key] for key in ("start", "done")},
    ]
    for saved in broken:
        generator = stream(9)
        before = streams(generator)
        stages = Stages(Kept(saved=(5, saved)), generator)
        assert stages.step == 0
        assert all(torch.equal(a, b) for a, b in zip(streams(generator), before, strict=True))
        assert stages.run("first", lambda journal: {"value": 7}) == {"value": 7}


def test_nothing_is_summed_where_nothing_is_kept() -> None:
    journal = Resumable(SILENT, stream(), torch.device("cpu"), lambda: never(SILENT))
    assert journal.restore() is None
    journal.checkpoint(1, dict)


class Slotted:
    """A likelihood whose default representation holds its address."""

    def __init__(self, inner: Likelihood) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_likelihood_of_ones_own_is_known_again() -> None:
    def data() -> Train:
        return Train(X, Y, Slotted(Gaussian(0.3)))

    journal = Kept(3)
    with pytest.raises(Killed):
        registry.method("map").fit(net(), data(), MAP, stream(3), journal)
    assert fit("map", net(), data(), MAP, journal.saved)[1] == 2


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 5), st.sampled_from(["float32", "int64", "bool"]))
def test_a_checksum_sees_every_value_and_no_layout(seed: int, n: int, d: int, kind: str) -> None:
    values = torch.randint(0, 2, (n, d), generator=stream(seed)).to(getattr(torch, kind))
    assert checksum(values.T.contiguous().T) == checksum(values.clone()) == checksum(values)
    other = values.clone()
    place = seed % values.numel()
    other.view(-1)[place] = 1 - int(other.view(-1)[place])
    assert checksum(other) != checksum(values)
    assert checksum(values.reshape(-1)) != checksum(values)
    assert checksum(values, "a") != checksum(values, "b")
