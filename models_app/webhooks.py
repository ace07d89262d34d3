"""Webhooks: what they are told, how it is signed, and who may be told.

The secret of a webhook is made from the installation's key and a salt, so
that the database alone does not hold it.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import Launch, LaunchEvent, LaunchState, ModelDefinition
from models_app.models_webhooks import Webhook, salt_make
from sparkweb import __version__
from sparkweb.accounts.actor import Actor, audit
from sparkweb.adapters.http_post import PostFailed, post
from sparkweb.outbox.models import Notice
from sparkweb.outbox.services import DeliveryFailed, notice_add

CHANNEL = "webhook"
TEST_EVENT = "test"
EVENTS = list(LaunchState.values)


# What they are told -------------------------------------------------------------


def launch_changed(launch: Launch, event: LaunchEvent) -> None:
    """Tell every webhook that wants to know of this change of state, in the caller's transaction."""
    for hook in Webhook.objects.filter(enabled=True).prefetch_related("definitions"):
        if _wants(hook, launch, event.to_state):
            notice_add(
                channel=CHANNEL,
                recipient=hook.uid,
                subject=f"{launch.definition_slug} on {launch.node_name}: {event.to_state}",
                payload=_payload(launch, event),
            )


def _wants(hook: Webhook, launch: Launch, state: str) -> bool:
    if hook.events and state not in hook.events:
        return False
    chosen = {definition.pk for definition in hook.definitions.all()}
    return not chosen or launch.definition_id in chosen


def _payload(launch: Launch, event: LaunchEvent) -> dict[str, object]:
    failed = event.to_state in (LaunchState.FAILED, LaunchState.PARKED)
    return {
        "event": f"launch.{event.to_state}",
        "at": event.at.isoformat(timespec="milliseconds"),
        "launch": {
            "uid": launch.uid,
            "definition": launch.definition_slug,
            "engine": launch.engine,
            "node": launch.node_name,
            "state": event.to_state,
            "from_state": event.from_state or None,
            "message": event.message,
            "by": event.actor_label or None,
            "failure_code": launch.failure_code or None if failed else None,
            "failure_reason": launch.failure_reason or None if failed else None,
            "path": launch.get_absolute_url(),
        },
    }


# How it is delivered ------------------------------------------------------------


def secret_of(hook: Webhook) -> str:
    """Return the secret that this webhook's messages are signed with: 64 hex digits behind `whsec_`."""
    key = hmac.new(settings.SECRET_KEY.encode(), f"webhook:{hook.uid}:{hook.salt}".encode(), hashlib.sha256)
    return f"whsec_{key.hexdigest()}"


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    """Return `v1=` and the HMAC-SHA256 of timestamp, a dot and the body, in hex."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"


def deliver(notice: Notice) -> str:
    """Send one notice to its webhook. Raises DeliveryFailed with a sentence that names no address."""
    hook = Webhook.objects.filter(uid=notice.recipient).first()
    if hook is None:
        raise DeliveryFailed("The webhook was deleted", final=True)
    if not hook.enabled and notice.payload.get("event") != TEST_EVENT:
        raise DeliveryFailed("The webhook is disabled", final=True)
    body = orjson.dumps({"id": notice.uid, **notice.payload})
    timestamp = str(int(timezone.now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"SparkWeb/{__version__}",
        "X-SparkWeb-Event": str(notice.payload.get("event", "")),
        "X-SparkWeb-Delivery": notice.uid,
        "X-SparkWeb-Timestamp": timestamp,
        "X-SparkWeb-Signature": signature_of(secret_of(hook), timestamp, body),
    }
    try:
        status = post(hook.url, body, headers)
    except PostFailed as failed:
        raise DeliveryFailed(str(failed)) from failed
    if 300 <= status < 400:
        raise DeliveryFailed(f"It answers {status}, a redirect, which is not followed")
    if not 200 <= status < 300:
        raise DeliveryFailed(f"It answers {status}")
    return f"It answers {status}"


# Who is told --------------------------------------------------------------------


@transaction.atomic
def webhook_save(*, hook: Webhook, actor: Actor, definitions: list[ModelDefinition] | None = None) -> Webhook:
    """Store a new or changed webhook; `definitions` None leaves its filter. Raises ValidationError."""
    created = hook.pk is None
    hook.full_clean()
    _check(hook)
    hook.save()
    if definitions is not None:
        hook.definitions.set(definitions)
    audit(actor, "webhook_create" if created else "webhook_edit", hook.name, host=host_of(hook))
    return hook


def _check(hook: Webhook) -> None:
    wrong = hook.events if not isinstance(hook.events, list) else [e for e in hook.events if e not in EVENTS]
    if wrong:
        raise ValidationError({"events": f"{str(wrong)[:80]}: the events are {', '.join(EVENTS)}."})
    if "@" in urlsplit(hook.url).netloc:
        raise ValidationError({"url": "No name or password in the address; messages are signed instead."})


def host_of(hook: Webhook) -> str:
    """Return host and port of a webhook: its path may be a secret of the receiver's."""
    return urlsplit(hook.url).netloc


@transaction.atomic
def webhook_secret_renew(*, hook: Webhook, actor: Actor) -> str:
    """Give a webhook a new secret and return it; the old one counts no more."""
    hook.salt = salt_make()
    hook.save(update_fields=["salt"])
    audit(actor, "webhook_secret", hook.name)
    return secret_of(hook)


@transaction.atomic
def webhook_delete(*, hook: Webhook, actor: Actor) -> None:
    """Delete a webhook; what still waits for it is given up at the next try."""
    audit(actor, "webhook_delete", hook.name)
    hook.delete()


@transaction.atomic
def webhook_test(*, hook: Webhook, actor: Actor) -> Notice:
    """Send a test message through the same queue, also to a disabled webhook."""
    audit(actor, "webhook_test", hook.name)
    now = timezone.now().isoformat(timespec="milliseconds")
    return notice_add(
        channel=CHANNEL,
        recipient=hook.uid,
        subject=f"Test, by {actor.label}",
        payload={"event": TEST_EVENT, "at": now, "by": actor.label},
    )


def deliveries_of(hook: Webhook) -> QuerySet[Notice]:
    """Return the notices for a webhook, newest first."""
    return Notice.objects.filter(channel=CHANNEL, recipient=hook.uid)
