"""The line of a record as it was: readable on a page, and its bytes."""

from __future__ import annotations

import json

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from transcripts_app.archive.models import Record
from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import LineBad, line_read, text_clean
from transcripts_app.landmarks import record_of
from transcripts_app.store import RawLines
from transcripts_app.views_reading import session_or_404

SHOWN_CHARACTERS = 1_000_000


@never_cache
@require_safe
def transcript_raw(request: HttpRequest, key: str, record: str) -> HttpResponse:
    """The raw line; `?download=1` gives its bytes."""
    session = session_or_404(request, key)
    found = record_of(session, record)
    if found is None:
        raise Http404("The session has no such message.")
    data = RawLines().line(found)
    if "download" in request.GET:
        return line_response(found, data)
    text = line_text(data)
    context = {
        "session": session, "record": found, "text": text[:SHOWN_CHARACTERS], "bytes": len(data),
        "is_cut": len(text) > SHOWN_CHARACTERS, "uuid": uuid_text(found),
    }  # fmt: skip
    return render(request, "transcripts_app/raw.html", context)


def line_response(record: Record, data: bytes) -> HttpResponse:
    """The bytes of a line as a file."""
    is_json = record.kind != Kind.RESULT_FILE
    response = HttpResponse(data, content_type="application/json" if is_json else "text/plain; charset=utf-8")
    name = f"record-{record.pk}.{'json' if is_json else 'txt'}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def line_text(data: bytes) -> str:
    """A line as indented JSON; what is none, as text."""
    try:
        return text_clean(json.dumps(line_read(data), ensure_ascii=False, indent=2))
    except (LineBad, RecursionError):
        return text_clean(data.decode(errors="replace"))


def uuid_text(record: Record) -> str:
    """A record's uuid as Claude Code writes it; empty for none."""
    if record.uid is None:
        return ""
    digits = bytes(record.uid).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
