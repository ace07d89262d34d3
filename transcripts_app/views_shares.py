"""Share links: made on a session's page, opened by anybody who has one."""

from __future__ import annotations

import time
from typing import Any, cast

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sparkweb.accounts.models import User
from sparkweb.accounts.services import actor_of
from sparkweb.refusal import Refused
from transcripts_app.access import session_of
from transcripts_app.archive.models import Record, Session, moment
from transcripts_app.export.reading import Line, Section, SessionReader, is_read
from transcripts_app.format.kinds import Kind
from transcripts_app.keeping import may_share
from transcripts_app.models_shares import ShareLink
from transcripts_app.redaction.engine import Redactor
from transcripts_app.redaction.profiles import profiles
from transcripts_app.render.record import record_view
from transcripts_app.shares import share_create, share_open, share_revoke, share_rules

PAGE_RECORDS = 60
OPENS_A_MINUTE = 120
DAYS = (1, 7, 30, 90, 365)


@never_cache
@require_safe
def shared_session(request: HttpRequest, token: str) -> HttpResponse:
    """A session, to be read alone, by whoever has the link. Everything else needs a login."""
    if _too_often(request):
        return _bare(HttpResponse("Too many requests; wait a minute.", status=429, content_type="text/plain"))
    opened = share_open(token)
    if opened is None:
        return _bare(render(request, "transcripts_app/shared_none.html", status=404))
    link, session = opened
    return _bare(render(request, "transcripts_app/shared.html", _shared(request, link, session)))


@never_cache
def transcript_shares(request: HttpRequest, key: str) -> HttpResponse:
    """The links of a session, and a new one, whose address is shown this once."""
    session = _shareable(request, key)
    context: dict[str, Any] = {"session": session, "days": DAYS, "profiles": profiles()}
    if request.method == "POST":
        days = request.POST.get("days", "")
        try:
            link, token = share_create(
                session=session, days=int(days) if days.isascii() and days.isdigit() and len(days) < 5 else 0,
                mask=request.POST.get("mask", "").replace("\0", ""), actor=actor_of(request),
            )  # fmt: skip
        except Refused as refused:
            context["problem"] = refused.message
        else:
            address = request.build_absolute_uri(reverse("shared_session", args=[token]))
            context |= {"made": link, "address": address}
    context["links"] = ShareLink.objects.filter(session_key=session.key).select_related("created_by")[:100]
    return render(request, "transcripts_app/shares.html", context)


@require_POST
def transcript_share_revoke(request: HttpRequest, key: str, number: int) -> HttpResponse:
    """End a link."""
    session = _shareable(request, key)
    link = ShareLink.objects.filter(session_key=session.key, pk=min(number, 2**62)).first()
    if link is None:
        raise Http404("There is no such link.")
    share_revoke(link=link, actor=actor_of(request))
    return HttpResponseRedirect(reverse("transcript_shares", args=[session.key]))


def _shareable(request: HttpRequest, key: str) -> Session:
    user = cast(User, request.user)
    session = session_of(user, key)
    if session is None:
        raise Http404("There is no such session.")
    if not may_share(user, session.project):
        raise PermissionDenied("Only the project's owner and admins share its sessions.")
    return session


def _shared(request: HttpRequest, link: ShareLink, session: Session) -> dict[str, Any]:
    rules = share_rules(link)
    reader = SessionReader(session, Redactor(rules) if rules else None)
    sections = {one.name: one for one in reader.sections}
    section = sections.get(request.GET.get("part", "")) or next(iter(sections.values()), None)
    told = request.GET.get("page", "1")
    page = int(told) if told.isascii() and told.isdigit() and 0 < len(told) < 8 else 1
    rows, pages = [], 1
    if section is not None:
        total = Record.objects.filter(file=section.file, generation=section.file.generation).count()
        pages = max(1, -(-total // PAGE_RECORDS))
        page = min(max(page, 1), pages)
        lines = reader.read_page(section, (page - 1) * PAGE_RECORDS, PAGE_RECORDS)
        rows = [
            _row(line, reader, sections) for line in lines if is_read(line.row) and not line.is_drawn_above
        ]
    return {
        "title": reader.title, "at": moment(session.started_ms), "rows": rows, "section": section,
        "models": [reader.text(str(one)) for one in session.model_names], "page": page, "pages": pages,
        "others": [one for one in sections.values() if section is None or one.name != section.name],
        "expires_at": link.expires_at, "masked": rules is not None,
    }  # fmt: skip


def _row(line: Line, reader: SessionReader, sections: dict[str, Section]) -> dict[str, Any]:
    row, by_file = line.row, {one.file.pk: one for one in sections.values()}
    ends = [by_file[number] for call in line.calls for number in (call.agent_file_id, call.result_file_id)
            if number in by_file]  # fmt: skip
    context: dict[str, Any] = {
        "row": row, "anchor": f"l{row.line}", "at": row.at, "model": reader.text(row.model),
        "links": [(f"?part={one.name}", one.title) for one in ends],
        "is_error": row.is_error or any(call.is_error for call in line.calls),
    }  # fmt: skip
    if row.kind == Kind.RESULT_FILE:
        return context | {"plain": line.record.get("text", "")[:200_000]}
    view = record_view(line.record, kind=Kind(row.kind), results=line.results, inline_media=True)
    return context | {"view": view}


def _bare(answer: HttpResponse) -> HttpResponse:
    """Tell nobody where the reader came from, and no search engine that this is here."""
    answer["Referrer-Policy"] = "no-referrer"
    answer["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return answer


def _too_often(request: HttpRequest) -> bool:
    """Count what one address asks in a minute: also those who guess."""
    name = f"shared:{request.META.get('REMOTE_ADDR', '')}:{int(time.time() // 60)}"
    cache.add(name, 0, 120)
    try:
        return cache.incr(name) > OPENS_A_MINUTE
    except ValueError:
        return False
