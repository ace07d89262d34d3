"""What memory guardians did, for pages of launches and nodes."""

from __future__ import annotations

from typing import Any

from django import template

from metrics_app.models import Node
from models_app.guardian_chart import act_chart
from models_app.models import GuardianAct, Launch

register = template.Library()


@register.inclusion_tag("models_app/_guardian_evidence.html")
def guardian_evidence(launch: Launch) -> dict[str, Any]:
    """Show the figures by which the guardian ended a launch; nothing for any other launch."""
    act = GuardianAct.objects.filter(launch=launch, action="kill").first()
    chart = act_chart(act.readings, act.floor_bytes, act.lower_floor_bytes) if act else None
    return {"act": act, "chart": chart}


@register.inclusion_tag("models_app/_guardian_acts.html")
def guardian_acts(node: Node, count: int = 6) -> dict[str, Any]:
    """Show the newest acts of a node's guardian."""
    return {"acts": GuardianAct.objects.filter(node=node).select_related("launch")[:count], "node": node}
