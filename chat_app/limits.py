"""Limits of people and keys: read for the gateway, set by admins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from chat_app.gateway.limits import Limit
from chat_app.models import UsageOutcome, UsageRecord
from chat_app.models_limits import UsageLimit
from models_app.models import ModelDefinition
from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import ApiKey, User

NUMBERS = ("requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day", "parallel")


def limits_read(key: ApiKey) -> tuple[Limit, ...]:
    """Return the limits of a key and of its owner, as the gateway counts them."""
    found = UsageLimit.objects.filter(key=key) | UsageLimit.objects.filter(user_id=key.user_id)
    return tuple(_limit(row, key) for row in found.order_by("pk"))


def day_read(subject: str) -> list[tuple[float, int, int]]:
    """Return what the ledger says of a subject's last 24 hours: beginning of each hour, requests, tokens."""
    kind, _, number = subject.partition(":")
    records = UsageRecord.objects.filter(at__gte=timezone.now() - timedelta(days=1))
    records = records.exclude(outcome=UsageOutcome.REFUSED)
    rows = (
        records.filter(**{f"{kind}_id": int(number)}).order_by().annotate(hour=TruncHour("at")).values("hour")
    )
    sums = rows.annotate(requests=Count("pk"), read=Sum("input_tokens"), written=Sum("output_tokens"))
    return [
        (row["hour"].timestamp(), row["requests"], (row["read"] or 0) + (row["written"] or 0)) for row in sums
    ]


@transaction.atomic
def limit_set(
    *, actor: Actor, user: User | None = None, key: ApiKey | None = None, **wanted: Any
) -> UsageLimit | None:
    """Set the limits of one person or key; without any, the row goes. Raises ValidationError.

    `wanted` are `model_names` and NUMBERS. They hold within some seconds.
    """
    row = UsageLimit.objects.filter(user=user, key=key).first() or UsageLimit(user=user, key=key)
    for name in NUMBERS:
        setattr(row, name, wanted.get(name))
    row.model_names = _names(wanted.get("model_names") or [])
    row.full_clean(exclude=["user", "key"])
    row.clean()
    target = user.username if user else str(key)
    if not row.model_names and not any(getattr(row, name) for name in NUMBERS):
        if row.pk:
            row.delete()
            audit(actor, "usage_limit_removed", target)
        return None
    row.save()
    told = {name: getattr(row, name) for name in NUMBERS if getattr(row, name)}
    audit(actor, "usage_limit_set", target, **told, models=row.model_names)
    return row


def _names(names: list[str]) -> list[str]:
    known = set(ModelDefinition.objects.values_list("slug", flat=True))
    if missing := sorted(set(names) - known):
        raise ValidationError({"model_names": f"There is no definition {missing[0][:80]!r}."})
    return sorted(set(names))


def _limit(row: UsageLimit, key: ApiKey) -> Limit:
    of_key = row.key_id is not None
    return Limit(
        subject=f"key:{row.key_id}" if of_key else f"user:{row.user_id}",
        words=f"The API key {key.prefix}…" if of_key else f"The user {key.user.username}",
        models=frozenset(row.model_names),
        **{name: getattr(row, name) for name in NUMBERS},
    )
