"""The file time machine: the files that a session changed, each at any of its moments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from transcripts_app.archive.models import Session, moment
from transcripts_app.insight.content import Content, Row, rows_of
from transcripts_app.insight.diffs import LINE_MOST, DiffRow, counts, diff_rows
from transcripts_app.insight_masks import rows_masked
from transcripts_app.insight_pages import masked_session_or_404, number_of, query_without, text_of
from transcripts_app.redaction.display import DisplayMask
from transcripts_app.selectors_files import FileView, file_view, files_changed, session_calls

ROWS_SHOWN = 2000


@never_cache
@require_safe
def transcript_files(request: HttpRequest, key: str) -> HttpResponse:
    """Files that a session changed; with `?path=` one of them, at record `?at=` or at stop `?step=`."""
    session, masks = masked_session_or_404(request, key)
    mask = masks.of(session.project)
    path = path_asked(session, request.GET)
    files = files_changed(session)
    context: dict[str, Any] = {
        "session": session, "path": mask.text(path), "asked": bool(path),
        "files": [(one, mask.text(one.path), one.path == path) for one in files],
        "call": next((one.call for one in files if one.path == path), None),
    }  # fmt: skip
    if path:
        view = file_view(session, path, number_of(request.GET.get("at")), number_of(request.GET.get("step")))
        if "download" in request.GET:
            return _download(view, mask)
        context |= _file(request, view, mask)
    return render(request, "transcripts_app/files.html", context)


def _file(request: HttpRequest, view: FileView, mask: DisplayMask) -> dict[str, Any]:
    step = view.chosen
    mode = "file" if request.GET.get("show") == "file" else "diff"
    context: dict[str, Any] = {
        "view": view,
        "mode": mode,
        "query": query_without(request, "step", "at", "from", "show", "download"),
    }
    if step is None:
        return context
    line = view.steps[view.place - 1]
    base: Content | None = None
    after, before = (rows_masked(rows_of(one), mask.text) for one in (step.after, step.before))
    if mode == "file":
        rows = [_line(row) for row in after]
    else:
        # What something else did between two calls belongs to this stop as well, and is shown with it.
        base = step.left if step.is_outside and step.left.is_known else step.before
        rows = diff_rows(before if base is step.before else rows_masked(rows_of(base), mask.text), after)
    first = min(number_of(request.GET.get("from")) or 0, max(0, len(rows) - 1))
    own = rows if mode == "diff" and base is step.before else diff_rows(before, after)
    added, removed = counts(own)
    return context | {
        "line": line, "note": mask.text(line.note), "content": step.after, "total": len(rows),
        "rows": rows[first : first + ROWS_SHOWN],
        "first": first, "next": first + ROWS_SHOWN if len(rows) > first + ROWS_SHOWN else None,
        "added": added, "removed": removed, "is_same": not any(row.kind in ("new", "gone") for row in rows),
        "earlier": view.place - 1 if view.place > 1 else None,
        "later": view.place + 1 if view.place < len(view.steps) else None,
        "at": moment(line.call.ended_ms or line.call.started_ms),
    }  # fmt: skip


def path_asked(session: Session, given: Mapping[str, str]) -> str:
    """Return the path that is asked for: itself, or that of a call, for a path may be masked."""
    number = number_of(given.get("call"))
    call = session_calls(session).filter(pk=number).first() if number is not None else None
    return call.path if call is not None else text_of(given.get("path"))


def _line(row: Row) -> DiffRow:
    kind = "unknown" if row.text is None else "same"
    return DiffRow(kind, None, row.number, (row.text or "")[:LINE_MOST], row.hidden)


def _download(view: FileView, mask: DisplayMask) -> HttpResponse:
    """The file as it was known then; gaps are marked by a line of their own."""
    if view.chosen is None:
        raise Http404("Nothing is known of that file in this session.")
    name = mask.text(view.path).rstrip("/").rpartition("/")[2] or "file"
    safe = (
        "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "._-"))[:100]
        or "file"
    )
    content = view.chosen.after
    answer = HttpResponse(
        mask.text(content_text(content)).encode(errors="replace"), content_type="application/octet-stream"
    )
    suffix = "" if content.is_whole else ".partial"
    answer["Content-Disposition"] = f'attachment; filename="{safe}{suffix}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def content_text(content: Content) -> str:
    """Return a content as one text; what is not known is said in a line of its own."""
    if content.text is not None:
        return content.text
    lines = [
        row.text if row.text is not None else f"[SparkWeb: {row.hidden or 'some'} lines are not known]"
        for row in rows_of(content)
    ]
    return "\n".join(lines) + "\n"
