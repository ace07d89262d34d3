"""Flights: what nodes reported before they went down without warning."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from metrics_app.alerts.services import event_raise
from metrics_app.flight_file import flight_unpack
from metrics_app.history.figures import report_figures
from metrics_app.history.panels import panels_make
from metrics_app.history.query import series_describe
from metrics_app.models import FlightRecord, NodeEventKind
from metrics_app.node_events import event_note

UNPACKED_LIMIT_BYTES = 64 << 20
BODY_LIMIT_BYTES = 2 << 20
KEPT_PER_NODE = 20
SHOWN_PROCESSES = 10


class FlightInvalid(ValueError):
    """Bytes that are no flight."""


@transaction.atomic
def flight_store(node_name: str, data: bytes) -> bool:
    """Keep the last minutes of a node; False if they were kept already. Raises FlightInvalid."""
    try:
        reports = flight_unpack(data, UNPACKED_LIMIT_BYTES)
    except ValueError as error:
        raise FlightInvalid(str(error)) from error
    times = [at for report in reports if (at := _sampled(report)) is not None]
    boot = str((reports[-1].get("agent") or {}).get("host_boot") or "")[:40] if reports else ""
    if not times or not boot or "\0" in boot:
        raise FlightInvalid("a flight needs reports with their times and boot")
    first, last = (datetime.fromtimestamp(at, tz=UTC) for at in (min(times), max(times)))
    flight, made = FlightRecord.objects.get_or_create(
        node_name=node_name, host_boot=boot, defaults={"first_at": first, "last_at": last, "data": data}
    )
    if not made:
        return False
    message = f"{node_name} went down without warning; its last report is of {last:%Y-%m-%d %H:%M:%S} UTC"
    event_note(node_name, NodeEventKind.RESET, message)
    event_raise(event="node_reset", node_name=node_name, message=message, url=flight.get_absolute_url())
    old = FlightRecord.objects.filter(node_name=node_name).values_list("pk", flat=True)[KEPT_PER_NODE:]
    FlightRecord.objects.filter(pk__in=list(old)).delete()
    return True


def _sampled(report: dict[str, Any]) -> float | None:
    at = report.get("sampled_at")
    usable = isinstance(at, int | float) and not isinstance(at, bool) and math.isfinite(at) and 0 < at < 4e9
    return float(at) if usable else None  # type: ignore[arg-type]


def flight_page(flight: FlightRecord) -> dict[str, Any]:
    """What the page draws: panels, times and columns, and what ran at the end."""
    reports = [
        report
        for report in flight_unpack(bytes(flight.data), UNPACKED_LIMIT_BYTES)
        if _sampled(report) is not None
    ]
    figures = [report_figures(flight.node_name, report) for report in reports]
    keys = list(dict.fromkeys(key for one in figures for key in one))
    rows = [row for key in keys if (row := series_describe(key))]
    return {
        "panels": [panel.to_json() for panel in panels_make(rows, "overview")],
        "t": [_sampled(report) for report in reports],
        "columns": {key: [one.get(key) for one in figures] for key in keys},
    }


def flight_end(flight: FlightRecord) -> dict[str, Any]:
    """What the last report tells: memory, GPU processes and containers, the largest first."""
    last = flight_unpack(bytes(flight.data), UNPACKED_LIMIT_BYTES)[-1]
    processes = [process for gpu in last.get("gpus") or [] for process in gpu.get("processes") or []]
    containers = last.get("containers") or []
    size = "memory_bytes"
    return {
        "host": last.get("host") or {},
        "processes": sorted(processes, key=lambda one: -(one.get(size) or 0))[:SHOWN_PROCESSES],
        "containers": sorted(containers, key=lambda one: -(one.get(size) or 0))[:SHOWN_PROCESSES],
        "kernel": ((last.get("kernel") or {}).get("events") or [])[-SHOWN_PROCESSES:],
    }
