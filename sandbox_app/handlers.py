"""Where sandbox_app joins others: facts and report sections at the intake, and what keeps a node."""

from __future__ import annotations

from metrics_app import services as nodes
from sandbox_app import observing
from sandbox_app.selectors import runs_on_node
from sparkweb.node_link import registry


def register() -> None:
    """Called once, when Django is ready."""
    for verb, handler in observing.FACTS.items():
        registry.fact_handler(verb)(handler)
    registry.report_handler("sandbox")(observing.sandbox_reported)
    nodes.USES.append(runs_on_node)
