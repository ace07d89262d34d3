"""Blame: from a path and a line to the prompt that wrote it."""

from __future__ import annotations

from collections.abc import Callable
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
from transcripts_app.insight_masks import Masks, rows_masked
from transcripts_app.insight_pages import number_of, query_without, text_of
from transcripts_app.selectors_blame import Answer, calls_visible, file_blame, paths_like, prompts_for

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
    masks = Masks(user)
    number = number_of(request.GET.get("call"))
    asked = (
        calls_visible(user).filter(pk=number).select_related("session__project").first() if number else None
    )
    path = asked.path if asked is not None else text_of(request.GET.get("path")).strip()
    text = text_of(request.GET.get("text"), TEXT_MOST)
    line = number_of(request.GET.get("line"))
    blame = (
        file_blame(
            user,
            path,
            node=text_of(request.GET.get("node"), 63) or (asked.session.project.node if asked else ""),
            line=line,
            text=text,
        )
        if path
        else None
    )
    context: dict[str, object] = {
        "path": masks.of(asked.session.project).text(path) if asked else path, "text": text,
        "call": asked.pk if asked else None, "line": line, "blame": blame,
        "paths": [] if blame else paths_like(user, path, masks),
    }  # fmt: skip
    if blame is not None:
        first = min(number_of(request.GET.get("from")) or 0, max(0, len(blame.lines) - 1))
        if line is not None and "from" not in request.GET:
            place = next((place for place, one in enumerate(blame.lines) if one.row.number == line), 0)
            first = place // ROWS_SHOWN * ROWS_SHOWN
        shown = blame.lines[first : first + ROWS_SHOWN]
        masked = masks.texts_of(blame.projects)
        context |= {
            "rows": _rows(shown, line, masks, masked), "first": first, "total": len(blame.lines),
            "next": first + ROWS_SHOWN if len(blame.lines) > first + ROWS_SHOWN else None,
            "answers": [(answer, answer_rows(answer, masks, masked)) for answer in blame.answers],
            "query": query_without(request, "from", "line", "text"),
            "asked": line is not None or bool(text.strip()),
        }  # fmt: skip
    return render(request, "transcripts_app/blame.html", context)


@never_cache
@require_safe
def transcript_blame_paths(request: HttpRequest) -> HttpResponse:
    """Paths that contain what was typed, as options of the page's list."""
    user = cast(User, request.user)
    paths = paths_like(user, text_of(request.GET.get("path")).strip(), Masks(user))
    return render(request, "transcripts_app/_blame_paths.html", {"paths": paths})


def answer_rows(answer: Answer, masks: Masks, masked: Callable[[str], str]) -> list[DiffRow]:
    """Return what a change did, bounded and masked; its call and prompt are masked in place."""
    call_masked(masks, answer.call, answer.prompt)
    before, after = (rows_masked(rows_of(one), masked) for one in (answer.step.before, answer.step.after))
    return diff_rows(before, after)[:DIFF_ROWS_SHOWN]


def call_masked(masks: Masks, call: ToolCall, prompt: Record | None) -> None:
    """Mask what is told of a call and of the prompt behind it, in place."""
    masks.session(call.session)
    masks.record(prompt)


def _rows(
    shown: list[Owned[ToolCall]], line: int | None, masks: Masks, masked: Callable[[str], str]
) -> list[BlameRow]:
    prompts = prompts_for(shown)
    rows: list[BlameRow] = []
    before: int | None = -1
    for one, row in zip(shown, rows_masked([one.row for one in shown], masked), strict=True):
        owner = one.origin.pk if one.origin is not None else None
        prompt = prompts.get(owner) if owner is not None else None
        if one.origin is not None:
            call_masked(masks, one.origin, prompt)
        wanted = line is not None and row.number == line
        rows.append(BlameRow(row, one.origin, prompt, owner != before, wanted))
        before = owner
    return rows
