"""Verdicts that began or ended, as marks on charts and as events of alert rules."""

from __future__ import annotations

import time
from collections.abc import Callable

from metrics_app.alerts.services import alert_end, event_clear, event_raise
from metrics_app.models import NodeEventKind
from metrics_app.models_alerts import Alert, AlertState
from metrics_app.node_events import event_note
from metrics_app.verdicts.bench import Bench, Change
from metrics_app.verdicts.kinds import EVENT_PREFIX, Severity

WAITING_MOST = 200
SETTLE_SECONDS = 180.0


class Announcer:
    """Writes what the bench found. What a database that is away refuses waits for the next second."""

    def __init__(self, bench: Bench, clock: Callable[[], float] = time.monotonic) -> None:
        self._bench = bench
        self._clock = clock
        self._first_at: dict[str, float] = {}
        self._settled: set[str] = set()

    def announce(self, node_name: str) -> None:
        """Write all changes that wait; once a node, end what an earlier control raised and is over.

        Raises DatabaseError; nothing is lost then.
        """
        waiting = self._bench.changes
        del waiting[:-WAITING_MOST]
        while waiting:
            change_write(waiting[0])
            del waiting[0]
        if self._clock() - self._first_at.setdefault(node_name, self._clock()) >= SETTLE_SECONDS:
            self._settle(node_name)

    def _settle(self, node_name: str) -> None:
        if node_name in self._settled:
            return
        standing = {_series(*place) for place in self._bench.active(node_name)}
        for alert in Alert.objects.filter(
            state=AlertState.FIRING, node_name=node_name, series__startswith=EVENT_PREFIX
        ):
            if alert.series not in standing:
                alert_end(alert, "It is over")
        self._settled.add(node_name)


def change_write(change: Change) -> None:
    """Write one change: a mark for a warning or worse, and the event for rules about it."""
    finding, name = change.finding, change.node_name
    event, subject = f"{EVENT_PREFIX}{finding.kind}", finding.subject
    if not change.begun:
        event_clear(event=event, node_name=name, subject=subject, message=f"Over: {finding.title}")
        return
    if finding.severity != Severity.INFO:
        event_note(name, NodeEventKind.VERDICT, f"{name}: {finding.title}")
    message = f"{finding.title}. {finding.sentence}"
    event_raise(event=event, node_name=name, subject=subject, message=message, url=f"/nodes/{name}/")


def _series(kind: str, subject: str) -> str:
    """The series of an alert about an event, as alerts/services.py keys it."""
    event = f"{EVENT_PREFIX}{kind}"
    return f"{event}|{subject}"[:160] if subject else event
