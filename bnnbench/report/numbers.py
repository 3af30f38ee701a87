"""Numbers formatted for readers, rounded to the digits that their interval supports."""

from math import floor, isfinite, log10

from bnnbench.harness.statistics import Interval

MINUS = "\u2212"


def mean(value: Interval) -> str:
    """`4.49 ± 0.04`; without an interval (one seed) the mean alone."""
    return _rounded(value, "")


def difference(value: Interval) -> str:
    """`+0.35 ± 0.04`: a mean with its sign."""
    return _rounded(value, "+" if value.mean else "")


def spread(value: float | None, std: float | None) -> str:
    """A published value as it was printed, with its spread if it has one, or "not available"."""
    if value is None:
        return "not available"
    return plain(value) if std is None else f"{plain(value)} ± {plain(std)}"


def plain(value: float, sign: str = "", digits: int = 6) -> str:
    """A number with `digits` significant digits; larger numbers below 1e12 are rounded to integers instead."""
    if 10**digits - 0.5 <= abs(value) < 1e12:
        return _minus(f"{value:{sign}.0f}")
    mantissa, _, exponent = f"{value:{sign}.{digits}g}".partition("e")
    return _minus(f"{mantissa}·10^{int(exponent)}" if exponent else mantissa)


def decimals(half_width: float) -> int:
    """The decimals that a half-width supports: one significant digit of it, or two where it begins with a 1 or a 2."""
    place = floor(log10(half_width))
    leading = half_width / 10.0**place
    return (1 if leading < 2.95 else 0) - place  # 2.95 is printed as 3


def count(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `4 min 10 s`, `2 h 05 min`, `3 d 04 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def memory(megabytes: float) -> str:
    """`512 MB`, `1.5 GB`."""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def energy(joules: float | None) -> str:
    """`230 J`, `4.2 kJ`, `1.3 MJ`; empty where the energy was not read."""
    if joules is None:
        return ""
    for size, unit in ((1e6, "MJ"), (1e3, "kJ")):
        if joules >= size:
            return f"{joules / size:.1f} {unit}"
    return f"{joules:.0f} J"


def _rounded(value: Interval, sign: str) -> str:
    half = value.half_width
    if not isfinite(half):
        return plain(value.mean, sign, digits=4)
    # Seeds that agree, or differ only by rounding errors, support every digit.
    if half <= 1e-9 * abs(value.mean) or half == 0.0:
        return f"{plain(value.mean, sign)} ± 0"
    places = decimals(half)
    largest = max(abs(value.mean), half)
    if places > 6 or largest >= 1e7:
        exponent = floor(log10(largest))
        scale, places = 10.0**exponent, max(places + exponent, 0)
        return _minus(f"({value.mean / scale:{sign}.{places}f} ± {half / scale:.{places}f})·10^{exponent}")
    places = max(places, 0)
    return _minus(f"{value.mean:{sign}.{places}f} ± {half:.{places}f}")


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
