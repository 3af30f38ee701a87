"""What a fit, a loss and a density refuse: targets, inputs and nets that do not fit together, in one line by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import stream
from torch import Tensor, nn

from bnnbench.bayes.inputs import check_inputs
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.posterior import ClassPredictive, RealPredictive
from bnnbench.harness import registry

METHODS = (
    "map", "temperature", "ensemble", "dropout", "mfvi", "avb", "kivi", "livi", "swag", "csghmc", "laplace", "refine",
    "hmc", "nuts",
)  # fmt: skip
X = torch.randn(12, 3, generator=stream())
LABELS = torch.arange(12) % 4
REALS = X.sum(1)


@contextmanager
def refused(text: str) -> Iterator[None]:
    """Within, a `ValueError` of one line that matches `text`."""
    with pytest.raises(ValueError, match=text) as found:
        yield
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("wrong", [LABELS + 1, torch.where(LABELS == 2, -1, LABELS), LABELS - 100, LABELS * 10**9])
def test_labels_of_no_class_are_refused_by_every_method(name: str, wrong: Tensor) -> None:
    for train in (Train(X, wrong), Train(X, LABELS, validation=(X, wrong))):
        with refused(r"y: labels from -?\d+ to"):
            registry.method(name).fit(nn.Linear(3, 4), train)


@pytest.mark.parametrize("name", METHODS)
def test_no_method_takes_what_is_not_finite(name: str) -> None:
    bad = X.clone()
    bad[7, 1] = torch.inf
    broken = nn.Linear(3, 4)
    nn.init.constant_(broken.bias, torch.nan)
    for train in (Train(bad, LABELS), Train(X, LABELS, validation=(bad, LABELS))):
        with refused(r"x: 1 of 36 values are NaN"):
            registry.method(name).fit(nn.Linear(3, 4), train)
    with refused(r"parameter 'bias': 4 of 4 values are NaN"):
        registry.method(name).fit(broken, Train(X, LABELS))


class Root(nn.Module):
    """Square roots: NaN where an input is negative."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sqrt()


@pytest.mark.parametrize("scope", ["last", "all"])
def test_outputs_that_are_not_finite_are_called_so(scope: str) -> None:
    net = nn.Sequential(Root(), nn.Linear(3, 4))
    x = X.abs()
    x[9] = -1  # not the first point
    params: dict[str, Any] = {"training": None, "precision": 1.0, "scope": scope}
    with refused(r"outputs: \d+ of \d+ values are NaN"):
        registry.method("laplace").fit(net, Train(x, LABELS), params)
    with refused("outputs at the first points of x: 8 of 8 values"):
        registry.method("map").fit(net, Train(-x, LABELS))
    with refused("outputs at the first points of validation x: 8 of 8 values"):
        registry.method("map").fit(net, Train(X.abs(), LABELS, validation=(-X.abs(), LABELS)))


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (LABELS.float(), "y: class labels are integers"),
        (nn.functional.one_hot(LABELS), "one number a point"),
        (LABELS[:, None], "one number a point"),
        (LABELS[None], "12 inputs and 1 targets"),
        (LABELS[:5], "12 inputs and 5 targets"),
        (LABELS.to(torch.complex64), "y: class labels are integers"),
    ],
)
def test_labels_that_are_no_labels_are_refused(y: Tensor, text: str) -> None:
    net = nn.Linear(3, 4)
    with refused(text):
        check_inputs(net, Train(X, y))
    with refused(f"validation.*{text}"):
        check_inputs(net, Train(X, LABELS, validation=(X, y)))


@pytest.mark.parametrize("n", [0, 1])
def test_data_without_points_are_refused(n: int) -> None:
    validation = (X[:n], LABELS[:n])
    if n == 0:
        with refused("^x and y: no points"):
            Train(X[:0], LABELS[:0])
        with refused("^validation x and y: no points"):
            Train(X, LABELS, validation=validation)
    else:
        check_inputs(nn.Linear(3, 4), Train(*validation, validation=validation))


def test_real_targets_are_of_one_output_and_finite() -> None:
    train = Train(X[:2], REALS[:2], Gaussian(0.3))
    with refused("model: 2 outputs, where real targets are of one output"):
        check_inputs(nn.Linear(3, 2), train)
    with refused("2 outputs"):
        Gaussian(0.3).nll(torch.zeros(2, 2), REALS[:2])
    wrong = torch.where(REALS > 1, torch.nan, REALS)
    with refused(r"^y: \d+ of 12 values are NaN"):
        check_inputs(nn.Linear(3, 1), Train(X, wrong, Gaussian(0.3)))
    check_inputs(nn.Linear(3, 1), Train(X, LABELS, Gaussian(0.3)))  # whole numbers are numbers


@pytest.mark.parametrize(
    "noise", [0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-300, None, "a", 10**400, torch.ones(2)]
)
def test_a_noise_is_a_positive_number(noise: Any) -> None:
    with refused("^noise: "):
        Gaussian(noise)
    if isinstance(noise, float):
        with refused("^noise: "):
            RealPredictive(torch.zeros(2, 3), torch.tensor([[1.0], [min(noise, 0.0)]])).log_density(torch.zeros(3))


def test_inputs_are_tensors_with_a_row_a_point() -> None:
    others: Any = X.numpy(), LABELS.tolist()
    with pytest.raises(TypeError, match=r"^x: a tensor is needed, and ndarray was given"):
        Train(others[0], LABELS)
    with pytest.raises(TypeError, match=r"^y: a tensor is needed, and list was given"):
        Train(X, others[1])
    with refused("^x: one number"):
        Train(X[0, 0], LABELS)
    with refused("^validation y: one number"):
        Train(X, LABELS, validation=(X, LABELS[0]))
    for pair in ((X, LABELS, LABELS), X[:2], 3, "xy", {"x": X, "y": LABELS}):
        with refused("^validation: a pair"):
            Train(X, LABELS, validation=pair)  # type: ignore[arg-type]


@pytest.mark.parametrize("likelihood", [None, "gaussian", Categorical, Gaussian])
def test_a_likelihood_is_one_and_no_class_of_them(likelihood: Any) -> None:
    with pytest.raises(TypeError, match=r"^likelihood: "):
        Train(X, LABELS, likelihood)


@pytest.mark.parametrize("model", [None, nn.Linear, torch.tanh, "net"])
def test_a_net_is_a_module(model: Any) -> None:
    with pytest.raises(TypeError, match=r"^model: "):
        registry.method("map").fit(model, Train(X, LABELS))


@pytest.mark.filterwarnings("ignore:.*quantiz:UserWarning")  # torch itself means to drop such tensors
@pytest.mark.parametrize(
    "other",
    [
        lambda x: x.to_sparse(),
        lambda x: x.to("meta"),
        lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8),
    ],
)
def test_tensors_are_dense(other: Callable[[Tensor], Tensor]) -> None:
    for name, data in {
        "x": (other(X), LABELS, None),
        "y": (X, other(LABELS), None),
        "validation x": (X, LABELS, (other(X), LABELS)),
        "validation y": (X, LABELS, (X, other(LABELS))),
    }.items():
        with refused(f"^{name}: a .* tensor; an ordinary dense one is needed"):
            Train(data[0], data[1], validation=data[2])
    with refused("^model: parameter 'weight': a meta tensor"):
        check_inputs(nn.Linear(3, 4, device="meta"), Train(X, LABELS))


@pytest.mark.parametrize("name", METHODS)
def test_inputs_may_ask_for_gradients_and_get_none(name: str) -> None:
    x = X.clone().requires_grad_()
    brief = {"training": {"epochs": 1}}
    params: dict[str, dict[str, Any]] = {
        "dropout": {**brief, "first": True},
        "csghmc": {"cycles": 1, "epochs_per_cycle": 3},
        "refine": {**brief, "optimisation": {"epochs": 2}, "laplace": {"scope": "all", "structure": "diagonal"}},
        "hmc": {**brief, "scope": "all", "sampling": {"warmup": 3, "draws": 4}},
        "nuts": {**brief, "warmup": 3, "draws": 4, "max_tree_depth": 2},
    }
    fit = registry.method(name).fit
    found = [
        fit(nn.Sequential(reset(nn.Linear(3, 4))), Train(x, LABELS, validation=(x, LABELS)), params.get(name, brief))
        for x in (x, X)
    ]
    draws = [posterior.predict(X, None, stream()) for posterior in found]
    assert torch.equal(draws[0].log_density(LABELS), draws[1].log_density(LABELS))
    assert x.grad is None


def reset(layer: nn.Linear) -> nn.Linear:
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(-1, 1, 12).view(4, 3))
        layer.bias.zero_()
    return layer


class Raising(nn.Linear):
    def __init__(self, error: Exception) -> None:
        super().__init__(3, 4)
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error", [KeyError("k"), TypeError("a\nb"), ValueError("a\nb"), IndexError("a"), AssertionError()]
)
def test_whatever_a_net_raises_is_one_line_by_name(error: Exception) -> None:
    with refused(rf"^x: the net does not take .* {type(error).__name__}: "):
        check_inputs(Raising(error), Train(X, LABELS))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda out: out.mean(0, keepdim=True), r"outputs for 2 points are \(1, 4\)"),
        (lambda out: out[:, :0], r"outputs for 2 points are \(2, 0\)"),
        (lambda out: out.argmax(1, keepdim=True), "its outputs are torch.int64"),
    ],
)
def test_outputs_are_real_numbers_for_every_point(change: Callable[[Tensor], Tensor], text: str) -> None:
    class Changed(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return change(super().forward(x))

    with refused(f"^model: .*{text}"):
        check_inputs(Changed(3, 4), Train(X, LABELS))


@pytest.mark.parametrize("augmented", [lambda x, _: x[:3], lambda x, _: None, lambda x, _: x.tolist()])
def test_an_augmentation_keeps_the_points(augmented: Any) -> None:
    for name in ("map", "csghmc"):
        with refused("^augment: of a batch of 12 points it made"):
            registry.method(name).fit(nn.Linear(3, 4), Train(X, LABELS, augment=augmented))
    with pytest.raises(TypeError, match=r"^augment: 3 is no function"):
        Train(X, LABELS, augment=3)  # type: ignore[arg-type]


def test_a_net_without_gradients_is_named() -> None:
    class Detached(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    for name in ("map", "csghmc"):
        with refused("^model: its outputs have no gradient"):
            registry.method(name).fit(Detached(3, 4), Train(X, LABELS))


def test_inputs_that_the_net_does_not_take_are_named() -> None:
    with refused(r"^x: the net does not take torch.float32 of shape \(2, 3\): "):
        check_inputs(nn.Linear(2, 4), Train(X, LABELS))
    with refused(r"^x: the net does not take torch.float64"):
        check_inputs(nn.Linear(3, 4), Train(X.double(), LABELS))
    with refused(r"^validation x: the net does not take torch.float32 of shape \(2, 2\)"):
        check_inputs(nn.Linear(3, 4), Train(X, LABELS, validation=(X[:, :2], LABELS)))
    with refused(r"^model: parameter 'weight' has no shape yet"):
        check_inputs(nn.LazyLinear(4), Train(X, LABELS))


class Flat(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(-1)


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x),) * 2  # type: ignore[return-value]


@pytest.mark.parametrize("kind", [Flat, Pair])
def test_outputs_are_one_row_a_point(kind: type[nn.Linear]) -> None:
    with refused(r"model: its outputs .* \[2, C\]"):
        check_inputs(kind(3, 1), Train(X, REALS, Gaussian(1.0)))


def test_the_check_leaves_the_net_and_all_random_streams_as_they_are() -> None:
    class Noisy(nn.Module):
        """Counts its calls in a buffer and draws from the global stream even in evaluation."""

        calls: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            return x + torch.rand_like(x)

    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), Noisy(), nn.Dropout())
    before, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    check_inputs(net, Train(X, LABELS))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training
    assert all(part.training for part in net)


@pytest.mark.parametrize("shape", [(12, 1), (1, 12), (11,), (1,), (0,), (12, 4), ()])
def test_losses_and_densities_pair_no_targets_with_other_points(shape: tuple[int, ...]) -> None:
    outputs = torch.randn(5, 12, 4, generator=stream())
    mean = outputs[..., 0]
    for y in (torch.zeros(shape), torch.zeros(shape, dtype=torch.int64)):
        with refused("^y: "):
            RealPredictive(mean, torch.ones_like(mean)).log_density(y)
        with refused("^y: "):
            Gaussian(1.0).nll(outputs[..., :1], y)
        with refused("^y: "):
            ClassPredictive(outputs).log_density(y)
        with refused("^y: "):
            Categorical().nll(outputs, y)


@given(st.lists(st.integers(-200, 200), min_size=12, max_size=12))
def test_a_class_density_is_of_the_label_or_refused(values: list[int]) -> None:
    outputs, y = torch.randn(5, 12, 4, generator=stream(), dtype=torch.float64), torch.tensor(values)
    if min(values) >= 0 and max(values) < 4:
        expected = torch.stack([outputs.softmax(-1).mean(0)[n, k].log() for n, k in enumerate(values)])
        assert torch.allclose(ClassPredictive(outputs).log_density(y), expected)
    else:
        with refused("^y: labels from"):
            ClassPredictive(outputs).log_density(y)
        with refused("^y: labels from"):
            Categorical().nll(outputs, y)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int64])
def test_labels_of_any_integer_type_have_the_same_density(dtype: torch.dtype) -> None:
    outputs, y = torch.randn(5, 12, 2, generator=stream()), LABELS % 2
    assert torch.equal(ClassPredictive(outputs).log_density(y.to(dtype)), ClassPredictive(outputs).log_density(y))
    assert torch.equal(Categorical().nll(outputs, y.to(dtype)), Categorical().nll(outputs, y))
