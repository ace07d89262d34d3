"""Where sandbox_app joins others: facts and report sections at the intake, and what keeps a node."""

from __future__ import annotations

from metrics_app import prometheus
from metrics_app import services as nodes
from metrics_app.alerts import events
from sandbox_app import audit_heads, image_builds, managed, observing, session_observing
from sandbox_app.prometheus import tool_families
from sandbox_app.selectors import runs_on_node
from sandbox_app.sessions import sessions_of_node
from sparkweb.node_link import registry


def register() -> None:
    """Called once, when Django is ready."""
    for verb, handler in (observing.FACTS | session_observing.FACTS).items():
        registry.fact_handler(verb)(handler)
    registry.fact_handler("sandbox_image_built")(image_builds.image_built)
    registry.report_handler("sandbox")(observing.sandbox_reported)
    registry.report_handler("services")(managed.services_reported)
    registry.report_handler("audit_head")(audit_heads.head_reported)
    events.EVENTS.update(audit_heads.EVENTS)
    prometheus.SOURCES.append(tool_families)
    nodes.USES.extend([runs_on_node, sessions_of_node])
