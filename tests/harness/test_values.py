"""What experiments hand over: numbers of NumPy and torch are numbers, and names fit where they go."""

from typing import Any

import numpy as np
import pytest
import torch

from bnnbench.harness.experiment import Metric
from bnnbench.harness.values import column, columns, number


@pytest.mark.parametrize(
    "value",
    [0.5, np.float64(0.5), np.float32(0.5), np.float16(0.5), np.array(0.5), np.array([0.5]), torch.tensor(0.5),
     torch.tensor([[0.5]]), torch.tensor(0.5, requires_grad=True), torch.tensor(0.5, dtype=torch.bfloat16)],
)  # fmt: skip
def test_a_single_number_is_one(value: Any) -> None:
    assert number(value, "loss") == 0.5
    assert type(number(value, "loss")) is float


@pytest.mark.parametrize(("value", "found"), [(3, 3.0), (np.int64(3), 3.0), (True, 1.0), (np.bool_(False), 0.0)])
def test_whole_numbers_and_truth_values_are_numbers(value: Any, found: float) -> None:
    assert number(value, "n") == found


@pytest.mark.parametrize("value", [None, "0.5", [0.5], np.ones(2), torch.ones(2), {}, 1j, np.complex64(1)])
def test_anything_else_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=r"loss is .*; it must be a number"):
        number(value, "loss")


@pytest.mark.parametrize("name", ["", "a:b", "größe", "a\nb", "x" * 101, "a*", "-a", "[red]"])
def test_a_metric_that_mlflow_would_refuse_is_refused_when_it_is_declared(name: str) -> None:
    with pytest.raises(ValueError, match="a name holds letters"):
        Metric(name)


def test_columns_are_arrays_or_lists_of_plain_scalars() -> None:
    assert column(torch.ones(2, requires_grad=True), "t.a").tolist() == [1.0, 1.0]  # type: ignore[attr-defined]
    assert column([np.float32(0.5), torch.tensor(2), "x", None], "t.a") == [0.5, 2, "x", None]
    with pytest.raises(ValueError, match=r"column 't\.a' has shape \(2, 2\)"):
        columns({"a": np.ones((2, 2))}, "t")
    with pytest.raises(ValueError, match="differ in length"):
        columns({"a": [1], "b": [1, 2]}, "t")
