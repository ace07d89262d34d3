"""What control does for tests of the fabric without being asked: asks again, gives up, tests daily."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from metrics_app.fabric.plan import rails_of
from metrics_app.fabric.services import FabricRefused, fabric_test_create, place_of, step_end, step_nudge
from metrics_app.models import Node, NodeStatus
from metrics_app.models_fabric import FabricTest, FabricTestState
from sparkweb.accounts.actor import Actor

log = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
NUDGE_EVERY_SECONDS = 5.0
ANSWER_MARGIN = timedelta(seconds=60)
DAILY_EVERY_SECONDS = 60.0
ACTOR = Actor(None, "daily fabric test", "system")


@dataclass
class FabricRounds:
    """One look at what runs each time; at the hour of the daily tests, less often. Monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    nudged: dict[tuple[str, int], float] = field(default_factory=dict)
    daily_due: float = 0.0

    def round(self) -> None:
        now = self.clock()
        tests = list(FabricTest.objects.filter(state=FabricTestState.RUNNING))
        self.nudged = {key: self.nudged.get(key, now) for key in ((one.uid, one.step) for one in tests)}
        for test in tests:
            self._one(test, now)
        if now >= self.daily_due:
            self.daily_due = now + DAILY_EVERY_SECONDS
            daily_tests(timezone.now())

    def _one(self, test: FabricTest, now: float) -> None:
        if timezone.now() > test.step_at + timedelta(seconds=test.seconds) + ANSWER_MARGIN:
            step_give_up(test)
        elif now - self.nudged[test.uid, test.step] >= NUDGE_EVERY_SECONDS:
            self.nudged[test.uid, test.step] = now
            step_nudge(test)


@transaction.atomic
def step_give_up(test: FabricTest) -> None:
    """End a step that one of the nodes told nothing of, unless it has just gone on."""
    fresh = (
        FabricTest.objects.select_for_update()
        .filter(pk=test.pk, state=FabricTestState.RUNNING, step=test.step)
        .first()
    )
    if fresh is not None:
        step_end(fresh)


def daily_tests(now: datetime) -> int:
    """Begin the day's test of each pair of nodes, one at a time, in the set hour. How many were begun.

    What is refused (a model serves, a node is away) is tried again each minute of that hour.
    """
    if timezone.localtime(now).hour != settings.FABRIC_DAILY_HOUR:
        return 0
    nodes = Node.objects.filter(status=NodeStatus.ONLINE).order_by("name")
    begun = 0
    for pair in itertools.combinations(nodes, 2):
        if rails_of(*(place_of(node) for node in pair)) and not _tested(pair, now):
            begun += _begin(pair)
    return begun


def _tested(pair: tuple[Node, Node], now: datetime) -> bool:
    since = now - timedelta(hours=20)
    return FabricTest.objects.filter(
        first_node=pair[0].name, second_node=pair[1].name, scheduled=True, created_at__gte=since
    ).exists()


def _begin(pair: tuple[Node, Node]) -> bool:
    try:
        fabric_test_create(nodes=pair, actor=ACTOR, scheduled=True)
    except FabricRefused as refused:
        log.info("daily fabric test not begun", pair=[node.name for node in pair], reason=refused.message)
        return False
    return True


ROUNDS = FabricRounds()
