"""The file time machine: the files that a session changed, each at any of its moments."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from transcripts_app.archive.models import moment
from transcripts_app.insight.content import Content, Row, rows_of
from transcripts_app.insight.diffs import LINE_MOST, DiffRow, counts, diff_rows
from transcripts_app.insight_pages import number_of, query_without, session_or_404, text_of
from transcripts_app.selectors_files import FileView, file_view, files_changed

ROWS_SHOWN = 2000


@never_cache
@require_safe
def transcript_files(request: HttpRequest, key: str) -> HttpResponse:
    """Files that a session changed; with `?path=` one of them, at record `?at=` or at stop `?step=`."""
    session = session_or_404(request, key)
    path = text_of(request.GET.get("path"))
    files = files_changed(session)
    context: dict[str, Any] = {"session": session, "files": files, "path": path}
    if path:
        view = file_view(session, path, number_of(request.GET.get("at")), number_of(request.GET.get("step")))
        if "download" in request.GET:
            return _download(view)
        context |= _file(request, view)
    return render(request, "transcripts_app/files.html", context)


def _file(request: HttpRequest, view: FileView) -> dict[str, Any]:
    step = view.chosen
    mode = "file" if request.GET.get("show") == "file" else "diff"
    context: dict[str, Any] = {
        "view": view,
        "mode": mode,
        "query": query_without(request, "step", "at", "from", "show"),
    }
    if step is None:
        return context
    line = view.steps[view.place - 1]
    base: Content | None = None
    if mode == "file":
        rows = [_line(row) for row in rows_of(step.after)]
    else:
        # What something else did between two calls belongs to this stop as well, and is shown with it.
        base = step.left if step.is_outside and step.left.is_known else step.before
        rows = diff_rows(rows_of(base), rows_of(step.after))
    first = min(number_of(request.GET.get("from")) or 0, max(0, len(rows) - 1))
    own = (
        rows
        if mode == "diff" and base is step.before
        else diff_rows(rows_of(step.before), rows_of(step.after))
    )
    added, removed = counts(own)
    return context | {
        "line": line, "content": step.after, "rows": rows[first : first + ROWS_SHOWN], "total": len(rows),
        "first": first, "next": first + ROWS_SHOWN if len(rows) > first + ROWS_SHOWN else None,
        "added": added, "removed": removed, "is_same": not any(row.kind in ("new", "gone") for row in rows),
        "earlier": view.place - 1 if view.place > 1 else None,
        "later": view.place + 1 if view.place < len(view.steps) else None,
        "at": moment(line.call.ended_ms or line.call.started_ms),
    }  # fmt: skip


def _line(row: Row) -> DiffRow:
    kind = "unknown" if row.text is None else "same"
    return DiffRow(kind, None, row.number, (row.text or "")[:LINE_MOST], row.hidden)


def _download(view: FileView) -> HttpResponse:
    """The file as it was known then; gaps are marked by a line of their own."""
    if view.chosen is None:
        raise Http404("Nothing is known of that file in this session.")
    name = view.path.rstrip("/").rpartition("/")[2] or "file"
    safe = (
        "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "._-"))[:100]
        or "file"
    )
    content = view.chosen.after
    answer = HttpResponse(
        content_text(content).encode(errors="replace"), content_type="application/octet-stream"
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
