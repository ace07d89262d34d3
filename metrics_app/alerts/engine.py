"""Control's alert loop: each second every rule on every series that it covers.

The intake's thread leaves the newest figures here; a thread of its own judges them and writes. What fires
is a row, so a control that starts again goes on with it; what is pending is only in memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
import structlog
from django.db import DatabaseError, close_old_connections, connections

from metrics_app.alerts.services import alert_end, alert_fire, alert_resolve, rule_covers, untold_tell
from metrics_app.alerts.watching import Change, Condition, Kind, Watch
from metrics_app.alerts.words import fired_words
from metrics_app.history.figures import Figures, key_subject
from metrics_app.models_alerts import Alert, AlertRule, AlertState, RuleKind
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import StreamsDown

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
RULES_EVERY_SECONDS = 3.0
FRESH_SECONDS = 5.0
# A series that was not told for so long is forgotten; "not told any more" can fire until then.
REMEMBERED_SECONDS = 3_600.0
PENDING_KEY = "alerts:pending"
SERIES_MOST = 20_000

Place = tuple[int, str, str]


@dataclass
class Reading:
    """The newest figures of a node, and when each series was told last (monotonic seconds)."""

    at: float
    figures: Figures
    seen: dict[str, float] = field(default_factory=dict)


class AlertEngine:
    """One in control. `take` from any thread, `start` and `stop` around it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: dict[str, Reading] = {}
        self._rules: list[AlertRule] = []
        self._rules_at = -RULES_EVERY_SECONDS
        self._watches: dict[Place, Watch] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def take(self, node_name: str, figures: Figures) -> None:
        """Leave a node's newest figures."""
        now = self._clock()
        with self._lock:
            reading = self._readings.setdefault(node_name, Reading(now, figures))
            reading.at, reading.figures = now, figures
            reading.seen.update(dict.fromkeys(figures, now))

    def tick(self) -> None:
        """Judge once."""
        now = self._clock()
        if now - self._rules_at >= RULES_EVERY_SECONDS:
            self._rules_load()
            self._rules_at = now
            untold_tell()
        with self._lock:
            readings = {
                name: Reading(one.at, one.figures, dict(one.seen)) for name, one in self._readings.items()
            }
        for rule in self._rules:
            for node_name, reading in readings.items():
                self._rule(rule, node_name, reading, now)
        self._forget(now)
        self._pending_show()

    def _rule(self, rule: AlertRule, node_name: str, reading: Reading, now: float) -> None:
        fresh = now - reading.at < FRESH_SECONDS
        for key in reading.seen:
            metric, _, subject = key.partition("|")
            if metric == rule.metric and rule_covers(rule, node_name, subject):
                watch = self._watch(rule, node_name, key)
                if watch is not None:
                    figure = reading.figures.get(key) if fresh else None
                    self._changed(watch.step(figure, now), watch, rule, node_name, key)

    def _watch(self, rule: AlertRule, node_name: str, key: str) -> Watch | None:
        place = (rule.pk, node_name, key)
        if place not in self._watches and len(self._watches) < SERIES_MOST:
            firing = Alert.objects.filter(rule=rule, node_name=node_name, series=key, state=AlertState.FIRING)
            self._watches[place] = Watch(condition_of(rule), firing=firing.exists())
        return self._watches.get(place)

    def _changed(self, change: Change, watch: Watch, rule: AlertRule, node_name: str, key: str) -> None:
        if change == Change.FIRED:
            message = fired_words(
                kind=rule.kind, key=key, value=rule.value, figure=watch.figure, for_seconds=rule.for_seconds
            )
            alert_fire(
                rule=rule, node_name=node_name, series=key, message=message, value=watch.figure,
                url=f"/nodes/{node_name}/history/?range=3600",
            )  # fmt: skip
        elif change == Change.RESOLVED:
            alert_resolve(rule=rule, node_name=node_name, series=key)

    def _rules_load(self) -> None:
        rules = list(AlertRule.objects.filter(enabled=True).exclude(kind=RuleKind.EVENT))
        before = {rule.pk: rule.updated_at for rule in self._rules}
        self._rules = rules
        same = {rule.pk for rule in rules if before.get(rule.pk) == rule.updated_at}
        self._watches = {place: watch for place, watch in self._watches.items() if place[0] in same}
        disabled = Alert.objects.filter(state=AlertState.FIRING, rule__enabled=False)
        for alert in disabled:
            alert_end(alert, "The rule was disabled")

    def _forget(self, now: float) -> None:
        """Series that are gone for good take their watches with them."""
        with self._lock:
            for reading in self._readings.values():
                reading.seen = {key: at for key, at in reading.seen.items() if now - at < REMEMBERED_SECONDS}
            known = {(name, key) for name, reading in self._readings.items() for key in reading.seen}
        for place in [place for place in self._watches if place[1:] not in known]:
            watch = self._watches.pop(place)
            if watch.firing:
                for alert in Alert.objects.filter(
                    rule=place[0], node_name=place[1], series=place[2], state=AlertState.FIRING
                ):
                    alert_end(alert, f"{key_subject(place[2]) or place[2]} is gone for an hour")

    def _pending_show(self) -> None:
        names = {rule.pk: rule.name for rule in self._rules}
        rows = [
            {"rule": names[place[0]], "node": place[1], "series": place[2], "value": watch.figure}
            for place, watch in self._watches.items()
            if watch.pending and place[0] in names
        ]
        with suppress(StreamsDown):
            shared_streams().put(PENDING_KEY, orjson.dumps(rows[:200]), 10)

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            try:
                self.tick()
            except DatabaseError as error:
                log.warning("database does not answer; alerts wait", error=str(error))
                close_old_connections()
            except Exception:
                log.exception("alerts failed")
        connections.close_all()


def condition_of(rule: AlertRule) -> Condition:
    """A rule's condition as the watch takes it."""
    return Condition(
        kind=Kind(rule.kind),
        value=rule.value or 0.0,
        clear=rule.clear_value,
        for_seconds=rule.for_seconds,
        hold_seconds=rule.hold_seconds,
        window_seconds=rule.window_seconds,
    )


ENGINE = AlertEngine()
