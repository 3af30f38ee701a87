"""Energy that the processor counted, where the machine lets it be read (RAPL; mostly root only)."""

from pathlib import Path

ZONES = Path("/sys/class/powercap")


class Meter:
    """Joules of all CPU packages since the meter was made. Other programs on the machine count too."""

    def __init__(self, zones: Path = ZONES) -> None:
        # Whole packages only ("intel-rapl:0"): their parts ("intel-rapl:0:0") would count twice.
        self._zones = [zone for zone in sorted(zones.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._start = self._read()

    def joules(self) -> float | None:
        """Energy so far; `None` where a counter is unreadable."""
        now = self._read()
        if not self._start or len(now) != len(self._start):
            return None
        spans = [_number(zone / "max_energy_range_uj") for zone in self._zones]
        used = [
            (end - start) % span if span else end - start
            for start, end, span in zip(self._start, now, spans, strict=True)
        ]
        return sum(used) / 1e6

    def _read(self) -> list[int]:
        values = [_number(zone / "energy_uj") for zone in self._zones]
        return [value for value in values if value is not None] if None not in values else []


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
