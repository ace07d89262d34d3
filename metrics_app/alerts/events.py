"""Events that rules may be about. Apps add theirs in `ready()`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """`lasts`: it goes on until somebody clears it; else it is over when someone has acknowledged it."""

    label: str
    lasts: bool = True


EVENTS: dict[str, Event] = {"node_offline": Event("A node is offline")}
