"""Begin a self-test, carry it out, take over what comes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_selftest import SelfTest, SelfTestState
from sandbox_app.selftest.checks import CHECKS, TESTED
from sandbox_app.selftest.programs_read import programs_read
from sandbox_app.selftest.suite import FAILED, leaked, rows_of
from sparkweb import live
from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import User

log = structlog.get_logger(__name__)

# A row takes its limits and a cold start; one that does not move for so long was left by a control that died.
STANDS_STILL_MINUTES = 10


def rows_total() -> int:
    """How many rows a self-test has."""
    return len(programs_read()) + len(CHECKS) + len(TESTED)


def selftest_create(*, node: Node, actor: Actor) -> tuple[SelfTest, bool]:
    """Ask for a self-test. Returns it, and False if one of this node was under way.

    Raises ToolRefused: user_missing, node_offline.
    """
    if actor.user is None:
        raise ToolRefused("A self-test is made for a user: some of its rows need a session.", "user_missing")
    if node.status != NodeStatus.ONLINE:
        raise ToolRefused(f"{node} is not online.", "node_offline")
    selftests_tidy()
    if running := SelfTest.objects.filter(node_name=node.name, state=SelfTestState.RUNNING).first():
        return running, False
    with transaction.atomic():
        test = SelfTest.objects.create(
            node=node, node_name=node.name, total=rows_total(), requested_by=actor.user
        )
        audit(actor, "sandbox_selftest", node.name, selftest=test.uid)
        transaction.on_commit(lambda: _publish(test))
    return test, True


def selftest_run(test: SelfTest) -> SelfTest:
    """Carry a self-test out, telling browsers after each row."""
    user, node = test.requested_by, test.node
    if user is None or node is None:
        return _ended(test, SelfTestState.FAILED, "Its user or its node is gone.")
    try:
        for row in rows_of(node, Actor(user, f"{user} (self-test)", "selftest")):
            _moved(test, row.to_json())
    except Exception as error:
        log.exception("self-test failed", selftest=test.uid)
        return _ended(test, SelfTestState.FAILED, f"It broke off: {type(error).__name__}: {error}"[:500])
    test.leaked = leaked(node)
    broken = test.counts[FAILED] > 0 or bool(test.leaked)
    return _ended(test, SelfTestState.BROKEN if broken else SelfTestState.HELD)


def selftests_tidy() -> None:
    """End those that nobody carries on."""
    before = timezone.now() - timedelta(minutes=STANDS_STILL_MINUTES)
    for test in SelfTest.objects.filter(state=SelfTestState.RUNNING, moved_at__lt=before):
        _ended(test, SelfTestState.FAILED, "Control was ended while it ran.")


def selftest_fail(test: SelfTest, reason: str) -> SelfTest:
    """End one that cannot be carried out."""
    return _ended(test, SelfTestState.FAILED, reason)


def admin_actor_of(user: User) -> Actor:
    """Who makes a self-test from the command line."""
    return Actor(user, f"{user} (command)", "command")


def _moved(test: SelfTest, row: dict[str, Any]) -> None:
    test.rows = [*test.rows, row]
    test.moved_at = timezone.now()
    test.save(update_fields=["rows", "moved_at"])
    _publish(test)


def _ended(test: SelfTest, state: SelfTestState, reason: str = "") -> SelfTest:
    test.state, test.reason, test.ended_at = state, reason, timezone.now()
    test.save(update_fields=["state", "reason", "leaked", "ended_at"])
    _publish(test)
    return test


def _publish(test: SelfTest) -> None:
    live.publish(f"sandbox_selftest:{test.node_name}", {"type": "sandbox_selftest", "node": test.node_name})
