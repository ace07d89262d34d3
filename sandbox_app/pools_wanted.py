"""Which tools keep containers waiting on every node: what was used of late, and code."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Count
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app.models import Tool, ToolRun
from sandbox_app.observing import SEEN, RunsSeen
from sandbox_app.toolfile import policy_of, runner_of
from sparkweb.node_link import commands

ALWAYS = "code_execution"
TOOLS_MOST = 3
USED_WITHIN = timedelta(days=7)
LOOK_EVERY_SECONDS = 10.0


def pools_wanted() -> list[dict[str, Any]]:
    """The tools, each as the nudge `sandbox.pools` has it."""
    since = timezone.now() - USED_WITHIN
    used = ToolRun.objects.filter(created_at__gte=since, session=None).values("tool_name")
    often = list(used.annotate(n=Count("pk")).order_by("-n").values_list("tool_name", flat=True)[:20])
    tools = {tool.name: tool for tool in Tool.objects.filter(enabled=True, missing=False, problem="")}
    named = [name for name in dict.fromkeys([*often, ALWAYS]) if name in tools]
    kept = [name for name in named if runner_of(tools[name].definition)[0] == "container"]
    chosen = kept[:TOOLS_MOST] if ALWAYS not in kept[TOOLS_MOST:] else [*kept[: TOOLS_MOST - 1], ALWAYS]
    return [_pool(tools[name]) for name in chosen]


def _pool(tool: Tool) -> dict[str, Any]:
    policy = policy_of(tool.definition, tool.overrides)
    fields = {**vars(policy), "egress": list(policy.egress)}
    return {"tool": tool.name, "tool_digest": tool.digest, "policy": fields, "key": policy.key()}


@dataclass
class PoolKeeper:
    """Tells nodes which pools to keep, as long as they do not report them."""

    seen: RunsSeen
    clock: Callable[[], float] = time.monotonic
    looked_at: float = field(default=-LOOK_EVERY_SECONDS)

    def pools_keep(self) -> int:
        """Look each 10 s; how many nodes were told."""
        now = self.clock()
        if now - self.looked_at < LOOK_EVERY_SECONDS:
            return 0
        self.looked_at = now
        wanted = pools_wanted()
        keys = {(one["tool"], one["key"]) for one in wanted}
        sent = [{name: value for name, value in one.items() if name != "key"} for one in wanted]
        told = 0
        for name in Node.objects.filter(status=NodeStatus.ONLINE).values_list("name", flat=True):
            known = self.seen.pools.get(name)
            if known is not None and not keys <= known:
                told += commands.send(name, "sandbox.pools", wanted=sent)
        return told


POOL_KEEPER = PoolKeeper(SEEN)
