"""Every temperature that the machine measures: hwmon chips and thermal zones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparkweb.adapters.host_devices import text_of

SENSORS_SHOWN = 32
NAME_LIMIT = 60


def sensors(root: Path = Path("/")) -> list[dict[str, Any]]:
    """Return the report's `sensors`, at most 32: `name` and `celsius`, by name.

    Values are thousandths of a degree (sysfs-interface, hwmon). Readings outside
    1–150 °C are those of sensors that are not there.
    """
    found = sorted({**dict(_zones(root)), **dict(_chips(root))}.items())
    rows = [{"name": name[:NAME_LIMIT], "celsius": value} for name, value in found if 1 <= value <= 150]
    return rows[:SENSORS_SHOWN]


def _chips(root: Path) -> Iterator[tuple[str, float]]:
    for chip in sorted((root / "sys" / "class" / "hwmon").glob("hwmon*")):
        for file in sorted(chip.glob("temp*_input")):
            label = text_of(file.with_name(file.name.replace("_input", "_label")))
            value = _celsius(file)
            if value is not None:
                kind = text_of(chip / "name") or chip.name
                yield f"{kind} {label or file.name.removesuffix('_input')}", value


def _zones(root: Path) -> Iterator[tuple[str, float]]:
    for zone in sorted((root / "sys" / "class" / "thermal").glob("thermal_zone*")):
        value = _celsius(zone / "temp")
        if value is not None:
            yield f"{text_of(zone / 'type') or 'zone'} {zone.name.removeprefix('thermal_')}", value


def _celsius(path: Path) -> float | None:
    text = text_of(path)
    return int(text) / 1000 if text and text.lstrip("-").isdigit() else None
