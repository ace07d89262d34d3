"""Events that rules may be about. Apps add theirs in `ready()`."""

from __future__ import annotations

from dataclasses import dataclass

from metrics_app.verdicts.kinds import EVENT_PREFIX, KINDS


@dataclass(frozen=True)
class Event:
    """`lasts`: it goes on until somebody clears it; else it is over when someone has acknowledged it."""

    label: str
    lasts: bool = True


EVENTS: dict[str, Event] = {
    "node_offline": Event("A node is offline"),
    "fabric_bad": Event("A link between nodes is sick"),
    "node_reset": Event("A node went down without warning", lasts=False),
    "gpu_xid": Event("A GPU reported an Xid error", lasts=False),
    "gpu_no_memory": Event("The GPU driver had no memory", lasts=False),
    "oom_kill": Event("The kernel killed a process for memory", lasts=False),
    **{f"{EVENT_PREFIX}{name}": Event(f"Verdict: {kind.label}") for name, kind in KINDS.items()},
}
"""By name; forms show the labels."""
