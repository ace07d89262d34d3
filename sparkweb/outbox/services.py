"""Put notices into the outbox, deliver what is due, forget what is old.

A notice is written in the transaction of what it tells about, so that neither
is without the other. It is delivered at least once: a receiver knows a
second copy by its uid.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.utils import timezone

from sparkweb.outbox.models import Notice, NoticeState

log = structlog.get_logger(__name__)

Channel = Callable[[Notice], str]
"""Delivers one notice and returns how it was taken, in a few words. Raises DeliveryFailed."""

CHANNELS: dict[str, Channel] = {}
WAIT_SECONDS = (10, 30, 60, 300, 900, 3600, 10800, 21600)
"""Before the second attempt, the third …: a notice is given up after nine, 11 hours and 45 minutes."""
WAITING_MOST = 1000
KEEP_DAYS = 30
KEEP_MOST = 20_000
HOUSEKEEPING_ROWS = 1000


class DeliveryFailed(Exception):
    """A notice that was not taken, in a sentence; `final`: trying again would not help."""

    def __init__(self, sentence: str, *, final: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.final = final


def channel_register(kind: str, deliver: Channel) -> None:
    """Say how notices of a kind are delivered; apps do it in `ready()`."""
    CHANNELS[kind] = deliver


def notice_add(*, channel: str, recipient: str, subject: str, payload: dict[str, object]) -> Notice:
    """Put one notice into the outbox, in the caller's transaction.

    At most 1,000 wait for one recipient: the oldest then is dropped, and stands so in the log.
    """
    waiting = Notice.objects.filter(channel=channel, recipient=recipient, state=NoticeState.WAITING)
    if surplus := max(0, waiting.count() - WAITING_MOST + 1):
        oldest = list(waiting.order_by("pk").values_list("pk", flat=True)[:surplus])
        Notice.objects.filter(pk__in=oldest).update(
            state=NoticeState.DROPPED,
            ended_at=timezone.now(),
            last_result=f"Dropped: {WAITING_MOST} newer ones wait",
        )
    return Notice.objects.create(channel=channel, recipient=recipient, subject=subject[:200], payload=payload)


def notices_due(now: datetime) -> list[Notice]:
    """Return the oldest due notice of each recipient.

    One that is due later than any wait is long is due too: the clock was set back.
    """
    never = now + timedelta(seconds=WAIT_SECONDS[-1])
    waiting = Notice.objects.filter(state=NoticeState.WAITING)
    due = (waiting.filter(next_at__lte=now) | waiting.filter(next_at__gt=never)).order_by("pk")
    first: dict[tuple[str, str], Notice] = {}
    for notice in due[:WAITING_MOST]:
        first.setdefault((notice.channel, notice.recipient), notice)
    return list(first.values())


def notice_deliver(notice: Notice, now: datetime) -> None:
    """Try one notice once and keep how it went. Never raises for a channel's failure."""
    deliver = CHANNELS.get(notice.channel)
    attempts = notice.attempts + 1
    try:
        if deliver is None:
            raise DeliveryFailed(f"Nothing here delivers {notice.channel}", final=True)
        result = deliver(notice)
    except DeliveryFailed as failed:
        given_up = failed.final or attempts > len(WAIT_SECONDS)
        if given_up:
            log.warning("notice given up", channel=notice.channel, subject=notice.subject, notice=notice.uid)
        wait = timedelta(seconds=WAIT_SECONDS[min(attempts, len(WAIT_SECONDS)) - 1])
        _note(notice, attempts, NoticeState.FAILED if given_up else "", failed.sentence, now, wait)
    else:
        _note(notice, attempts, NoticeState.DELIVERED, result, now, timedelta())


def _note(notice: Notice, attempts: int, ended: str, result: str, now: datetime, wait: timedelta) -> None:
    changes = {"attempts": attempts, "last_result": result[:300]}
    end = {"state": ended, "ended_at": now} if ended else {"next_at": now + wait}
    Notice.objects.filter(pk=notice.pk, state=NoticeState.WAITING).update(**changes, **end)


def notices_forget(now: datetime) -> int:
    """Delete notices that ended 30 days ago, and the oldest beyond 20,000, 1,000 at a time; how many."""
    ended = Notice.objects.exclude(state=NoticeState.WAITING)
    old = list(
        ended.filter(ended_at__lt=now - timedelta(days=KEEP_DAYS)).values_list("pk", flat=True)[
            :HOUSEKEEPING_ROWS
        ]
    )
    beyond = list(
        ended.order_by("-pk").values_list("pk", flat=True)[KEEP_MOST : KEEP_MOST + HOUSEKEEPING_ROWS]
    )
    return Notice.objects.filter(pk__in={*old, *beyond}).delete()[0]
