"""The line of a record as it was: readable on a page, and its bytes."""

from __future__ import annotations

import json

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from transcripts_app.archive.models import Record, Session
from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import LineBad, line_read, text_clean
from transcripts_app.landmarks import record_of
from transcripts_app.redaction.display import mask_of
from transcripts_app.render.media import PLACES_MOST, media_at
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
    mask = mask_of(session)
    data = mask.line(RawLines().line(found))
    if "download" in request.GET:
        return line_response(found, data)
    text = line_text(data)
    context = {
        "session": session, "record": found, "text": text[:SHOWN_CHARACTERS], "bytes": len(data),
        "is_cut": len(text) > SHOWN_CHARACTERS, "uuid": uuid_text(found), "masked": mask.masked,
    }  # fmt: skip
    return render(request, "transcripts_app/raw.html", context)


@require_safe
def transcript_media(request: HttpRequest, key: str, uid: str, place: int) -> HttpResponse:
    """A picture or document inside of a record: only what its first bytes say that it is."""
    session = session_or_404(request, key)
    found = _by_uid(session, uid)
    media = media_at(RawLines().json(found), min(place, PLACES_MOST)) if found else None
    if found is None or media is None or not media.type:
        raise Http404("There is no such picture.")
    try:
        response = HttpResponse(media.bytes(), content_type=media.type)
    except ValueError as error:
        raise Http404(f"The picture {error}") from None
    way = "inline" if media.is_image else "attachment"
    name = f"{bytes(found.uid or b'').hex()[:12]}-{place}.{media.type.partition('/')[2]}"
    response["Content-Disposition"] = f'{way}; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, max-age=86400"
    return response


def _by_uid(session: Session, uid: str) -> Record | None:
    """A record of the session by the 16 bytes of its uuid, in hexadecimal."""
    try:
        wanted = bytes.fromhex(uid)
    except ValueError:
        return None
    if len(wanted) != 16:
        return None
    return Record.objects.filter(uid=wanted, session=session).order_by("pk").first()


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
