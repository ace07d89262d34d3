"""What nodes say about containers: facts, applied once, and the newest observation of each member."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from models_app.attempts import attempt_again, members_stop
from models_app.engine_live import engines_publish
from models_app.exceptions import LaunchRefused
from models_app.members import member_label
from models_app.models import Desired, Launch, LaunchAttempt, LaunchMember, LaunchState, Outcome
from models_app.planning import restarts_by_itself
from models_app.transitions import attempt_close, event_add, launch_move

BACKOFF_FIRST_SECONDS = 10
BACKOFF_LONGEST_SECONDS = 300
PARK_AFTER_FAILURES = 3
PARK_WITHIN_SECONDS = 600
MEMORY_GUARDIAN = "memory_guardian"


@dataclass
class NodeView:
    """The newest `launches` section of one node, by member, and whether its Docker answered then."""

    docker_ok: bool
    members: dict[str, dict[str, Any]]


@dataclass
class Observations:
    """What control holds in memory between reports and reconcile; any thread may use it."""

    nodes: dict[str, NodeView] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    changed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, node_name: str, entries: list[dict[str, Any]], docker_ok: bool) -> None:
        """Take over a node's newest section; wake reconcile when it tells something new."""
        members = {entry["member"]: entry for entry in entries if isinstance(entry.get("member"), str)}
        for uid, entry in members.items():
            memory = (entry.get("memory_bytes") or 0) + (entry.get("gpu_memory_bytes") or 0)
            self.peaks[uid] = max(memory, self.peaks.get(uid, 0))
        with self._lock:
            before = self.nodes.get(node_name)
            self.nodes[node_name] = NodeView(docker_ok, members)
        if before is None or _outline(before.members) != _outline(members):
            self.changed.set()

    def told(self, node_name: str, entry: dict[str, Any]) -> None:
        """Take over one member's entry between two reports, and wake reconcile."""
        with self._lock:
            if view := self.nodes.get(node_name):
                view.members[str(entry["member"])] = entry
        self.changed.set()

    def docker_lost(self, node_name: str, entries: list[dict[str, Any]] | None) -> None:
        """Docker does not answer: containers stay as they were seen last; scripts are no containers."""
        seen = self.nodes[node_name].members.values()
        if entries is None:
            self.nodes[node_name].docker_ok = False
        else:
            kept = [entry for entry in seen if entry.get("kind") != "script"]
            scripts = [entry for entry in entries if entry.get("kind") == "script"]
            self.report(node_name, [*kept, *scripts], False)

    def docker_ok(self, node_name: str) -> bool:
        """Whether the node's Docker answers; False too while control has not heard from the node."""
        view = self.nodes.get(node_name)
        return bool(view and view.docker_ok)

    def member(self, node_name: str, uid: str) -> dict[str, Any] | None:
        view = self.nodes.get(node_name)
        return view.members.get(uid) if view else None


def _outline(members: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        uid: (
            entry.get("phase"),
            (entry.get("probe") or {}).get("ready"),
            (entry.get("probe") or {}).get("failures", 0) >= 3,
            bool(entry.get("hang")),
        )
        for uid, entry in members.items()
    }


OBSERVED = Observations()


def launches_reported(node_name: str, entries: Any, report: dict[str, Any]) -> None:
    """Report handler of the section `launches`."""
    agent = report.get("agent") or {}
    docker_ok = (agent.get("docker") or {}).get("status") == "ok" and isinstance(entries, list)
    members = [entry for entry in entries or [] if isinstance(entry, dict)]
    engines_publish(node_name, members)
    if docker_ok or node_name not in OBSERVED.nodes:
        OBSERVED.report(node_name, members, docker_ok)
    else:
        OBSERVED.docker_lost(node_name, members if isinstance(entries, list) else None)


# Facts: each is applied once, inside the intake's transaction -------------------


def _member(node_name: str, data: dict[str, Any]) -> LaunchMember | None:
    """Return the member that a fact is about, if it belongs to the node that says so."""
    return (
        LaunchMember.objects.select_related("attempt__launch__definition")
        .filter(uid=str(data.get("member", ""))[:16], node__name=node_name)
        .first()
    )


def container_created(node_name: str, data: dict[str, Any]) -> None:
    if member := _member(node_name, data):
        member.container_id = str(data.get("container_id") or "")[:64]
        member.image_digest = str(data.get("image_digest") or "")[:120]
        member.save(update_fields=["container_id", "image_digest"])
        if member.attempt.launch.adopted_foreign:
            sentence = _adopted(member, data.get("probe"))
        elif member.container_id:
            word = "Found again" if data.get("adopted") else "Created"
            sentence = f"{word} container {member.container_id[:12]}"
        else:
            sentence = "serve.sh was found again" if data.get("adopted") else "serve.sh was started"
        event_add(member.attempt.launch, "container", sentence)


def _adopted(member: LaunchMember, probe: Any) -> str:
    """Take over how the node asks an adopted container; say so."""
    told = probe if isinstance(probe, dict) else {}
    port, model = told.get("port"), str(told.get("model") or "")[:300].replace("\0", "")
    if isinstance(port, int) and 0 < port < 65536 and _port_is_free(member, port):
        member.port = port
        member.spec = {**member.spec, "probe": {**member.spec["probe"], "port": port, "model": model}}
        member.save(update_fields=["port", "spec"])
    return f"Adopted container {member.container_id[:12]} on port {member.port}; nothing was changed on it"


def _port_is_free(member: LaunchMember, port: int) -> bool:
    others = LaunchMember.objects.filter(node=member.node, port=port, live=True)
    return not others.exclude(pk=member.pk).exists()


def start_refused(node_name: str, data: dict[str, Any]) -> None:
    if member := _member(node_name, data):
        member_ended(
            member,
            str(data.get("code") or "start_refused")[:40],
            str(data.get("reason") or "The start failed")[:2000],
        )


def container_ready(node_name: str, data: dict[str, Any]) -> None:
    """An engine answers: what the next report says, up to a second earlier."""
    member = _member(node_name, data)
    if member and member.live and data.get("generation") == member.attempt.launch.generation:
        transaction.on_commit(lambda: OBSERVED.told(node_name, data))


def container_exited(node_name: str, data: dict[str, Any]) -> None:
    member = _member(node_name, data)
    if member is None:
        return
    member.exit_code = data.get("exit_code")
    member.oom_killed = data.get("oom_killed")
    member.last_log = str(data.get("log_tail") or "").replace("\0", "\N{REPLACEMENT CHARACTER}")[-65536:]
    member.started_at, member.finished_at = _at(data.get("started_at")), _at(data.get("finished_at"))
    member.save(update_fields=["exit_code", "oom_killed", "last_log", "started_at", "finished_at"])
    code = "out_of_memory" if member.oom_killed else "exited"
    member_ended(member, code, str(data.get("reason") or f"exited with code {member.exit_code}")[:2000])


def container_gone(node_name: str, data: dict[str, Any]) -> None:
    if member := _member(node_name, data):
        member_ended(
            member,
            "container_gone",
            str(data.get("reason") or "The container was removed by someone else")[:2000],
        )


def container_removed(node_name: str, data: dict[str, Any]) -> None:
    member = _member(node_name, data)
    if member and member.live and member.attempt.launch.state == LaunchState.STOPPING:
        member_ended(member, "", "")


def member_ended(member: LaunchMember, code: str, reason: str) -> None:
    """Draw the conclusion from a container's end: stopped, next attempt, parked or failed.

    Of several members the first that dies takes the others down with it; the
    conclusion is drawn when the last has ended.
    """
    member.phase = "ended"
    member.peak_memory_bytes = OBSERVED.peaks.pop(member.uid, 0) or member.peak_memory_bytes
    was_live, member.live = member.live, False
    member.save(update_fields=["phase", "peak_memory_bytes", "live"])
    launch = member.attempt.launch
    if not was_live or not launch.live:
        return
    others = list(LaunchMember.objects.filter(attempt=member.attempt, live=True))
    if others:
        group_fail(launch, others, code, f"{member_label(member).capitalize()}: {reason}")
    else:
        launch_concluded(launch, code, reason)


def group_fail(launch: Launch, others: list[LaunchMember], code: str, reason: str) -> None:
    """Take down what is left of a launch, unless it is being ended already; what then becomes of it
    is decided when the last has ended, by this code and reason.
    """
    alone = others[0].attempt.members.count() == 1
    takes = "Taking it down" if alone else f"Taking down {', '.join(map(member_label, others))}"
    message = f"{reason}. {takes}"
    if launch_move(launch, LaunchState.STOPPING, message=message, failure_code=code, failure_reason=reason):
        members_stop(launch, others)


def launch_concluded(launch: Launch, code: str, reason: str) -> None:
    """Nothing of a launch runs any more: that was wanted, or it starts again, or it has failed."""
    if launch.restart_wanted:
        attempt_close(launch, Outcome.STOPPED)
        _again(launch)
    elif launch.desired == Desired.STOPPED:
        launch_move(launch, LaunchState.STOPPED, message="Stopped")
    elif launch.state == LaunchState.STOPPING:  # given up, or one of several died first: that says why
        launch_died(launch, launch.failure_code or code, launch.failure_reason or reason)
    else:
        launch_died(launch, code, reason)


def _again(launch: Launch) -> None:
    """Begin the next attempt, or fail with the reason why there can be none: the fact itself is applied."""
    try:
        attempt_again(launch, "Starting again")
    except LaunchRefused as refused:
        launch.refresh_from_db()
        launch_move(
            launch,
            LaunchState.FAILED,
            message=refused.message,
            failure_code=refused.code,
            failure_reason=refused.message,
        )


def launch_died(launch: Launch, code: str, reason: str) -> None:
    """A launch that should run does not: try again with backoff if it had been ready, else fail.

    Three failures within ten minutes park it.
    """
    attempt_close(launch, Outcome.FAILED, reason)
    since = timezone.now() - timedelta(seconds=PARK_WITHIN_SECONDS)
    failures = LaunchAttempt.objects.filter(
        launch=launch, outcome=Outcome.FAILED, ended_at__gte=since
    ).count()
    again = (
        code != MEMORY_GUARDIAN  # it would take the memory again that was just won back
        and launch.ready_at is not None
        and launch.definition is not None
        and not launch.adopted_foreign
        and restarts_by_itself(launch.definition)
    )
    if not again:
        launch_move(launch, LaunchState.FAILED, message=reason, failure_code=code, failure_reason=reason)
    elif failures >= PARK_AFTER_FAILURES:
        sentence = f"Parked after {failures} failures in ten minutes. The last: {reason}"
        launch_move(launch, LaunchState.PARKED, message=sentence, failure_code=code, failure_reason=sentence)
    else:
        wait = min(BACKOFF_FIRST_SECONDS * 2 ** (failures - 1), BACKOFF_LONGEST_SECONDS)
        launch.retry_at = timezone.now() + timedelta(seconds=wait)
        Launch.objects.filter(pk=launch.pk, generation=launch.generation).update(retry_at=launch.retry_at)
        message = f"{reason}. Starts again in {wait} s"
        if not launch_move(
            launch, LaunchState.REQUESTED, message=message, failure_code=code, failure_reason=reason
        ):
            event_add(launch, "retry", message)


def _at(value: Any) -> datetime | None:
    """A node's wall clock as a time; None for what cannot be one."""
    try:
        return datetime.fromtimestamp(float(value), tz=UTC) if value else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


FACTS = {
    "container_created": container_created,
    "container_ready": container_ready,
    "start_refused": start_refused,
    "container_exited": container_exited,
    "container_gone": container_gone,
    "container_removed": container_removed,
}
