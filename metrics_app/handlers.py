"""What control does with each accepted report: keep it, chart it, show it."""

from __future__ import annotations

import time
from typing import Any

import orjson
import structlog

from metrics_app.alerts import notices
from metrics_app.alerts.engine import ENGINE
from metrics_app.alerts.services import event_clear, event_raise
from metrics_app.energy.ledger import LEDGER
from metrics_app.fabric.selectors import fabric_events
from metrics_app.fabric.services import fabric_step_told
from metrics_app.history.recorder import RECORDER
from metrics_app.kernel_events import kernel_event
from metrics_app.models import NodeStatus
from metrics_app.node_events import SOURCES
from metrics_app.selectors import live_stream, report_shown, snapshot_key
from metrics_app.series import report_series
from metrics_app.services import node_seen, node_status_set
from metrics_app.verdicts import sources
from metrics_app.verdicts.announce import Announcer
from metrics_app.verdicts.bench import Bench
from sparkweb import live
from sparkweb.node_link import registry
from sparkweb.outbox.services import channel_register
from sparkweb.shared_streams import shared_streams

log = structlog.get_logger(__name__)

SEEN_EVERY_SECONDS = 10.0
SNAPSHOT_EXPIRES_SECONDS = 3600
_seen_at: dict[str, float] = {}
BENCH = Bench(groups=sources.groups_now, model_of=sources.model_of)
ANNOUNCER = Announcer(BENCH)


def register() -> None:
    registry.report_listener(report_received)
    registry.status_listener(status_changed)
    registry.report_listener(history_take)
    registry.report_listener(verdicts_announce)
    registry.fact_handler("kernel_event")(kernel_event)
    registry.fact_handler("fabric_step")(fabric_step_told)
    SOURCES.append(fabric_events)
    channel_register(notices.CHANNEL, notices.deliver)


def history_take(node_name: str, report: dict[str, Any], meta: dict[str, Any]) -> None:
    """Keep a report's figures, let the alerts' rules judge them, and count energy and tokens."""
    figures = RECORDER.take(node_name, report, meta["received_at"])
    ENGINE.take(node_name, figures)
    if LEDGER.take(node_name, report, figures):
        LEDGER.flush()


def report_received(node_name: str, report: dict[str, Any], meta: dict[str, Any]) -> None:
    """Show one report to browsers first, then store it. `meta`: boot, seq, received_at."""
    shown = report_shown(report)
    verdicts = _judged(node_name, report, meta["received_at"])
    live.publish(
        f"node:{node_name}",
        {
            "type": "snapshot",
            "node": node_name,
            "status": "online",
            "received_at": meta["received_at"],
            "seq": meta["seq"],
            "report": shown,
            "verdicts": verdicts,
        },
    )
    streams = shared_streams()
    streams.put(
        snapshot_key(node_name),
        orjson.dumps({"report": report, "verdicts": verdicts, **meta}),
        SNAPSHOT_EXPIRES_SECONDS,
    )
    streams.append(live_stream(node_name), {"t": round(meta["received_at"], 2), "v": report_series(report)})
    if time.monotonic() - _seen_at.get(node_name, -SEEN_EVERY_SECONDS) >= SEEN_EVERY_SECONDS:
        _seen_at[node_name] = time.monotonic()
        node_seen(name=node_name, report=report)


def verdicts_announce(node_name: str, _report: dict[str, Any], _meta: dict[str, Any]) -> None:
    """Write down verdicts that began or ended."""
    ANNOUNCER.announce(node_name)


def _judged(node_name: str, report: dict[str, Any], received_at: float) -> dict[str, Any] | None:
    """Figures are shown also when nobody can say what they mean."""
    try:
        return BENCH.take(node_name, report, received_at)
    except Exception:
        log.exception("verdicts failed", node=node_name)
        return None


def status_changed(node_name: str, status: str) -> None:
    node_status_set(name=node_name, status=status)
    if status == NodeStatus.OFFLINE:
        message = "Nothing was heard from it for 10 s: its agent, its Redis or the machine is down"
        event_raise(event="node_offline", node_name=node_name, message=message, url=f"/nodes/{node_name}/")
    elif status == NodeStatus.ONLINE:
        event_clear(event="node_offline", node_name=node_name, message="It reports again")
