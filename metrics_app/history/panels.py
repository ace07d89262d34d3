"""Which charts a history page shows, from the series that there are. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from metrics_app.history.figures import METRICS, SCOPES

LINES_AT_MOST = 8


@dataclass
class Panel:
    """One chart: its lines are of one unit. `top` is the fixed top of its scale, None for what fits."""

    title: str
    unit: str
    lines: list[dict[str, str]] = field(default_factory=list)
    top: float | None = None
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# Title, and the metrics whose lines it draws.
OVERVIEW = (
    ("GPU utilisation", ("gpu_utilization_percent",)),
    ("GPU memory", ("gpu_memory_bytes",)),
    ("GPU power", ("gpu_power_watts",)),
    ("GPU temperature", ("gpu_temperature_celsius",)),
    ("GPU clock", ("gpu_clock_mhz",)),
    ("CPU", ("cpu_percent",)),
    ("Memory", ("memory_used_bytes", "memory_available_bytes")),
    ("Load", ("load",)),
    ("Generated tokens", ("model_generation_tokens_per_second",)),
    ("Requests running", ("model_requests_running",)),
    ("Network received", ("network_receive_bytes_per_second",)),
    ("Network sent", ("network_transmit_bytes_per_second",)),
    ("Disks read", ("disk_read_bytes_per_second",)),
    ("Disks written", ("disk_write_bytes_per_second",)),
)
TABS = ("overview", "host", "gpu", "model", "container", "disk", "network", "agent")
TAB_LABELS = {"overview": "Overview", **SCOPES}


def tabs(rows: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """The tabs of a page that have series: name and label."""
    scopes = {row["scope"] for row in rows}
    return [(name, TAB_LABELS[name]) for name in TABS if name == "overview" or name in scopes]


def panels_make(rows: list[dict[str, Any]], tab: str, subject: str = "") -> list[Panel]:
    """The charts of a tab: one for each metric, with a line for each subject, or for one alone."""
    by_metric: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not subject or row["subject"] == subject:
            by_metric.setdefault(row["metric"], []).append(row)
    if tab == "overview":
        wanted: Iterable[tuple[str, tuple[str, ...]]] = OVERVIEW
    else:
        wanted = [(metric.label, (name,)) for name, metric in METRICS.items() if metric.scope == tab]
    panels = [_panel(title, names, by_metric) for title, names in wanted]
    return [panel for panel in panels if panel.lines]


def _panel(title: str, names: tuple[str, ...], by_metric: dict[str, list[dict[str, Any]]]) -> Panel:
    metric = METRICS[names[0]]
    panel = Panel(title, metric.unit, top=100.0 if metric.unit == "percent" and metric.high == 100 else None)
    for name in names:
        rows = by_metric.get(name, [])
        panel.left_out += max(0, len(rows) - LINES_AT_MOST)
        panel.lines += [
            {"key": row["key"], "label": _line_label(row, several=len(names) > 1)}
            for row in rows[:LINES_AT_MOST]
        ]
    return panel


def _line_label(row: dict[str, Any], *, several: bool) -> str:
    subject = f"GPU {row['subject']}" if row["scope"] == "gpu" else row["subject"]
    return " ".join(filter(None, [subject, row["label"] if several or not subject else ""]))
