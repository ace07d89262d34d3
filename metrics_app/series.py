"""From one report to the figures that live charts draw. Pure."""

from __future__ import annotations

from typing import Any

GPU_SERIES = {
    "util": "utilization_percent",
    "memory": "memory_used_bytes",
    "power": "power_watts",
    "temperature": "temperature_celsius",
    "clock": "clock_sm_mhz",
}


def report_series(report: dict[str, Any]) -> dict[str, float | None]:
    """Return the chart figures of one report by series name.

    Units as in the report: percent, bytes, bytes per second, watts, degrees
    Celsius, megahertz. A figure that the report does not give is None.
    On unified memory `gpu<i>_memory` is what processes hold, for the
    driver gives no used memory there.
    """
    host = report.get("host") or {}
    networks = host.get("networks") or []
    disks = host.get("disks") or []
    load = host.get("load") or [None]
    series: dict[str, float | None] = {
        "cpu": host.get("cpu_percent"),
        "memory_used": host.get("memory_used_bytes"),
        "memory_available": host.get("memory_available_bytes"),
        "load": load[0],
        "net_rx": _sum(networks, "receive_bytes_per_second"),
        "net_tx": _sum(networks, "transmit_bytes_per_second"),
        "disk_read": _sum(disks, "read_bytes_per_second"),
        "disk_write": _sum(disks, "write_bytes_per_second"),
    }
    for gpu in report.get("gpus") or []:
        for short, field in GPU_SERIES.items():
            series[f"gpu{gpu['index']}_{short}"] = gpu.get(field)
        if series[f"gpu{gpu['index']}_memory"] is None:
            series[f"gpu{gpu['index']}_memory"] = gpu.get("memory_held_bytes")
    return series


def history_columns(points: list[tuple[float, dict[str, float | None]]]) -> dict[str, Any]:
    """Turn points, oldest first, into columns: `t` in seconds and one list for each series.

    A series that a point does not carry is None there, so every column is as long as `t`.
    """
    names: dict[str, None] = {}
    for _, values in points:
        names.update(dict.fromkeys(values))
    return {
        "t": [at for at, _ in points],
        "columns": {name: [values.get(name) for _, values in points] for name in names},
    }


def _sum(rows: list[dict[str, Any]], field: str) -> float | None:
    values = [row[field] for row in rows if row.get(field) is not None]
    return sum(values) if values else None
