"""Where models_app joins the intake: the facts and the report section that it answers for."""

from __future__ import annotations

from models_app import observing
from sparkweb.node_link import registry


def register() -> None:
    for verb, handler in observing.FACTS.items():
        registry.fact_handler(verb)(handler)
    registry.report_handler("launches")(observing.launches_reported)
