"""Every registered method on classes and on real targets: repeatable, continued after a kill, open to others."""

import textwrap
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import forget_registered
from problems import stream
from pydantic import BaseModel, ValidationError
from torch import Generator, Tensor, nn

from bnnbench.bayes.journal import moved
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import WholeNet
from bnnbench.bayes.posterior import ClassPredictive, RealPredictive
from bnnbench.errors import UserError
from bnnbench.harness import registry
from bnnbench.harness.run import Run

BRIEF: dict[str, Any] = {"epochs": 3, "batch_size": 16}
QUICK: dict[str, dict[str, Any]] = {
    "map": {"training": BRIEF},
    "temperature": {"training": BRIEF},
    "ensemble": {"training": BRIEF, "members": 2},
    "dropout": {"training": BRIEF},
    "mfvi": {"training": BRIEF},
    "avb": {"training": BRIEF, "generator": {"kind": "dense", "noise": 6, "hidden": [8]}, "discriminator": [4]},
    "kivi": {"training": BRIEF, "generator": {"kind": "dense", "noise": 6, "hidden": [8]}, "compared": 9},
    "livi": {"training": BRIEF, "generator": {"kind": "dense", "noise": 6, "hidden": [8]}},
    "metagp": {"training": BRIEF, "inducing": 6},
    "metaprior": {"training": BRIEF, "hidden": 8},
    "swag": {"training": BRIEF, "snapshots": 3},
    "csghmc": {"cycles": 2, "epochs_per_cycle": 3, "draws_per_cycle": 2, "learning_rate": 0.01},
    "laplace": {"training": BRIEF},
    "refine": {"training": BRIEF, "optimisation": BRIEF, "precision": 5.0},
    "hmc": {"training": BRIEF, "precision": 5.0, "sampling": {"chains": 2, "draws": 6, "warmup": 4}},
    "nuts": {"training": BRIEF, "precision": 5.0, "chains": 2, "draws": 6, "warmup": 6, "block": 4},
    "gp": {"restarts": 1},
}
ONLY = {"temperature": "classes", "gp": "real"}  # the one task of a method that has not both


def task_of(name: str) -> str:
    return ONLY.get(name, "classes")


def problem(task: str) -> tuple[nn.Module, Train]:
    torch.manual_seed(0)
    x = torch.randn(60, 3, generator=stream())
    likelihood = Categorical() if task == "classes" else Gaussian(0.3)
    y = x.argmax(1) if task == "classes" else x.sum(1)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3 if task == "classes" else 1))
    return net, Train(x[:40], y[:40], likelihood, validation=(x[40:], y[40:]))


def numbers(predictive: Any) -> Tensor:
    found: Tensor = predictive.logits if isinstance(predictive, ClassPredictive) else predictive.mean
    return found


def test_every_method_of_the_project_is_tried_here() -> None:
    ours = {name for name, point in registry.methods().items() if point.value.startswith("bnnbench.")}
    assert ours == set(QUICK)


@pytest.mark.parametrize("task", ["classes", "real"])
@pytest.mark.parametrize("name", QUICK)
def test_methods_fit_and_predict_and_repeat_themselves(name: str, task: str) -> None:
    if ONLY.get(name, task) != task:
        pytest.skip(f"{name} is of {ONLY[name]}")
    net, train = problem(task)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    method = registry.method(name)
    predictions = []
    for _ in range(2):
        generator = stream(3)
        posterior = method.fit(net, train, QUICK[name], generator)
        torch.rand(5)  # the global stream does not matter
        predictions.append(posterior.predict(train.x, 4, generator))
    first, second = predictions
    assert isinstance(first, ClassPredictive if task == "classes" else RealPredictive)
    assert torch.equal(numbers(first), numbers(second))
    assert 1 <= first.n_draws <= 4
    assert numbers(first).shape == ((first.n_draws, 40, 3) if task == "classes" else (first.n_draws, 40))
    assert torch.isfinite(numbers(first)).all()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    if isinstance(first, ClassPredictive):
        assert torch.allclose(first.probs.sum(1), torch.ones(40), atol=1e-5)
    else:
        assert torch.isfinite(first.log_density(train.y)).all()


@pytest.mark.parametrize("name", QUICK)
def test_parameters_are_described_and_strict(name: str) -> None:
    params = registry.method(name).params
    assert issubclass(params, BaseModel)
    with pytest.raises(ValidationError, match="Extra inputs"):
        params.model_validate({"no_such_parameter": 1})


@pytest.mark.parametrize("name", ["hmc", "nuts", "refine"])
def test_a_last_layer_may_have_no_bias(name: str) -> None:
    _, train = problem("classes")
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))
    posterior: Any = registry.method(name).fit(net, train, {**QUICK[name], "training": None}, stream())
    assert posterior.sample(2, stream()).shape == (2, 15)
    assert torch.isfinite(numbers(posterior.predict(train.x, 2, stream()))).all()


class Killed(Exception):
    """Stands for a signal."""


class Mortal(Run):
    """A run that dies when it is asked to log for the n-th time."""

    left = 10**9

    def log(self, step: int, **values: float) -> None:
        super().log(step, **values)
        self.left -= 1
        if self.left == 0:
            raise Killed


Streams = Callable[[Run], Generator | None]
STREAMS: dict[str, Streams] = {
    "of the run": lambda run: run.generator("fit"),
    "of its own": lambda run: stream(3),
    "none": lambda run: None,
}


def with_dropout(global_seed: int) -> tuple[nn.Module, Train]:
    _, train = problem("classes")
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3))
    torch.manual_seed(global_seed)
    return net, train


def fit(
    name: str,
    folder: Path,
    deaths: Mapping[int, int],
    params: Mapping[str, Any],
    streams: Streams = STREAMS["of the run"],
    made: Callable[[], tuple[nn.Module, Train]] | None = None,
    kind: type[Mortal] = Mortal,
) -> Tensor:
    """Predictions of a method that is killed at given log calls of given attempts and started again."""
    for attempt in range(len(deaths) + 1):
        net, train = problem(task_of(name)) if made is None else made()
        run = kind(0, train.x.device.type, folder, lambda name: None, checkpoint_seconds=0)
        run.left = deaths.get(attempt, 10**9)
        try:
            posterior = registry.method(name).fit(net, train, params, streams(run), run)
            return numbers(posterior.predict(train.x, 4, stream()))
        except Killed:
            continue
    raise AssertionError("it never ended")


LONG = {name: params for name, params in QUICK.items() if name != "nuts"}  # it compiles: see test_chains.py


@pytest.mark.parametrize("deaths", [{0: 2}, {0: 4, 1: 1}, {0: 5}])
@pytest.mark.parametrize("name", LONG)
def test_a_killed_fit_continues_to_the_same_bits(name: str, deaths: dict[int, int], tmp_path: Path) -> None:
    whole = fit(name, tmp_path / "whole", {}, LONG[name])
    assert torch.equal(fit(name, tmp_path / "killed", deaths, LONG[name]), whole)


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("name", LONG)
def test_a_killed_fit_continues_with_any_stream(name: str, streams: str, tmp_path: Path) -> None:
    whole = fit(name, tmp_path / "whole", {}, LONG[name], STREAMS[streams])
    assert torch.equal(fit(name, tmp_path / "killed", {0: 3}, LONG[name], STREAMS[streams]), whole)


@pytest.mark.parametrize("name", ["map", "ensemble", "dropout", "mfvi", "swag", "csghmc"])
def test_dropout_draws_from_the_stream_of_the_fit(name: str, tmp_path: Path) -> None:
    found = []
    for k, deaths in enumerate([{}, {}, {0: 2}, {0: 4}]):
        made = partial(with_dropout, global_seed=k)
        found.append(fit(name, tmp_path / str(k), deaths, LONG[name], STREAMS["of its own"], made))
        assert torch.equal(torch.get_rng_state(), torch.manual_seed(k).get_state())  # left as it was
    assert all(torch.equal(other, found[0]) for other in found[1:])


class Elsewhere(Tensor):
    """A tensor on another device: it can be moved, and nothing else."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (Tensor.to, Tensor.cpu):
            raise RuntimeError(f"{func} of a tensor on another device")
        with torch._C.DisableTorchFunctionSubclass():
            return args[0].clone().as_subclass(Tensor)


def test_moved_states_keep_their_containers() -> None:
    state = nn.BatchNorm1d(2).state_dict()
    found = moved({"a": [state, (torch.ones(2), 3, "b", None)]}, torch.device("meta"))
    assert found["a"][0].keys() == state.keys()
    assert found["a"][0]._metadata == state._metadata  # type: ignore[attr-defined]
    assert found["a"][1][1:] == (3, "b", None)
    assert all(tensor.is_meta for tensor in (*found["a"][0].values(), found["a"][1][0]))
    assert not any(tensor.is_meta for tensor in state.values())


def elsewhere(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.as_subclass(Elsewhere)
    if isinstance(tree, dict):
        return {key: elsewhere(value) for key, value in tree.items()}
    return [elsewhere(value) for value in tree] if isinstance(tree, list | tuple) else tree


class Abroad(Mortal):
    """A run whose checkpoints are read on another device than that of the fit."""

    def restore(self) -> tuple[int, Mapping[str, Any]] | None:
        restored = super().restore()
        return None if restored is None else (restored[0], elsewhere(restored[1]))


@pytest.mark.parametrize("death", [3, 8])
@pytest.mark.parametrize("name", LONG)
def test_what_is_restored_goes_to_the_device_of_the_data(name: str, death: int, tmp_path: Path) -> None:
    whole = fit(name, tmp_path / "whole", {}, LONG[name])
    assert torch.equal(fit(name, tmp_path / "killed", {0: death}, LONG[name], kind=Abroad), whole)


@pytest.mark.parametrize("death", [2, 5, 6])
def test_what_is_random_between_stages_is_replayed(death: int, tmp_path: Path) -> None:
    tuned = {"precision": "validation", "validation_draws": 1, "grid": [0.01 * 1.3**k for k in range(40)]}
    params = {**QUICK["refine"], "laplace": tuned}
    whole = fit("refine", tmp_path / "whole", {}, params)
    assert torch.equal(fit("refine", tmp_path / "killed", {0: death}, params), whole)


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no method 'laplac'; did you mean 'laplace'"):
        registry.method("laplac")


def test_a_method_of_another_package_is_found_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    files = {
        "elsewhere.py": """
            import torch
            from pydantic import PositiveFloat

            from bnnbench.bayes.method import MethodParams, method


            class Params(MethodParams):
                spread: PositiveFloat = 1.0


            class Noise:
                def __init__(self, spread, likelihood):
                    self.spread, self.likelihood = spread, likelihood

                def predict(self, x, n_draws=None, generator=None):
                    shape = (n_draws or 5, len(x), 3)
                    return self.likelihood.predictive(self.spread * torch.randn(shape, generator=generator))


            @method("noise", Params)
            def noise(model, train, params, generator, journal):
                return Noise(params.spread, train.likelihood)
            """,
        "elsewhere-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: elsewhere\nVersion: 0.1\n",
        "elsewhere-0.1.dist-info/entry_points.txt": "[bnnbench.methods]\nnoise=elsewhere:noise\nbad=elsewhere:torch\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    forget_registered()
    request.addfinalizer(forget_registered)
    net, train = problem("classes")
    posterior = registry.method("noise").fit(net, train, {"spread": 2.0}, stream())
    predictive = posterior.predict(train.x, 7, stream())
    assert isinstance(predictive, ClassPredictive)
    assert predictive.probs.shape == (40, 3)
    with pytest.raises(UserError, match="holds no method"):
        registry.method("bad")


@pytest.mark.parametrize("name", ["map", "ensemble", "dropout", "mfvi", "swag", "csghmc", "laplace", "hmc", "gp"])
def test_a_prediction_of_no_draws_is_refused(name: str) -> None:
    net, train = problem(task_of(name))
    posterior = registry.method(name).fit(net, train, QUICK[name], stream())
    for n_draws in (0, -1):
        with pytest.raises(ValueError, match=f"n_draws: {n_draws} draws predict nothing"):
            posterior.predict(train.x, n_draws)


def test_temperature_scaling_refuses_real_targets_before_it_trains() -> None:
    net, train = problem("real")

    class Unused(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training, "it was trained"
            return x

    with pytest.raises(ValueError, match="of classes"):
        registry.method("temperature").fit(nn.Sequential(net, Unused()), train, None, stream())


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int16])
@pytest.mark.parametrize("name", ["map", "laplace", "temperature"])
def test_labels_may_be_any_integers(name: str, dtype: torch.dtype) -> None:
    net, train = problem("classes")
    x, y = train.held_out()
    params = {**QUICK[name], **({"precision": "validation", "grid": (1.0, 10.0)} if name == "laplace" else {})}
    other = Train(train.x, train.y.to(dtype), train.likelihood, (x, y.to(dtype)))
    found, expected = (registry.method(name).fit(net, data, params, stream()) for data in (other, train))
    assert torch.equal(numbers(found.predict(x, 2, stream())), numbers(expected.predict(x, 2, stream())))


def test_data_of_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 inputs and 2 targets"):
        Train(torch.zeros(3, 1), torch.zeros(2))
    with pytest.raises(ValueError, match="one number a point"):
        Train(torch.zeros(3, 1), torch.zeros(3, 1))


class Tied(nn.Module):
    """One weight in two layers, one layer in two places, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.again = self.second
        self.unused = nn.Parameter(torch.ones(2))
        self.last = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.again(self.second(self.first(x).tanh()).tanh()).tanh())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "params"),
    [("ensemble", {"members": 2, "training": {"epochs": 2}}), ("csghmc", {"cycles": 2, "epochs_per_cycle": 3})],
)
def test_members_with_shared_and_unused_parameters_predict_as_the_nets_they_are(name: str, params: Any) -> None:
    x = torch.randn(20, 3, generator=stream())
    net = Tied()
    posterior: Any = registry.method(name).fit(net, Train(x, (x.sum(1) > 0).long()), params, stream())
    logits = posterior.predict(x).logits
    for theta, found in zip(posterior.sample(len(logits)), logits, strict=True):
        copy = deepcopy(net).eval()
        nn.utils.vector_to_parameters(theta, copy.parameters())
        assert torch.allclose(copy(x), found, atol=1e-6)


@pytest.mark.parametrize("kind", ["shared layer", "shared weight"])
def test_a_net_called_with_other_parameters_stays_as_it_is(kind: str) -> None:
    x, layer = torch.randn(5, 3, generator=stream()), nn.Linear(3, 3)
    other = layer if kind == "shared layer" else nn.Linear(3, 3)
    other.weight = layer.weight
    net = nn.Sequential(layer, nn.Tanh(), other)
    before = net(x)
    theta = torch.randn(2, sum(part.numel() for part in net.parameters()), generator=stream())
    found = WholeNet(net).outputs(theta, x)
    assert torch.equal(net(x), before)
    for draw, outputs in zip(theta, found, strict=True):
        nn.utils.vector_to_parameters(draw, net.parameters())
        assert torch.equal(net(x), outputs)


LINKS = ("weights", "mean", "linearised", "probit")
COHERENT = [(name, "") for name in QUICK] + [("laplace", link) for link in LINKS]


@pytest.mark.parametrize(("name", "link"), COHERENT)
def test_coherent_draws_are_one_function_over_all_inputs(name: str, link: str) -> None:
    """Draw s at some points is what it is with other points beside them; of marginals this does not hold."""
    net, train = problem(task_of(name))
    options = {**QUICK[name], **({"link": link} if link else {})}
    posterior: Any = registry.method(name).fit(net, train, options, stream())
    whole = numbers(posterior.predict(train.x, 4, stream(1)))
    part = numbers(posterior.predict(train.x[5:15], 4, stream(1)))
    assert posterior.coherent == (link not in ("linearised", "probit") and name != "gp")
    if posterior.coherent:
        assert torch.allclose(whole[:, 5:15], part, atol=1e-5)
    elif link == "linearised":
        assert not torch.allclose(whole[:, 5:15], part, atol=1e-2)
    else:  # probit and gp: one draw in closed form, which says nothing of two points together
        assert len(whole) == 1
