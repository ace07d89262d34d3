"""A ledger for screenshots: a month of requests by three people to three models, and two limits."""

from __future__ import annotations

import random
from datetime import timedelta

from django.utils import timezone

from chat_app.models import UsageOutcome, UsageRecord
from chat_app.models_limits import UsageLimit
from sparkweb.accounts.models import User

PEOPLE = ("ada", "grace", "linus")
MODELS = ("qwen2.5-72b", "llama-3.3-70b", "phi-4")


def usage_seed(user: User) -> None:
    """Write a ledger that is the same each time, but for its dates; `user` and one more have limits."""
    chance, now = random.Random(7), timezone.now()
    records = []
    for number in range(900):
        at = now - timedelta(hours=chance.random() ** 1.5 * 700)
        written, first = chance.randint(20, 900), chance.uniform(40, 900)
        outcome = chance.choices(list(UsageOutcome.values), (90, 2, 2, 5, 1))[0]
        records.append(
            UsageRecord(
                uid=f"{number:x}", at=at, user_label=chance.choice(PEOPLE), key_label="editor (sk-spark-1a…)",
                model=chance.choices(MODELS, (6, 3, 1))[0], endpoint="chat/completions", streamed=True,
                status=200, outcome=outcome, input_tokens=chance.randint(100, 9000), output_tokens=written,
                cached_tokens=chance.randint(0, 100), first_ms=first, duration_ms=first + written * 22,
                launch_uid="aa", node_name="spark-1",
            )
        )  # fmt: skip
    UsageRecord.objects.bulk_create(records)
    UsageLimit.objects.create(user=user, model_names=["phi-4"], tokens_per_day=2_000_000, parallel=4)
