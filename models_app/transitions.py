"""The one place that changes a launch's state.

    requested ─► pulling ─► starting ─► loading ─► ready ⇄ degraded
        ▲            any of these ─► stopping ─► stopped
        │            any of these ─► failed, lost; lost ─► any of these
        └──────────  a new attempt, after backoff; three failures ─► parked

Within one attempt a launch only moves forward; a new attempt (a higher
generation) takes it back to requested. An ended launch is never revived:
a later start is a new launch.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from models_app import launch_alerts, webhooks
from models_app.models import (
    ENDED_STATES,
    Launch,
    LaunchAttempt,
    LaunchEvent,
    LaunchMember,
    LaunchState,
    Outcome,
)
from sparkweb import live

S = LaunchState
FORWARD = (S.REQUESTED, S.PULLING, S.STARTING, S.LOADING, S.READY)
ALWAYS = {S.STOPPING, S.STOPPED, S.FAILED, S.PARKED, S.LOST, S.REQUESTED}


def step_is_possible(source: str, target: str) -> bool:
    """Say whether a launch may go from `source` to `target`."""
    if source == target or source in ENDED_STATES:
        return False
    if source == S.STOPPING:
        return target in {S.STOPPED, S.FAILED, S.REQUESTED, S.PARKED}
    if source == S.LOST or target in ALWAYS:
        return True
    if S.DEGRADED in (source, target):
        return {source, target} <= {S.READY, S.DEGRADED}
    return FORWARD.index(S(source)) < FORWARD.index(S(target))


@transaction.atomic
def launch_move(
    launch: Launch,
    target: str,
    *,
    message: str = "",
    actor_label: str = "",
    failure_code: str = "",
    failure_reason: str = "",
    data: dict[str, object] | None = None,
) -> bool:
    """Move a launch to `target`; return False when the step is impossible or stale.

    Stale means that another generation or another state is stored by now than
    `launch` was loaded with. Ending closes the attempt and its members too.
    """
    source = launch.state
    if not step_is_possible(source, target):
        return False
    now = timezone.now()
    changes: dict[str, object] = {"state": target, "state_changed_at": now}
    if target == S.READY and launch.ready_at is None:
        changes["ready_at"] = now
    if target in ENDED_STATES:
        changes |= {"live": False, "ended_at": now, "retry_at": None, "restart_wanted": False}
    if failure_reason or failure_code:
        changes |= {"failure_code": failure_code, "failure_reason": failure_reason}
    fresh = Launch.objects.filter(pk=launch.pk, state=source, generation=launch.generation)
    if not fresh.update(**changes):
        return False
    for name, value in changes.items():
        setattr(launch, name, value)
    if target == S.READY:
        LaunchAttempt.objects.filter(launch=launch, generation=launch.generation, ready_at=None).update(
            ready_at=now
        )
    if target in ENDED_STATES:
        attempt_close(launch, Outcome.STOPPED if target == S.STOPPED else Outcome.FAILED, failure_reason)
    event_add(launch, "state", message, source, target, actor_label, data)
    return True


def attempt_close(launch: Launch, outcome: str, reason: str = "") -> None:
    """End the open attempts of a launch and set their members free."""
    LaunchMember.objects.filter(attempt__launch=launch, live=True).update(live=False)
    LaunchAttempt.objects.filter(launch=launch, outcome=Outcome.OPEN).update(
        outcome=outcome, ended_at=timezone.now(), failure_reason=reason
    )


def event_add(
    launch: Launch,
    kind: str,
    message: str,
    source: str = "",
    target: str = "",
    actor_label: str = "",
    data: dict[str, object] | None = None,
) -> None:
    """Append to a launch's timeline; tell browsers, and webhooks of a new state, once it is committed."""
    event = LaunchEvent.objects.create(
        launch=launch,
        kind=kind,
        from_state=source,
        to_state=target,
        message=message,
        actor_label=actor_label,
        data=data or {},
    )
    if target:
        webhooks.launch_changed(launch, event)
        launch_alerts.launch_changed(launch, target, message)
    transaction.on_commit(lambda: launch_publish(launch))


def launch_publish(launch: Launch, progress: dict[str, object] | None = None) -> None:
    """Tell browsers that a launch changed; with `progress` alone nothing but its bar moved."""
    live.publish(
        f"launch:{launch.uid}",
        {
            "type": "launch",
            "launch": launch.uid,
            "definition": launch.definition_slug,
            # A launch on several nodes concerns the pages of all of them.
            "node": None if launch.definition and launch.definition.node_count > 1 else launch.node_name,
            "state": launch.state,
            "progress": progress,
            "html_stale": progress is None,
        },
    )
