"""Numbers are rounded to what their interval supports, and to no less."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.harness.statistics import Interval
from bnnbench.report import numbers


def interval(mean: float, half: float, n: int = 3) -> Interval:
    return Interval(mean, mean - half, mean + half, n)


def value(text: str) -> tuple[float, float]:
    """Reads `4.49 ± 0.04` and `(1.2 ± 0.3)·10^-8` back."""
    text = text.replace(numbers.MINUS, "-")
    factor = 1.0
    if match := re.fullmatch(r"\((.*)\)·10\^(-?\d+)", text):
        text, factor = match[1], 10.0 ** int(match[2])
    mean, half = text.split(" ± ")
    return float(mean) * factor, float(half) * factor


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (4.4912, 0.0372, "4.49 ± 0.04"),
        (4.4912, 0.137, "4.49 ± 0.14"),
        (-0.512, 0.298, "\u22120.5 ± 0.3"),
        (1234.4, 56.0, "1234 ± 56"),
        (3.0, 0.0, "3 ± 0"),
        (0.0, 0.0, "0 ± 0"),
        (1.23e-9, 4.2e-10, "(1.2 ± 0.4)·10^\u22129"),
    ],
)
def test_examples(mean: float, half: float, shown: str) -> None:
    assert numbers.mean(interval(mean, half)) == shown


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e5))
def test_rounding_loses_less_than_the_interval_blurs(mean: float, half: float) -> None:
    shown_mean, shown_half = value(numbers.mean(interval(mean, half)))
    if half <= 1e-9 * abs(mean) * 1.01:
        return  # shown as equal seeds, checked below
    assert abs(shown_mean - mean) <= 0.51 * half
    assert shown_half == pytest.approx(half, rel=0.2)


@given(st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-3))
def test_one_seed_has_no_interval(mean: float) -> None:
    single = Interval(mean, -math.inf, math.inf, 1)
    assert "±" not in numbers.mean(single)
    assert float(numbers.mean(single).replace(numbers.MINUS, "-").replace("·10^", "e")) == pytest.approx(mean, rel=1e-3)


def test_differences_have_a_sign_and_zero_has_none() -> None:
    assert numbers.difference(interval(0.35, 0.04)) == "+0.35 ± 0.04"
    assert numbers.difference(interval(-0.35, 0.04)) == f"{numbers.MINUS}0.35 ± 0.04"
    assert numbers.difference(interval(0.0, 0.0)) == "0 ± 0"


def test_published_values_are_shown_as_printed() -> None:
    assert numbers.spread(1.29, 0.08) == "1.29 ± 0.08"
    assert numbers.spread(0.96, None) == "0.96"
    assert numbers.spread(16_777_216, None) == "16777216"
    assert numbers.spread(2.5e-7, None) == "2.5·10^\u22127"
    assert numbers.spread(-3.2, None) == f"{numbers.MINUS}3.2"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (250, "4 min 10 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (180000, "2 d 02 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert numbers.duration(seconds) == shown


def test_memory_and_energy() -> None:
    assert [numbers.memory(512.3), numbers.memory(1536)] == ["512 MB", "1.5 GB"]
    assert [numbers.energy(value) for value in (None, 230.0, 4200.0, 1.3e6)] == ["", "230 J", "4.2 kJ", "1.3 MJ"]
