"""Pictures and documents inside of records: served as what their bytes say, never as a page."""

from __future__ import annotations

from typing import cast

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app.access import session_of
from transcripts_app.archive.models import Record
from transcripts_app.render.media import PLACES_MOST, Media, media_at
from transcripts_app.store import RawLines

# What a transcript carries is no page of ours: no script, no form, no frame, an origin of its own.
POLICY = "default-src 'none'; sandbox"
ENDINGS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
}


@require_safe
def transcript_media(request: HttpRequest, key: str, uid: str, place: int) -> HttpResponse:
    """A picture to be shown, or a PDF to be saved; `uid`: the record's, 32 hexadecimal digits."""
    session = session_of(cast(User, request.user), key)
    found = _media(session.pk, uid, place) if session else None
    if found is None or not found.type:
        raise Http404("There is no such picture, or you may not see it.")
    try:
        data = found.bytes()
    except ValueError:
        raise Http404("It is damaged, or too large to be shown.") from None
    response = HttpResponse(data, content_type=found.type)
    name = f"{uid[:8]}-{place}.{ENDINGS[found.type]}"
    response["Content-Disposition"] = content_disposition_header(not found.is_image, name) or "attachment"
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, max-age=3600"
    return response


def _media(session: int, uid: str, place: int) -> Media | None:
    try:
        digits = bytes.fromhex(uid)
    except ValueError:
        return None
    if len(digits) != 16 or place >= PLACES_MOST:
        return None
    record = Record.objects.filter(session=session, uid=digits).order_by("pk").first()
    return media_at(RawLines().json(record), place) if record else None
