"""The page where transcripts are uploaded."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from transcripts_app.importing.unpack import KINDS
from transcripts_app.models_uploads import TranscriptUpload
from transcripts_app.uploads import PIECE_BYTES

SHOWN = 20


@never_cache
@require_safe
@role_required(Role.OPERATOR)
def transcript_upload(request: HttpRequest) -> HttpResponse:
    """Where a file is chosen, and what became of those before."""
    return render(request, "transcripts_app/upload.html", _context(request))


@never_cache
@require_safe
@role_required(Role.OPERATOR)
def transcript_upload_list(request: HttpRequest) -> HttpResponse:
    """One's uploads alone, asked for again while one is read."""
    return render(request, "transcripts_app/_uploads.html", _context(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    rows = TranscriptUpload.objects.filter(owner=cast(User, request.user)).select_related("request")
    uploads = list(rows[:SHOWN])
    return {
        "uploads": uploads,
        "any_live": any(one.state in ("receiving", "requested", "running") for one in uploads),
        "kinds": ",".join(KINDS),
        "most_mb": settings.TRANSCRIPT_UPLOAD_MB,
        "piece": PIECE_BYTES // 2,
    }
