"""Alerts that fire and end, and what owners do about them. Every change by a person is audited."""

from __future__ import annotations

import fnmatch
from datetime import datetime, timedelta

import structlog
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from metrics_app.alerts.events import EVENTS
from metrics_app.alerts.notices import tell
from metrics_app.history.figures import METRICS
from metrics_app.models_alerts import Alert, AlertRule, AlertState, RuleKind, Silence
from sparkweb import live
from sparkweb.accounts.actor import Actor, audit
from sparkweb.refusal import Refused

log = structlog.get_logger(__name__)

ENDED_KEEP = timedelta(days=365)
LONGEST_SILENCE = timedelta(days=90)
PRUNE_ROWS = 1_000


class AlertRefused(Refused):
    """What cannot be done with an alert or silence."""


# Firing ---------------------------------------------------------------------------


def alert_fire(
    *, rule: AlertRule, node_name: str, series: str, message: str, value: float | None = None, url: str = ""
) -> Alert | None:
    """Store that a rule fires, and tell the channels. None if it fires for this series already."""
    try:
        with transaction.atomic():
            alert = Alert.objects.create(
                rule=rule,
                rule_name=rule.name,
                severity=rule.severity,
                node_name=node_name[:40],
                series=series[:160],
                message=message.replace("\0", "")[:300],
                value=value,
                url=url[:200],
            )
            _tell_unless_silenced(alert)
    except IntegrityError:
        return None
    _publish()
    return alert


def alert_resolve(*, rule: AlertRule, node_name: str, series: str, message: str = "") -> bool:
    """Store that what a rule fired for is over; whether there was something. Tells those who were told."""
    with transaction.atomic():
        alert = Alert.objects.filter(
            rule=rule, node_name=node_name, series=series, state=AlertState.FIRING
        ).first()
        if alert is None:
            return False
        return alert_end(alert, message)


def alert_end(alert: Alert, message: str = "") -> bool:
    """Resolve one firing alert; False if it was no longer firing."""
    now = timezone.now()
    ended = Alert.objects.filter(pk=alert.pk, state=AlertState.FIRING)
    if not ended.update(state=AlertState.RESOLVED, resolved_at=now):
        return False
    alert.state, alert.resolved_at = AlertState.RESOLVED, now
    if alert.told and not silenced(alert, now):
        tell(alert, message)
    _publish()
    return True


def event_raise(*, event: str, node_name: str, subject: str = "", message: str, url: str = "") -> list[Alert]:
    """Fire each rule that is about an event, once for each node and subject."""
    fired = []
    for rule in AlertRule.objects.filter(kind=RuleKind.EVENT, metric=event, enabled=True):
        if rule_covers(rule, node_name, subject):
            alert = alert_fire(
                rule=rule, node_name=node_name, series=_event_key(event, subject), message=message, url=url
            )
            fired += [alert] if alert else []
    return fired


def event_clear(*, event: str, node_name: str, subject: str = "", message: str = "") -> int:
    """End what event_raise() fired. Returns how many alerts ended."""
    firing = Alert.objects.filter(
        state=AlertState.FIRING, node_name=node_name, series=_event_key(event, subject)
    )
    return sum(alert_end(alert, message) for alert in firing)


def _event_key(event: str, subject: str) -> str:
    return f"{event}|{subject}"[:160] if subject else event


def rule_covers(rule: AlertRule, node_name: str, subject: str) -> bool:
    """Whether a rule is about a node and a subject."""
    if rule.node_name and rule.node_name != node_name:
        return False
    return not rule.subject or fnmatch.fnmatchcase(subject, rule.subject)


# Telling --------------------------------------------------------------------------


def silenced(alert: Alert, now: datetime) -> bool:
    """Whether a silence covers an alert now."""
    return (
        Silence.objects.filter(starts_at__lte=now, ends_at__gt=now)
        .filter(Q(rule=None) | Q(rule=alert.rule_id))
        .filter(Q(node_name="") | Q(node_name=alert.node_name))
        .exists()
    )


def untold_tell() -> int:
    """Tell of alerts that fire still though their silence is over. Returns how many."""
    told = 0
    waiting = Alert.objects.filter(state=AlertState.FIRING, told=False, acknowledged_at=None)
    for alert in waiting.select_related("rule"):
        with transaction.atomic():
            told += _tell_unless_silenced(alert)
    return told


def _tell_unless_silenced(alert: Alert) -> bool:
    if silenced(alert, timezone.now()):
        return False
    if not Alert.objects.filter(pk=alert.pk, told=False).update(told=True):
        return False
    alert.told = True
    tell(alert)
    return True


def _publish() -> None:
    """Tell browsers how many alerts fire."""

    def send() -> None:
        firing = Alert.objects.filter(state=AlertState.FIRING).count()
        live.publish("alerts", {"type": "alerts", "firing": firing})

    transaction.on_commit(send)


# What owners do -------------------------------------------------------------------


@transaction.atomic
def alert_acknowledge(*, alert: Alert, actor: Actor) -> Alert:
    """Note that somebody knows: it is not told any more, and what had only happened is over."""
    fresh = Alert.objects.filter(pk=alert.pk, acknowledged_at=None)
    if fresh.update(acknowledged_at=timezone.now(), acknowledged_by=actor.user):
        audit(actor, "alert_acknowledge", alert, alert=alert.pk)
        event = EVENTS.get(alert.series.partition("|")[0])
        if event is not None and not event.lasts:
            alert_end(alert, f"Acknowledged by {actor.label}")
    alert.refresh_from_db()
    return alert


@transaction.atomic
def rule_save(*, rule: AlertRule, actor: Actor) -> AlertRule:
    """Store a new or changed rule. Raises ValidationError with a sentence for each field."""
    created = rule.pk is None
    rule.full_clean()
    rule_check(rule)
    rule.save()
    if not created:
        _end_all(rule)
    audit(actor, "alert_rule_create" if created else "alert_rule_edit", rule.name)
    return rule


def rule_check(rule: AlertRule) -> None:
    """Refuse a rule that could never fire or never end. Raises ValidationError."""
    if rule.kind == RuleKind.EVENT:
        if rule.metric not in EVENTS:
            raise ValidationError(
                {"metric": f"There is no event {rule.metric!r}; there are {', '.join(EVENTS)}."}
            )
        return
    metric = METRICS.get(rule.metric)
    if metric is None:
        raise ValidationError({"metric": f"There is no metric {rule.metric!r}."})
    if rule.kind == RuleKind.ABSENT:
        if rule.for_seconds < 10:
            raise ValidationError({"for_seconds": "At least 10 s: figures may be a few seconds late."})
        return
    if rule.value is None or rule.value != rule.value or abs(rule.value) == float("inf"):
        raise ValidationError({"value": "This kind of rule needs a value."})
    if rule.kind == RuleKind.ABOVE and rule.value >= metric.high:
        raise ValidationError(
            {"value": f"It is never above {rule.value:g}: {metric.label} ends at {metric.high:g}."}
        )
    if rule.kind == RuleKind.BELOW and rule.value <= metric.low:
        raise ValidationError(
            {"value": f"It is never below {rule.value:g}: {metric.label} begins at {metric.low:g}."}
        )
    _clear_check(rule)


def _clear_check(rule: AlertRule) -> None:
    clear = rule.clear_value
    if clear is None:
        return
    assert rule.value is not None
    wrong = clear < rule.value if rule.kind == RuleKind.BELOW else clear > rule.value
    if wrong or clear != clear or abs(clear) == float("inf"):
        side = "at or above" if rule.kind == RuleKind.BELOW else "at or below"
        raise ValidationError({"clear_value": f"Must lie {side} the value {rule.value:g}."})


def _end_all(rule: AlertRule) -> None:
    """What a rule fired for by its old condition ends; by the new one it may fire again."""
    for alert in Alert.objects.filter(rule=rule, state=AlertState.FIRING):
        alert_end(alert, "The rule was changed")


@transaction.atomic
def rule_delete(*, rule: AlertRule, actor: Actor) -> None:
    """Delete a rule; its alerts end and stay in the history."""
    for alert in Alert.objects.filter(rule=rule, state=AlertState.FIRING):
        alert_end(alert, "The rule was deleted")
    audit(actor, "alert_rule_delete", rule.name)
    rule.delete()


@transaction.atomic
def silence_add(
    *, rule: AlertRule | None, node_name: str, ends_at: datetime, reason: str, actor: Actor
) -> Silence:
    """Tell nobody for a while. Raises AlertRefused for an end that is past or over 90 days away."""
    now = timezone.now()
    if ends_at <= now:
        raise AlertRefused("the silence would be over already", "silence_over")
    if ends_at > now + LONGEST_SILENCE:
        raise AlertRefused("a silence lasts 90 days at most; disable the rule instead", "silence_too_long")
    silence = Silence(rule=rule, node_name=node_name, ends_at=ends_at, reason=reason, created_by=actor.user)
    silence.full_clean()
    silence.save()
    audit(actor, "alert_silence", silence, until=ends_at.isoformat(), reason=reason)
    return silence


@transaction.atomic
def silence_end(*, silence: Silence, actor: Actor) -> None:
    """End a silence now; what fires still is told."""
    Silence.objects.filter(pk=silence.pk, ends_at__gt=timezone.now()).update(ends_at=timezone.now())
    audit(actor, "alert_silence_end", silence)


def alerts_prune() -> int:
    """Delete alerts that ended a year ago and silences that are long over. Returns how many rows."""
    before = timezone.now() - ENDED_KEEP
    old = list(
        Alert.objects.filter(state=AlertState.RESOLVED, resolved_at__lt=before).values_list("pk", flat=True)[
            :PRUNE_ROWS
        ]
    )
    Silence.objects.filter(ends_at__lt=before).delete()
    return Alert.objects.filter(pk__in=old).delete()[0]
