"""Energy that the processor counts, where the machine permits reading it (RAPL, which mostly only root may read)."""

from pathlib import Path

ZONES = Path("/sys/class/powercap")


class Meter:
    """Joules of all CPU packages since the meter was made, with those of other programs but without those of GPUs."""

    def __init__(self, zones: Path = ZONES) -> None:
        # Whole packages only: their parts, and the "psys" zone of the whole machine, would be counted twice.
        self._zones = [
            zone for zone in sorted(zones.glob("intel-rapl:*")) if _text(zone / "name").startswith("package")
        ]
        self._last = self._read()
        self._total = 0.0

    def joules(self) -> float | None:
        """Energy so far; `None` where a counter is unreadable. Counters wrap within minutes, so call this often."""
        now = self._read()
        if not self._last or len(now) != len(self._last):
            return None
        for zone, start, end in zip(self._zones, self._last, now, strict=True):
            span = _number(zone / "max_energy_range_uj")
            self._total += ((end - start) % span if span else end - start) / 1e6
        self._last = now
        return self._total

    def _read(self) -> list[int]:
        values = [_number(zone / "energy_uj") for zone in self._zones]
        return [value for value in values if value is not None] if None not in values else []


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
