"""Pages of figures: sums and charts over what a visitor may see, and the same as files."""

from __future__ import annotations

from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app.figures import DIMENSIONS, Figures, Wanted, day_ms, day_number, day_words, days_back
from transcripts_app.figures_export import FORMATS, figures_file
from transcripts_app.figures_query import FigureReader
from transcripts_app.forms_figures import SPANS, FiguresForm

ROWS_SHOWN = 12
DAY_SECONDS = 86_400
FIRST_DAY = 20240101  # there was no Claude Code before
TITLES = {"project": "Projects", "model": "Models", "branch": "Branches", "user": "People", "tool": "Tools"}
FILTERED = ("project", "model", "branch", "user", "tool")
IN_LISTS = ("project", "model", "branch")  # what the list of sessions can be narrowed to as well
LINES: dict[str, list[tuple[str, str, float]]] = {
    "cost": [("Cost", "cost_micros", 1e-6)],
    "tokens": [
        ("Output", "output_tokens", 1),
        ("Input", "input_tokens", 1),
        ("Cache write", "cache_write", 1),
    ],
    "cache": [("Cache read", "cache_read_tokens", 1)],
    "calls": [("Tool calls", "tool_calls", 1), ("Failed", "tool_errors", 1)],
}
CHARTS = (
    ("cost", "Cost by day", "$"), ("tokens", "Tokens by day", "count"),
    ("cache", "Tokens read from the cache by day", "count"), ("calls", "Tool calls by day", "count"),
)  # fmt: skip


@never_cache
@require_safe
def transcript_figures(request: HttpRequest) -> HttpResponse:
    """Sums of all that is wanted, charts by day, tables by project, model, branch, person and tool."""
    form = FiguresForm(request.GET)
    wanted = form.wanted()
    reader = FigureReader(cast(User, request.user), wanted)
    total, days = reader.total(), reader.by("day")
    tables = [_table(reader, dimension, wanted) for dimension in FILTERED]
    since, until = form.days_wanted()
    context = {
        "form": form, "wanted": wanted, "total": total, "spans": SPANS, "span": form.span(),
        "since": since, "until": until, "days": len(days), "charts": charts(days),
        "tables": [table for table in tables if table["rows"]], "choices": reader.choices(),
        "query": request.GET, "dimensions": DIMENSIONS,
    }  # fmt: skip
    return render(request, "transcripts_app/figures.html", context)


@never_cache
@require_safe
def transcript_figures_export(request: HttpRequest) -> HttpResponse:
    """All rows of one dimension as CSV or JSON."""
    kind = request.GET.get("format", "csv")
    if kind not in FORMATS:
        raise Http404("There is no such format; there are csv and json.")
    form = FiguresForm(request.GET)
    dimension = form.cleaned_data.get("by") if form.is_valid() else ""
    reader = FigureReader(cast(User, request.user), form.wanted())
    dimension = dimension or "day"
    name = f"transcripts-by-{dimension}-{timezone.now():%Y-%m-%d}.{kind}"
    answer = HttpResponse(
        figures_file(kind, dimension, reader.by(dimension), reader.total()), content_type=FORMATS[kind]
    )
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def charts(days: list[Figures]) -> list[dict[str, Any]]:
    """Return what the page's charts draw: every day from the first to the last, 0 where nothing was.

    Days that cannot be, of records with absurd times, are in the sums but not drawn.
    """
    last = day_number(days_back(0))
    dated = {
        day_ms(int(row.key)) // 1000: row for row in days if row.key and FIRST_DAY <= int(row.key) <= last
    }
    if not dated:
        return []
    times = list(range(min(dated), max(dated) + 1, DAY_SECONDS))
    found = []
    for key, title, unit in CHARTS:
        lines: list[dict[str, Any]] = [
            {"label": label, "values": [_value(dated.get(at), name) * scale for at in times]}
            for label, name, scale in LINES[key]
        ]
        if any(any(line["values"]) for line in lines):
            found.append({"title": title, "unit": unit, "t": times, "lines": lines})
    return found


def _value(row: Figures | None, name: str) -> int:
    if row is None:
        return 0
    if name == "cache_write":
        return row.cache_write_5m_tokens + row.cache_write_1h_tokens
    return int(getattr(row, name))


def _table(reader: FigureReader, dimension: str, wanted: Wanted) -> dict[str, Any]:
    rows = reader.by(dimension)
    shown = rows if len(rows) <= ROWS_SHOWN + 1 else rows[:ROWS_SHOWN]
    return {
        "dimension": dimension, "title": TITLES[dimension], "rows": shown,
        "left_out": len(rows) - len(shown),
        "links": dimension in IN_LISTS, "has_tokens": dimension != "tool",
        "since": day_words(str(wanted.since or "")), "until": day_words(str(wanted.until or "")),
    }  # fmt: skip
