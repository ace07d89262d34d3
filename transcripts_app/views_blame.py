"""Blame: from a path and a line to the prompt that wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app.archive.models import Record, ToolCall
from transcripts_app.insight.blame import Owned
from transcripts_app.insight.content import Row, rows_of
from transcripts_app.insight.diffs import DiffRow, diff_rows
from transcripts_app.insight_pages import number_of, query_without, text_of
from transcripts_app.selectors_blame import Answer, file_blame, paths_like, prompts_for

ROWS_SHOWN = 1500
TEXT_MOST = 4000
DIFF_ROWS_SHOWN = 120


@dataclass(frozen=True, slots=True)
class BlameRow:
    """A line with who wrote it; `is_first` where the line above is somebody else's."""

    row: Row
    call: ToolCall | None
    prompt: Record | None
    is_first: bool
    is_wanted: bool


@never_cache
@require_safe
def transcript_blame(request: HttpRequest) -> HttpResponse:
    """Who wrote a file's lines; `?line=` or `?text=` asks for the change behind one."""
    user = cast(User, request.user)
    path, text = text_of(request.GET.get("path")).strip(), text_of(request.GET.get("text"), TEXT_MOST)
    line = number_of(request.GET.get("line"))
    blame = (
        file_blame(user, path, node=text_of(request.GET.get("node"), 63), line=line, text=text)
        if path
        else None
    )
    context: dict[str, object] = {
        "path": path, "text": text, "line": line, "blame": blame,
        "paths": [] if blame else paths_like(user, path),
    }  # fmt: skip
    if blame is not None:
        first = min(number_of(request.GET.get("from")) or 0, max(0, len(blame.lines) - 1))
        if line is not None and "from" not in request.GET:
            place = next((place for place, one in enumerate(blame.lines) if one.row.number == line), 0)
            first = place // ROWS_SHOWN * ROWS_SHOWN
        shown = blame.lines[first : first + ROWS_SHOWN]
        context |= {
            "rows": _rows(shown, line), "first": first, "total": len(blame.lines),
            "next": first + ROWS_SHOWN if len(blame.lines) > first + ROWS_SHOWN else None,
            "answers": [(answer, answer_rows(answer)) for answer in blame.answers],
            "query": query_without(request, "from", "line", "text"),
            "asked": line is not None or bool(text.strip()),
        }  # fmt: skip
    return render(request, "transcripts_app/blame.html", context)


@never_cache
@require_safe
def transcript_blame_paths(request: HttpRequest) -> HttpResponse:
    """Paths that contain what was typed, as options of the page's list."""
    paths = paths_like(cast(User, request.user), text_of(request.GET.get("path")).strip())
    return render(request, "transcripts_app/_blame_paths.html", {"paths": paths})


def answer_rows(answer: Answer) -> list[DiffRow]:
    """Return what a change did, bounded."""
    return diff_rows(rows_of(answer.step.before), rows_of(answer.step.after))[:DIFF_ROWS_SHOWN]


def _rows(shown: list[Owned[ToolCall]], line: int | None) -> list[BlameRow]:
    prompts = prompts_for(shown)
    rows: list[BlameRow] = []
    before: int | None = -1
    for one in shown:
        owner = one.origin.pk if one.origin is not None else None
        prompt = prompts.get(owner) if owner is not None else None
        wanted = line is not None and one.row.number == line
        rows.append(BlameRow(one.row, one.origin, prompt, owner != before, wanted))
        before = owner
    return rows
