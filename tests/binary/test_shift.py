"""AP2 against its definition in exact arithmetic."""

from fractions import Fraction
from math import frexp, isinf, isqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.binary.shift import ap2, ap2_numbers, power_of_two

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def exact(x: float) -> Fraction:
    """AP2 in integers: where 2^j <= x^2 < 2^(j+1), the exponent is the ceiling of j / 2."""
    numerator, denominator = x.as_integer_ratio()  # the denominator is a power of two
    if numerator == 0:
        return Fraction(0)
    j = (numerator**2).bit_length() - (denominator**2).bit_length()
    power = Fraction(2) ** -(-j // 2)
    return power if x > 0 else -power


def near_ties(dtype: torch.dtype) -> list[float]:
    """The numbers on both sides of sqrt(2) * 2^k for every k of the type."""
    info = torch.finfo(dtype)
    one = round(1 / info.eps)
    below = isqrt(2 * one * one) / one
    largest, smallest = frexp(info.max)[1] - 1, frexp(info.smallest_normal)[1] - 1
    return [(below + side * info.eps) * 2.0**k for k in range(smallest, largest) for side in (0, 1)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_ap2_is_exact_on_both_sides_of_every_tie(dtype: torch.dtype) -> None:
    x = torch.tensor(near_ties(dtype), dtype=torch.float64)
    assert torch.equal(x.to(dtype).double(), x), "the type represents them"
    expected = [exact(value) for value in x.tolist()]
    assert [Fraction(value) for value in ap2(x.to(dtype)).tolist()] == expected
    assert [Fraction(value) for value in ap2(-x.to(dtype)).tolist()] == [-value for value in expected]
    assert expected[::2] != expected[1::2]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False), max_size=20))
def test_ap2_in_single_precision_is_its_definition(values: list[float]) -> None:
    found = ap2(torch.tensor(values, dtype=torch.float32)).tolist()
    for x, y in zip(values, found, strict=True):
        expected = exact(x)
        assert isinf(y) if abs(expected) == 2**128 else Fraction(y) == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False), max_size=20))
def test_ap2_in_double_precision_is_its_definition(values: list[float]) -> None:
    found = ap2(torch.tensor(values, dtype=torch.float64)).tolist()
    for x, y in zip(values, found, strict=True):
        expected = exact(x)
        assert isinf(y) if abs(expected) == 2**1024 else Fraction(y) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_ap2_of_every_16_bit_number(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    normal = every[every.isfinite() & (every.abs() >= torch.finfo(dtype).smallest_normal)]
    limit = torch.finfo(dtype).max
    for x, y in zip(normal.tolist(), ap2(normal).tolist(), strict=True):
        expected = exact(x)
        assert isinf(y) if abs(expected) > limit else Fraction(y) == expected
    assert ap2(every[every.isnan()]).isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_infinities_nan_and_the_smallest_numbers(dtype: torch.dtype) -> None:
    infinity, tiny = float("inf"), torch.finfo(dtype).smallest_normal
    x = torch.tensor([0.0, -0.0, infinity, -infinity, tiny, -tiny, tiny / 2, 0.4 * tiny], dtype=dtype)
    assert ap2(x).tolist() == [0, 0, infinity, -infinity, tiny, -tiny, tiny, 0]
    assert ap2(torch.tensor([float("nan"), 3.0], dtype=dtype)).isnan().tolist() == [True, False]


def test_the_form_for_numbers_is_the_same_and_works_in_place_and_on_views() -> None:
    x = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    expected = ap2(x)
    assert torch.equal(ap2_numbers(x), expected)
    assert torch.equal(ap2(x.T[::2]), expected.T[::2])
    assert ap2_numbers(x, out=x) is x
    assert torch.equal(x, expected)


def test_ap2_is_refused_for_integers_and_has_no_gradient() -> None:
    with pytest.raises(TypeError, match=r"not of torch\.int64"):
        ap2(torch.ones(3, dtype=torch.int64))
    assert not ap2(torch.ones(3, requires_grad=True)).requires_grad


def test_one_number() -> None:
    # the scales of the CIFAR-10 layers (Torch7 code): all are 32 or 64
    scales = [28.04, 39.19, 48.00, 55.43, 67.88, 78.38, 36.95, 26.25]
    assert [power_of_two(scale) for scale in scales] == [32, 32, 64, 64, 64, 64, 32, 32]
    assert (power_of_two(2.0**-6 / (1 - 0.9)), power_of_two(0.0), power_of_two(-3.0)) == (2.0**-3, 0, -4)
