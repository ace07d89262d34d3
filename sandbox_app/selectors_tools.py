"""What pages, API and MCP read of tools."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from sandbox_app.models import Outcome, Tool, ToolRun
from sandbox_app.selectors import runs_visible
from sandbox_app.tool_limits import size_words
from sandbox_app.toolfile import policy_of, runner_of
from sparkweb.accounts.actor import Actor

DAYS_COUNTED = 7
RUNS_SHOWN = 8


@dataclass(frozen=True)
class ToolCard:
    """A tool as the list shows it: its newest run, and runs of the last seven days."""

    tool: Tool
    newest: ToolRun | None
    runs: int
    failed: int

    @property
    def state(self) -> tuple[str, str]:
        """Tone and word of its badge."""
        if self.tool.missing:
            return "warn", "Missing"
        if self.tool.problem:
            return "bad", "Refused"
        return ("good", "Ready") if self.tool.enabled else ("", "Disabled")


def tool_of(name: str) -> Tool | None:
    """The tool of this name, whatever its state; None for what is no name."""
    # PostgreSQL takes no NUL in a text, not even to look for it.
    return None if "\x00" in name else Tool.objects.filter(name=name).first()


def tools_usable() -> QuerySet[Tool]:
    """Tools that can be run now, by name."""
    return Tool.objects.filter(enabled=True, missing=False, problem="")


def tool_cards(actor: Actor) -> list[ToolCard]:
    """Every tool for the list, with those runs that the actor may see, in three queries."""
    visible = runs_visible(actor).order_by()
    failed = Q(live=False) & ~Q(outcome__in=(Outcome.OK, Outcome.CANCELLED))
    since = timezone.now() - timedelta(days=DAYS_COUNTED)
    counts = {
        row["tool"]: row
        for row in visible.filter(created_at__gte=since)
        .values("tool")
        .annotate(runs=Count("pk"), failed=Count("pk", filter=failed))
    }
    of_tool = visible.filter(tool=OuterRef("pk")).order_by("-created_at", "-pk")
    tools = list(Tool.objects.annotate(newest=Subquery(of_tool.values("pk")[:1])))
    newest = _light(visible).in_bulk([pk for tool in tools if (pk := tool.newest)])
    cards = []
    for tool in tools:
        count = counts.get(tool.pk, {"runs": 0, "failed": 0})
        cards.append(ToolCard(tool, newest.get(tool.newest), count["runs"], count["failed"]))
    return cards


def tool_runs_newest(tool: Tool, actor: Actor) -> list[ToolRun]:
    """The newest runs of a tool that the actor may see, without what they printed."""
    return list(_light(runs_visible(actor)).filter(tool=tool)[:RUNS_SHOWN])


def _light(runs: QuerySet[ToolRun]) -> QuerySet[ToolRun]:
    return runs.select_related(None).defer("stdout", "stderr", "arguments", "sealed_arguments", "result")


def limit_rows(tool: Tool) -> list[tuple[str, str, bool]]:
    """What bounds a run, in words: name, value, and whether the owner set it over the TOOL.md."""
    if not tool.definition:
        return []
    policy, own = policy_of(tool.definition, tool.overrides), tool.overrides
    kind, program = runner_of(tool.definition)
    rows = [
        ("Runs", f"on the node, {program}" if kind == "host" else f"in a container, {program}", False),
        ("Time", f"{policy.timeout_seconds} s", "timeout_seconds" in own),
    ]
    if kind == "host":
        hosts = "every public address" if "*" in policy.egress else ", ".join(policy.egress) or "none"
        return [*rows, ("Hosts", hosts, "egress" in own)]
    return [
        *rows,
        ("Image", policy.image, False),
        ("Memory", size_words(policy.memory_bytes), "memory_bytes" in own),
        ("CPU", f"{policy.cpu_percent} % of one core, {policy.cpu_seconds} s in all", "cpu_percent" in own),
        ("Processes", str(policy.pids), False),
        ("Open files", str(policy.files_open), False),
        ("Temporary files", size_words(policy.tmp_bytes), False),
        ("Output", size_words(policy.output_bytes), False),
        ("Workspace", "of its session" if policy.workspace else "none", False),
        ("Network", "none", False),
        *([("Runtime", policy.runtime, False)] if policy.runtime else []),
    ]
