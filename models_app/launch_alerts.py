"""Launches as events of alert rules: failed and parked, until the model is ready again or someone knows."""

from __future__ import annotations

from metrics_app.alerts.events import Event
from metrics_app.alerts.services import event_clear, event_raise
from models_app.models import Launch, LaunchState

EVENTS = {
    "launch_failed": Event("A model failed to start or died", lasts=False),
    "launch_parked": Event("A model was parked after three failures", lasts=False),
    "launch_degraded": Event("A model does not answer"),
}
RAISED = {
    LaunchState.FAILED: "launch_failed",
    LaunchState.PARKED: "launch_parked",
    LaunchState.DEGRADED: "launch_degraded",
}
CLEARED = {
    LaunchState.READY: tuple(EVENTS),
    LaunchState.STOPPED: ("launch_degraded",),
    LaunchState.FAILED: ("launch_degraded",),
    LaunchState.PARKED: ("launch_degraded",),
}


def launch_changed(launch: Launch, state: str, message: str) -> None:
    """Raise or end what a change of state means, in the caller's transaction."""
    where = {"node_name": launch.node_name, "subject": launch.definition_slug}
    for event in CLEARED.get(LaunchState(state), ()):
        event_clear(event=event, message=f"{launch.definition_slug} is {state}", **where)
    raised = RAISED.get(LaunchState(state))
    if raised is not None:
        sentence = f"{launch.definition_slug}: {message or launch.failure_reason or state}"
        event_raise(event=raised, message=sentence, url=launch.get_absolute_url(), **where)
