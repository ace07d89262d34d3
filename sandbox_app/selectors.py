"""What pages and the API read about runs, and who may see which."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from metrics_app.models import Node
from sandbox_app.models import RunState, ToolRun
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import Role


def runs_visible(actor: Actor) -> QuerySet[ToolRun]:
    """Admins see all runs, others their own, and operators what waits for approval."""
    runs = ToolRun.objects.select_related("tool", "session", "node", "replay_of", "user", "approved_by")
    if actor.may(Role.ADMIN):
        return runs
    mine = Q(user=actor.user) if actor.user is not None else Q(pk=None)
    if actor.may(Role.OPERATOR):
        return runs.filter(mine | Q(state=RunState.APPROVAL))
    return runs.filter(mine)


def runs_on_node(node: Node) -> list[str]:
    """Return what runs on a node now, for whoever wants to delete it."""
    live = ToolRun.objects.filter(node=node, live=True).order_by("pk")
    return [str(run) for run in live.only("tool_name", "uid")[:10]]
