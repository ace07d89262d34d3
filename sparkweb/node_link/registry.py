"""Who answers for what nodes send. Apps register in `ready()`; the intake calls.

    registry.fact_handler("container_exited")(container_exited)      # (node_name, data)
    registry.report_handler("launches")(launches_reported)           # (node_name, section, report)
    registry.report_listener(report_received)                        # (node_name, report, meta)
    registry.status_listener(status_changed)                         # (node_name, status)

Facts: the verbs registered here are the whole list; any other is refused. A fact handler
runs in the transaction that moves the cursor, so it must only write to the database (publish
in `transaction.on_commit`), and is called exactly once for each committed fact.

Reports: called for each accepted report, outside a transaction; an error is logged and the
next report comes a second later. `meta` is `{"boot": id, "seq": int, "received_at": seconds}`
by control's wall clock.

Status: "online", "stale" (6 s without an accepted report), "offline" (10 s, or revoked);
called on change, and again each second while it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

FactHandler = Callable[[str, dict[str, Any]], None]
ReportHandler = Callable[[str, Any, dict[str, Any]], None]
ReportListener = Callable[[str, dict[str, Any], dict[str, Any]], None]
StatusListener = Callable[[str, str], None]
H = TypeVar("H", bound=Callable[..., None])

fact_handlers: dict[str, FactHandler] = {}
report_handlers: dict[str, ReportHandler] = {}
report_listeners: list[ReportListener] = []
status_listeners: list[StatusListener] = []


def fact_handler(verb: str) -> Callable[[FactHandler], FactHandler]:
    """Register the handler of one verb. Raises ValueError for a second one."""
    return _named(fact_handlers, "verb", verb)


def report_handler(section: str) -> Callable[[ReportHandler], ReportHandler]:
    """Register the handler of one section of reports. Raises ValueError for a second one."""
    return _named(report_handlers, "section", section)


def report_listener(function: ReportListener) -> ReportListener:
    """Register a function for every accepted report as a whole; listeners come before handlers."""
    return _listed(report_listeners, function)


def status_listener(function: StatusListener) -> StatusListener:
    """Register a function for every change of a node's status."""
    return _listed(status_listeners, function)


def _named(handlers: dict[str, H], kind: str, name: str) -> Callable[[H], H]:
    def register(function: H) -> H:
        if handlers.setdefault(name, function) is not function:
            raise ValueError(f"{kind} {name!r} has a handler already: {handlers[name].__qualname__}")
        return function

    return register


def _listed(listeners: list[H], function: H) -> H:
    if function not in listeners:
        listeners.append(function)
    return function
