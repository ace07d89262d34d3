"""How owners are told: Apprise addresses, through the outbox with its retries."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import apprise
import structlog
from django.core.exceptions import ValidationError
from django.db import transaction

from metrics_app.models_alerts import SEVERITY_RANK, Alert, AlertChannel, AlertState, Severity
from sparkweb import config
from sparkweb.accounts.actor import Actor, audit
from sparkweb.outbox.models import Notice
from sparkweb.outbox.services import DeliveryFailed, notice_add
from sparkweb.sealed import SealBroken, seal, unseal

log = structlog.get_logger(__name__)

CHANNEL = "alert"
PURPOSE = "alert channel"
TYPES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
# Apprise itself logs addresses with what is secret in them.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
# Reach this machine's own desktop or log, or files: nothing that an owner elsewhere would see.
NOT_HERE = {"dbus", "qt", "glib", "kde", "gnome", "macosx", "windows", "syslog", "file"}


def tell(alert: Alert, message: str = "") -> int:
    """Put a notice for each channel that wants alerts of this severity into the outbox; how many."""
    rank = SEVERITY_RANK[Severity(alert.severity)]
    channels = [
        channel
        for channel in AlertChannel.objects.filter(enabled=True)
        if SEVERITY_RANK[Severity(channel.least_severity)] <= rank
    ]
    title, body = _words(alert, message)
    for channel in channels:
        payload: dict[str, object] = {"title": title, "body": body, "type": _type(alert), "alert": alert.pk}
        notice_add(channel=CHANNEL, recipient=str(channel.pk), subject=title, payload=payload)
    return len(channels)


def _type(alert: Alert) -> str:
    return "success" if alert.state == AlertState.RESOLVED else TYPES[Severity(alert.severity)]


def _words(alert: Alert, message: str) -> tuple[str, str]:
    over = alert.state == AlertState.RESOLVED
    title = f"{'Over: ' if over else ''}{alert.rule_name} on {alert.node_name}"
    lines = [message or alert.message, f"{config.WEB_URL.rstrip('/')}{alert.url or '/alerts/'}"]
    return title, "\n".join(lines)


def deliver(notice: Notice) -> str:
    """Send one notice through its channel. Raises DeliveryFailed with a sentence that names no address."""
    channel = AlertChannel.objects.filter(pk=notice.recipient).first()
    if channel is None:
        raise DeliveryFailed("The channel was deleted", final=True)
    if not channel.enabled and not notice.payload.get("test"):
        raise DeliveryFailed("The channel is disabled", final=True)
    sender = apprise.Apprise()
    try:
        known = sender.add(unseal(channel.sealed_url, PURPOSE))
    except SealBroken as error:
        raise DeliveryFailed(str(error), final=True) from error
    if not known:
        raise DeliveryFailed("Apprise does not know this kind of address any more", final=True)
    payload = notice.payload
    try:
        taken = sender.notify(
            title=str(payload.get("title", "")),
            body=str(payload.get("body", "")),
            notify_type=apprise.NotifyType(str(payload.get("type", "info"))),
        )
    except Exception as error:
        raise DeliveryFailed(f"{channel.kind} failed: {type(error).__name__}") from error
    if not taken:
        raise DeliveryFailed(f"{channel.kind} did not take it")
    return f"{channel.kind} took it"


@transaction.atomic
def channel_save(*, channel: AlertChannel, actor: Actor, url: str = "") -> AlertChannel:
    """Store a new or changed channel; an empty `url` leaves the address. Raises ValidationError."""
    created = channel.pk is None
    if url:
        channel.kind, channel.sealed_url = kind_of(url), seal(url, PURPOSE)
    elif created:
        raise ValidationError({"url": "The address is missing."})
    channel.full_clean(exclude=["sealed_url", "kind"])
    channel.save()
    audit(actor, "alert_channel_create" if created else "alert_channel_edit", channel.name)
    return channel


def kind_of(url: str) -> str:
    """The scheme of an address that Apprise can send to. Raises ValidationError, which does not quote it."""
    scheme = urlsplit(url.strip()).scheme.lower()
    if not scheme or len(url) > 2_000 or "\0" in url:
        raise ValidationError("This is no address of Apprise; it reads like ntfy://host/topic.")
    if scheme in NOT_HERE:
        raise ValidationError(f"{scheme}:// would tell only the machine that SparkWeb runs on.")
    if apprise.Apprise.instantiate(url) is None:
        raise ValidationError(f"Apprise cannot send to this {scheme}:// address; see its documentation.")
    return scheme[:40]


@transaction.atomic
def channel_delete(*, channel: AlertChannel, actor: Actor) -> None:
    """Delete a channel; what still waits for it is given up at the next try."""
    audit(actor, "alert_channel_delete", channel.name)
    channel.delete()


@transaction.atomic
def channel_test(*, channel: AlertChannel, actor: Actor) -> Notice:
    """Send a test message through the same queue, also to a disabled channel."""
    audit(actor, "alert_channel_test", channel.name)
    payload: dict[str, object] = {
        "title": "SparkWeb: a test",
        "body": f"{actor.label} asked for this message.",
        "type": "info",
        "test": True,
    }
    return notice_add(
        channel=CHANNEL, recipient=str(channel.pk), subject=f"Test, by {actor.label}", payload=payload
    )
