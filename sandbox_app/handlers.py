"""Where sandbox_app joins others: facts and report sections at the intake."""

from __future__ import annotations

from metrics_app import services as nodes
from metrics_app.alerts import events
from sandbox_app import audit_heads, session_observing
from sandbox_app.sessions import sessions_of_node
from sparkweb.node_link import registry


def register() -> None:
    """Called once, when Django is ready."""
    registry.report_handler("audit_head")(audit_heads.head_reported)
    events.EVENTS.update(audit_heads.EVENTS)
    for verb, handler in session_observing.FACTS.items():
        registry.fact_handler(verb)(handler)
    nodes.USES.append(sessions_of_node)
