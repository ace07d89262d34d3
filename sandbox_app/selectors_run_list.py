"""The list of runs: filtered, newest first, paged by the row that a page ends with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from sandbox_app.models import Outcome, RunState, ToolRun
from sandbox_app.selectors import runs_visible
from sparkweb.accounts.actor import Actor

PAGE_ROWS = 50
TEXT_SCAN_ROWS = 5_000
LIVE, FAILED = "live", "failed"
BIG_COLUMNS = ("stdout", "stderr", "sealed_arguments", "result", "egress", "limits", "policy")
VIA = ("api", "page", "mcp", "chat", "command", "system")


@dataclass(frozen=True)
class RunListFilter:
    """What the list is narrowed to. `outcome` may be "live" or "failed"; `before` is a row's number."""

    text: str = ""
    tool: str = ""
    outcome: str = ""
    user: str = ""
    via: str = ""
    node: str = ""
    session: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out but by page."""
        return replace(self, before=None) != RunListFilter()


@dataclass(frozen=True)
class RunPage:
    """Runs newest first; `next_before` begins the next page. `searched_to` is set where a search stopped."""

    runs: list[ToolRun]
    next_before: int | None = None
    searched_to: datetime | None = None


def run_page(actor: Actor, wanted: RunListFilter, rows: int = PAGE_ROWS) -> RunPage:
    """Return one page of the runs that `actor` may see."""
    runs = _narrowed(runs_visible(actor), wanted).defer(*BIG_COLUMNS).order_by("-pk")
    if wanted.before is not None:
        runs = runs.filter(pk__lt=wanted.before)
    if not wanted.text:
        return _page(list(runs[: rows + 1]), rows)
    edge = runs.values_list("pk", "created_at")[TEXT_SCAN_ROWS - 1 : TEXT_SCAN_ROWS].first()
    if edge is not None:
        runs = runs.filter(pk__gte=edge[0])
    page = _page(list(runs.filter(_text(wanted.text))[: rows + 1]), rows)
    if page.next_before is None and edge is not None:
        return RunPage(page.runs, edge[0], edge[1])
    return page


def _page(found: list[ToolRun], rows: int) -> RunPage:
    return RunPage(found[:rows], found[rows - 1].pk if len(found) > rows else None)


def _narrowed(runs: QuerySet[ToolRun], wanted: RunListFilter) -> QuerySet[ToolRun]:
    equal: dict[str, Any] = {
        "tool_name": wanted.tool,
        "via": wanted.via,
        "node_name": wanted.node,
        "session__uid": wanted.session,
        "created_at__gte": wanted.since,
        "created_at__lt": wanted.until,
    }
    runs = runs.filter(**{column: value for column, value in equal.items() if value})
    if wanted.user:
        runs = runs.filter(Q(user_label=wanted.user) | Q(user_label__startswith=f"{wanted.user} ("))
    if wanted.outcome == LIVE:
        return runs.filter(live=True)
    if wanted.outcome == FAILED:
        return runs.filter(live=False).exclude(outcome__in=(Outcome.OK, Outcome.CANCELLED))
    if wanted.outcome == RunState.APPROVAL:
        return runs.filter(live=True, state=RunState.APPROVAL)
    return runs.filter(outcome=wanted.outcome) if wanted.outcome else runs


def _text(text: str) -> Q:
    """Where a word may stand. SQLite keeps arguments as JSON in ASCII, PostgreSQL as the text itself."""
    return (
        Q(uid__startswith=text.lower())
        | Q(arguments__icontains=json.dumps(text)[1:-1])
        | Q(arguments__icontains=text)
        | Q(reason__icontains=text)
        | Q(stdout__icontains=text)
        | Q(stderr__icontains=text)
    )


def nodes_of_runs() -> list[str]:
    """Return the names of nodes that tools ran on."""
    return list(ToolRun.objects.order_by("node_name").values_list("node_name", flat=True).distinct()[:100])
