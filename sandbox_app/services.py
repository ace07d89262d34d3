"""Calls of tools: asked for, approved, cancelled, repeated. Each leaves its entry in the audit."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from metrics_app.models import Node
from sandbox_app.audit import audit_append, mask
from sandbox_app.dispatch import (
    SEAL_PURPOSE,
    arguments_of,
    calls_now,
    limits_of,
    queue_lock,
    run_cancel_send,
    run_let_in,
    run_send,
)
from sandbox_app.ending import run_end
from sandbox_app.exceptions import (
    ToolBusy,
    ToolForbidden,
    ToolRefused,
    ToolUnavailable,
    ToolUnknown,
)
from sandbox_app.fair_queue import Call, next_runs
from sandbox_app.job import arguments_digest
from sandbox_app.models import (
    AuditKind,
    AuditRecord,
    Outcome,
    RunDesired,
    RunState,
    SessionState,
    Tool,
    ToolRun,
    ToolSession,
    run_uid_make,
)
from sandbox_app.places import Place, place_choose, places, places_lately
from sandbox_app.run_frames import run_publish
from sandbox_app.schema import arguments_check
from sandbox_app.toolfile import policy_of, runner_of
from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import Role
from sparkweb.refusal import Refused
from sparkweb.sealed import SealBroken, seal

log = structlog.get_logger(__name__)

KEY_MOST = 100
REFUSALS_A_MINUTE = 60
REFUSED_ARGUMENTS_MOST = 4096


def tool_run_create(
    *,
    tool: Tool,
    arguments: Any,
    actor: Actor,
    via: str,
    session: ToolSession | None = None,
    idempotency_key: str = "",
    detached: bool = False,
    node: Node | None = None,
    replay_of: ToolRun | None = None,
) -> tuple[ToolRun, bool]:
    """Ask for a tool to be run. Returns the run, and False if this idempotency key had made it before.

    The row and the audit entry `started` are committed before the node is told. Raises ArgumentsInvalid,
    ToolForbidden (role), ToolUnknown (somebody else's session), ToolRefused (tool_disabled, tool_broken,
    tool_missing, session_ended, image_missing, runtime_missing, memory_short, key_reused), ToolBusy
    (queue_full) and ToolUnavailable (no_node, node_offline); each of them is recorded too.
    """
    try:
        return _create(tool, arguments, actor, via, session, idempotency_key, detached, node, replay_of)
    except Refused as refused:
        _refusal_note(tool, arguments, actor, via, refused)
        raise


def _create(
    tool: Tool,
    arguments: Any,
    actor: Actor,
    via: str,
    session: ToolSession | None,
    key: str,
    detached: bool,
    node: Node | None,
    replay_of: ToolRun | None,
) -> tuple[ToolRun, bool]:
    _tool_check(tool, actor)
    checked = arguments_check(tool.definition, arguments)
    digest = arguments_digest(checked)
    if key and (earlier := _earlier(actor, key)):
        return _same_call(earlier, tool, digest), False
    if session is not None:
        _session_check(session, actor)
    policy = policy_of(tool.definition, tool.overrides)
    runner, program = runner_of(tool.definition)
    found = places_lately()
    place = place_choose(policy, runner, found, node=node, session=session)
    run = ToolRun(
        uid=run_uid_make(),
        tool=tool,
        tool_name=tool.name,
        tool_digest=tool.digest,
        runner=runner,
        program=program,
        session=session,
        replay_of=replay_of,
        user=actor.user,
        user_label=actor.label,
        via=via[:16],
        address=actor.address,
        node=place.node,
        node_name=place.node.name,
        arguments=mask(checked),
        arguments_digest=digest,
        sealed_arguments=seal(json.dumps(checked), SEAL_PURPOSE),
        idempotency_key=key,
        detached=detached,
        policy=_policy_json(policy.__dict__),
        created_at=timezone.now(),
    )
    try:
        with transaction.atomic():
            _begin(run, tool, found, checked)
    except IntegrityError:
        if key and (earlier := _earlier(actor, key)):  # the same key at the same moment
            return _same_call(earlier, tool, digest), False
        if not Node.objects.filter(pk=place.node.pk).exists():  # since it was looked at, a second ago at most
            raise ToolUnavailable(f"{place.node.name} was removed; try again.", "no_node") from None
        raise
    return run, True


def _begin(run: ToolRun, tool: Tool, found: list[Place], arguments: dict[str, Any]) -> None:
    """Store the run in the state that it begins in, write the audit entry, have the node told on commit."""
    queue_lock()
    if run.session is not None:
        _session_use(run.session, run.created_at)
    others: list[str] = []
    if tool.approval:
        run.state = RunState.APPROVAL
    else:
        others = _let_in(run, tool, found)
    run.save(force_insert=True)
    for uid in others:
        run_let_in(uid)
    if run.state == RunState.REQUESTED:  # pages hear of it when it runs, milliseconds later
        transaction.on_commit(lambda: run_send(run, arguments))
    else:
        run_publish(run)
    audit_append(
        AuditKind.STARTED,
        run_uid=run.uid,
        tool_name=run.tool_name,
        user_label=run.user_label,
        body=_started_body(run),
    )


def _let_in(run: ToolRun, tool: Tool, found: list[Place]) -> list[str]:
    """Decide whether a new run begins at once or waits; return which others may begin as well."""
    now = timezone.now()
    waiting, running = calls_now(now)
    memory = int(run.policy.get("memory_bytes") or 0)
    mine = Call(
        run.uid, run.user_id, run.tool_name, tool.parallel_limit, run.session_id, run.node_name, memory
    )
    limits = limits_of(found)
    chosen = next_runs([*waiting, mine], running, limits)
    if run.uid in chosen:
        run.state, run.sent_at = RunState.REQUESTED, now
    else:
        _may_wait(mine, waiting, running, limits.free_bytes.get(run.node_name))
        run.state = RunState.QUEUED
    return [uid for uid in chosen if uid != run.uid]


def _may_wait(mine: Call, waiting: list[Call], running: list[Call], free_bytes: int | None) -> None:
    """Raise where waiting would not help, or too many wait already."""
    if not any(call.node == mine.node for call in running) and (
        free_bytes is not None and mine.memory_bytes > free_bytes
    ):
        needed, free = mine.memory_bytes / 2**20, max(0, free_bytes) / 2**20
        raise ToolRefused(
            f"{mine.tool} may take {needed:.0f} MiB; {mine.node} has {free:.0f} MiB to spare. "
            "Stop a model there, or lower the tool's memory.",
            "memory_short",
            {"needed_bytes": mine.memory_bytes, "free_bytes": free_bytes},
        )
    if sum(call.user == mine.user for call in waiting) >= settings.SANDBOX_QUEUE_RUNS:
        raise ToolBusy(f"{settings.SANDBOX_QUEUE_RUNS} of your runs wait already.", "queue_full")


def _tool_check(tool: Tool, actor: Actor) -> None:
    if not actor.may(tool.role):
        raise ToolForbidden(f"{tool.name} needs the role {tool.role}.", "permission_denied")
    if tool.missing:
        raise ToolRefused(f"The folder of {tool.name} is gone.", "tool_missing")
    if tool.problem:
        raise ToolRefused(f"{tool.name} was refused when it was loaded: {tool.problem}", "tool_broken")
    if not tool.enabled:
        raise ToolRefused(f"{tool.name} is switched off.", "tool_disabled")


def _session_check(session: ToolSession, actor: Actor) -> None:
    if actor.user is None or session.owner_id != actor.user.pk:
        raise ToolUnknown("There is no such session.", "session_unknown")
    if session.state != SessionState.LIVE or session.expires_at <= timezone.now():
        raise ToolRefused("This session has ended; begin another one.", "session_ended")


def _session_use(session: ToolSession, now: datetime) -> None:
    """Note that a session is used, so that it does not idle. Raises ToolRefused if it ended just now."""
    live = ToolSession.objects.filter(pk=session.pk, state=SessionState.LIVE)
    if not live.update(used_at=now):
        raise ToolRefused("This session has ended; begin another one.", "session_ended")


def _earlier(actor: Actor, key: str) -> ToolRun | None:
    return ToolRun.objects.filter(user=actor.user, idempotency_key=key).first()


def _same_call(earlier: ToolRun, tool: Tool, digest: str) -> ToolRun:
    if (earlier.tool_name, earlier.arguments_digest) != (tool.name, digest):
        raise ToolRefused("This idempotency key was used for another call.", "key_reused")
    return earlier


def _policy_json(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "egress": list(fields["egress"])}


def _started_body(run: ToolRun) -> dict[str, Any]:
    return {
        "tool_digest": run.tool_digest,
        "arguments": run.arguments,
        "arguments_sha256": run.arguments_digest,
        "via": run.via,
        "address": run.address,
        "node": run.node_name,
        "session": run.session.uid if run.session else None,
        "replay_of": run.replay_of.uid if run.replay_of else None,
        "policy": run.policy,
        "state": run.state,
    }


def _refusal_note(tool: Tool, arguments: Any, actor: Actor, via: str, refused: Refused) -> None:
    """Record what was not run, and why.

    The record is never deleted by hand, so nobody may fill it: of more than a minute's share of one
    caller only the log tells, and arguments that are long are not kept.
    """
    since = timezone.now() - timedelta(minutes=1)
    told = AuditRecord.objects.filter(at__gte=since, kind=AuditKind.REFUSED, user_label=actor.label)
    if told[: REFUSALS_A_MINUTE + 1].count() >= REFUSALS_A_MINUTE:
        log.warning(
            "refused, and not recorded: too many", tool=tool.name, user=actor.label, code=refused.code
        )
        return
    masked: dict[str, Any] = mask(arguments)
    if len(json.dumps(masked)) > REFUSED_ARGUMENTS_MOST:
        masked = {"left out": f"arguments of more than {REFUSED_ARGUMENTS_MOST} characters"}
    body = {
        "code": refused.code,
        "reason": refused.message[:2000],
        "tool_digest": tool.digest,
        "arguments": masked,
        "via": via,
        "address": actor.address,
    }
    with transaction.atomic():
        audit_append(AuditKind.REFUSED, tool_name=tool.name, user_label=actor.label, body=body)


# Later: approval, cancellation, replay ------------------------------------------------


def tool_run_cancel(*, run: ToolRun, actor: Actor, reason: str = "") -> ToolRun:
    """Ask for a run to end: at once where no node has it, else its node is told. An ended one stays as it is.

    Raises ToolForbidden for somebody else's run, unless an admin asks.
    """
    if not (actor.may(Role.ADMIN) or (actor.user is not None and run.user_id == actor.user.pk)):
        raise ToolForbidden("Only who asked for it, or an admin, may cancel a run.", "permission_denied")
    said = reason[:200] or f"cancelled by {actor.label}"
    with transaction.atomic():
        queue_lock()
        row = ToolRun.objects.select_for_update().get(pk=run.pk)
        if not row.live or row.desired == RunDesired.CANCELLED:
            return row
        audit(actor, "tool_run_cancel", f"{row.tool_name} {row.uid}", reason=said)
        if row.state in (RunState.APPROVAL, RunState.QUEUED):
            run_end(row, Outcome.CANCELLED, said, desired=RunDesired.CANCELLED)
            return row
        row.desired = RunDesired.CANCELLED
        row.save(update_fields=["desired"])
        transaction.on_commit(lambda: run_cancel_send(row, said))
        run_publish(row)
    return row


def tool_run_approve(*, run: ToolRun, actor: Actor) -> ToolRun:
    """Let a run begin that waits for somebody's yes. Raises ToolForbidden, and ToolRefused (not_waiting)."""
    with transaction.atomic():
        row = _waits_for_approval(run, actor)
        row.state, row.approved_by, row.queued_at = RunState.QUEUED, actor.user, timezone.now()
        row.save(update_fields=["state", "approved_by", "queued_at"])
        audit(actor, "tool_run_approve", f"{row.tool_name} {row.uid}")
        waiting, running = calls_now(timezone.now())
        for uid in next_runs(waiting, running, limits_of(places())):
            run_let_in(uid)
        run_publish(row)
    row.refresh_from_db()
    return row


def tool_run_deny(*, run: ToolRun, actor: Actor, reason: str = "") -> ToolRun:
    """End a run that waits for somebody's yes. Raises as tool_run_approve."""
    with transaction.atomic():
        row = _waits_for_approval(run, actor)
        audit(actor, "tool_run_deny", f"{row.tool_name} {row.uid}", reason=reason[:200])
        words = f": {reason[:200]}" if reason else ""
        run_end(row, Outcome.DENIED, f"denied by {actor.label}{words}")
    return row


def _waits_for_approval(run: ToolRun, actor: Actor) -> ToolRun:
    if not actor.may(Role.OPERATOR):
        raise ToolForbidden("Approving and denying need the role operator.", "permission_denied")
    queue_lock()
    row = ToolRun.objects.select_for_update().get(pk=run.pk)
    if row.state != RunState.APPROVAL:
        raise ToolRefused("This run does not wait for approval (any more).", "not_waiting")
    return row


def tool_run_replay(*, run: ToolRun, actor: Actor, via: str) -> ToolRun:
    """Run a recorded call again, with the tool as it is now, in no session. Raises as tool_run_create.

    Its arguments are given unmasked, and a tool may print them: only who asked for it, and admins, may.
    """
    if not (actor.may(Role.ADMIN) or (actor.user is not None and run.user_id == actor.user.pk)):
        raise ToolForbidden("Only who asked for it, or an admin, may run it again.", "permission_denied")
    if run.tool is None:
        raise ToolRefused(f"The tool {run.tool_name} is gone.", "tool_missing")
    try:
        arguments = arguments_of(run)
    except SealBroken:
        raise ToolRefused(
            "Its arguments cannot be read any more: the installation's key is another one.", "arguments_lost"
        ) from None
    return tool_run_create(
        tool=run.tool, arguments=arguments, actor=actor, via=via, detached=True, replay_of=run
    )[0]
