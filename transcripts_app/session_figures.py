"""Figures of one session: tokens and cost by model, tools with their errors, times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum

from transcripts_app.archive.models import Response, Session
from transcripts_app.archive.models_figures import ToolUse, Usage
from transcripts_app.figures import USAGE, Figures
from transcripts_app.prices import micros


@dataclass(frozen=True)
class SessionFigures:
    """`tools` are rows of name, calls, errors, most calls first; `synthetic` answers are not billed."""

    total: Figures
    models: list[Figures]
    tools: list[dict[str, Any]]
    synthetic: int
    lasted_ms: int | None


def session_figures(session: Session) -> SessionFigures:
    """Return the figures of a session: three queries."""
    total, models = Figures(sessions=1), dict[str, Figures]()
    for row in Usage.objects.filter(session=session):
        for one in (total, models.setdefault(row.model, Figures(row.model, row.model or "(none)"))):
            _add(one, row)
    for one in (total, *models.values()):
        one.cost_micros = micros(one.cost_micros)
    used = (
        ToolUse.objects.filter(session=session)
        .values("tool")
        .annotate(made=Sum("calls"), failed=Sum("errors"))
    )
    tools = [
        {"tool": row["tool"], "calls": row["made"], "errors": row["failed"]}
        for row in used.order_by("-made", "tool")
    ]
    synthetic = Response.objects.filter(session=session, is_synthetic=True).aggregate(n=Count("pk"))["n"]
    begun, ended = session.started_ms, session.ended_ms
    lasted = ended - begun if begun is not None and ended is not None else None
    ranked = sorted(models.values(), key=lambda one: (-one.output_tokens, one.name))
    return SessionFigures(total, ranked, tools, synthetic, lasted)


def _add(into: Figures, row: Usage) -> None:
    """Add one row of usage; the cost stays in pico until all are added."""
    for name in USAGE:
        setattr(into, name, getattr(into, name) + getattr(row, name))
    into.cost_micros += row.cost_pico
    if row.unpriced:
        into.unpriced += row.responses
        into.why_unpriced[row.unpriced] = into.why_unpriced.get(row.unpriced, 0) + row.responses
    if row.is_warmup:
        into.warmup_responses += row.responses
        into.warmup_cost_micros += row.cost_pico
