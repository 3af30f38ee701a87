"""What experiments hand over: numbers of NumPy and torch are numbers, and names fit where they go."""

from typing import Any

import numpy as np
import pytest
import torch

from bnnbench.harness.experiment import Metric
from bnnbench.harness.values import check_part, column, columns, number, text, whole_step


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


@pytest.mark.parametrize(
    "value", [None, "0.5", [0.5], np.ones(2), torch.ones(2), {}, 1j, np.complex64(1), np.ma.masked]
)
def test_anything_else_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=r"loss is .*; it must be a number"):
        number(value, "loss")


def test_a_number_beyond_the_floats_and_one_without_a_repr_are_refused_by_name() -> None:
    class Wordless:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    for value in (10**400, Wordless()):
        with pytest.raises(TypeError, match="loss is "):
            number(value, "loss")


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), torch.tensor(3), np.float32(3)])
def test_a_whole_number_is_a_step(value: Any) -> None:
    assert whole_step(value) == 3


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), 2**63, -(2**63), 10**30])
def test_what_is_not_whole_or_does_not_fit_64_bits_is_no_step(value: Any) -> None:
    with pytest.raises(ValueError, match=r"step is .*; it must be a whole number"):
        whole_step(value)


@pytest.mark.parametrize("name", ["a/../../b", "a//b", "a/", "a/./b"])
def test_a_name_does_not_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="parts that are not empty"):
        Metric(name)


def test_a_part_of_a_files_name_holds_no_slash() -> None:
    with pytest.raises(ValueError, match="table 'a/b': a table is part of a file's name"):
        check_part("a/b", "table")


def test_a_text_is_one_that_every_file_can_hold() -> None:
    assert text("größe \ud800") == "größe ?"


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
