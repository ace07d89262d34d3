"""Tests of the fabric: asked for, told of by both nodes step by step, judged.

The row is the truth: what a nudge should have done and did not is asked for again by
`FabricReconciler`, and a step that stays without an answer is over after its time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from metrics_app.alerts.services import event_clear, event_raise
from metrics_app.fabric.answers import answer_read
from metrics_app.fabric.plan import Place, questions, rails_of, steps_of
from metrics_app.fabric.verdict import verdict_of
from metrics_app.models import Node, NodeStatus
from metrics_app.models_fabric import FabricTest, FabricTestState
from sparkweb.accounts.actor import Actor, audit
from sparkweb.node_link import commands
from sparkweb.refusal import Refused

EVENT = "fabric_bad"
KEEP_FOR = timedelta(days=730)
PRUNE_ROWS = 500

SPANNING: list[Callable[[Sequence[Node]], list[str]]] = []
"""Each says what of its app runs over several of these nodes at once; apps add theirs in `ready()`."""


class FabricRefused(Refused):
    """A test that cannot be run now."""


def fabric_test_create(
    *, nodes: Sequence[Node], actor: Actor, force_reason: str = "", scheduled: bool = False
) -> FabricTest:
    """Begin a test between two nodes; the first one sends.

    Raises FabricRefused: nodes_wanted, no_fabric_address, node_away, fabric_busy while a test
    of one of them runs, and model_serves while a model lies over both, unless there is a reason.
    """
    if len({node.pk for node in nodes}) != 2 or len(nodes) != 2:
        raise FabricRefused("A test needs two different nodes.", "nodes_wanted")
    rails = rails_of(*(place_of(node) for node in nodes))
    _ready_check(nodes, bool(rails))
    force_reason = force_reason.replace("\0", "").strip()[:300]
    models = [name for spanning in SPANNING for name in spanning(nodes)]
    if models and not force_reason:
        names = ", ".join(models)
        raise FabricRefused(
            f"{names} serves over this link, and a test would slow it down. Stop it first, or give a reason.",
            "model_serves",
            {"models": models},
        )
    with transaction.atomic():
        _busy_check(nodes)
        test = FabricTest.objects.create(
            first_node=nodes[0].name,
            second_node=nodes[1].name,
            scheduled=scheduled,
            requested_by=actor.user,
            force_reason=force_reason if models else "",
            steps=steps_of(rails),
            port=settings.FABRIC_PORT,
            seconds=settings.FABRIC_SECONDS,
            streams=settings.FABRIC_STREAMS,
        )
        audit(actor, "fabric_test", test, reason=test.force_reason, models=models)
        transaction.on_commit(lambda: step_nudge(test))
    return test


def place_of(node: Node) -> Place:
    """Return a node's name and its addresses on both rails."""
    return Place(node.name, (node.fabric_address, node.fabric_twin_address))


def _ready_check(nodes: Sequence[Node], has_rail: bool) -> None:
    for node in nodes:
        if not node.fabric_address and not node.fabric_twin_address:
            raise FabricRefused(f"{node} has no fabric address; enter it at the node.", "no_fabric_address")
        if node.status != NodeStatus.ONLINE:
            raise FabricRefused(
                f"{node} is {node.get_status_display().lower()}; a test needs both.", "node_away"
            )
    if not has_rail:
        raise FabricRefused(
            f"{nodes[0]} and {nodes[1]} have no address on the same rail.", "no_fabric_address"
        )


def _busy_check(nodes: Sequence[Node]) -> None:
    """Refuse a second test of a node; its row is locked, so that two who ask at once get one."""
    list(Node.objects.select_for_update().filter(pk__in=[node.pk for node in nodes]).order_by("pk"))
    names = {node.name for node in nodes}
    for running in FabricTest.objects.filter(state=FabricTestState.RUNNING):
        if names & set(running.names):
            raise FabricRefused(
                f"A test from {running} runs already; wait for its end.", "fabric_busy", {"test": running.uid}
            )


def step_nudge(test: FabricTest) -> None:
    """Ask the nodes that have not told anything of the step under way.

    A server whose client could not come has waited long enough: it is told to end.
    """
    if test.state != FabricTestState.RUNNING or test.step >= len(test.steps):
        return
    step = test.steps[test.step]
    asked = questions(step, test.names, port=test.port, seconds=test.seconds, streams=test.streams)
    for name, question in asked.items():
        if name in step["answers"]:
            continue
        if question["kind"] == "serve" and _sender_failed(test):
            commands.send(name, "fabric.cancel", test=test.uid, step=test.step)
        else:
            commands.send(name, "fabric.step", question={"test": test.uid, "step": test.step, **question})


def _sender_failed(test: FabricTest) -> bool:
    answer = test.steps[test.step]["answers"].get(test.first_node) or {"rails": []}
    return any(rail.get("problem") for rail in answer["rails"])


def fabric_step_told(node_name: str, data: dict[str, Any]) -> None:
    """Fact of a node: what it found out in one step. What came too late, or twice, changes nothing."""
    uid, number = str(data.get("test", "")).replace("\0", "")[:16], data.get("step")
    rows = FabricTest.objects.select_for_update().filter(uid=uid, state=FabricTestState.RUNNING)
    with transaction.atomic():
        test = rows.first()
        if test is None or number != test.step or node_name not in test.names:
            return
        answers = test.steps[test.step]["answers"]
        if node_name in answers:
            return
        answers[node_name] = answer_read(data.get("answer"))
        test.save(update_fields=["steps"])
        if len(answers) == 2:
            step_end(test)
        elif _sender_failed(test):
            transaction.on_commit(lambda: step_nudge(test))


def step_end(test: FabricTest) -> None:
    """Go on to the next step, or judge; in the caller's transaction."""
    silent = len(test.steps[test.step]["answers"]) < 2
    test.step, test.step_at = test.step + 1, timezone.now()
    if silent or test.step >= len(test.steps):
        _conclude(test)
        return
    test.save(update_fields=["step", "step_at"])
    transaction.on_commit(lambda: step_nudge(test))


def _conclude(test: FabricTest) -> None:
    verdict = verdict_of(test.steps, test.names)
    test.state, test.ended_at = FabricTestState.DONE, timezone.now()
    test.tone, test.cause = verdict.tone, verdict.cause
    test.sentence, test.gbits = verdict.sentence, verdict.gbits
    test.save()
    where = {"node_name": test.first_node, "subject": test.subject}
    if verdict.tone == "bad":
        message = f"{test.subject}: {verdict.sentence}"
        event_raise(event=EVENT, message=message, url=test.get_absolute_url(), **where)
        return
    for name in test.names:
        event_clear(event=EVENT, node_name=name, subject=test.subject, message=verdict.sentence)


def fabric_prune(now: datetime | None = None) -> int:
    """Delete tests that are two years old, at most 500 at once. Returns how many."""
    before = (now or timezone.now()) - KEEP_FOR
    old = list(FabricTest.objects.filter(created_at__lt=before).values_list("pk", flat=True)[:PRUNE_ROWS])
    FabricTest.objects.filter(pk__in=old).delete()
    return len(old)
