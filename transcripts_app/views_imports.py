"""The page of sources and of what was read, with its buttons; a run and a file of it."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from sparkweb.refusal import Refused
from transcripts_app.archive.models import BadLine, ImportRun
from transcripts_app.forms_imports import SourceForm
from transcripts_app.models_requests import ArchiveRequest, TranscriptSource
from transcripts_app.selectors_imports import (
    RUNS_SHOWN,
    archive_state,
    bad_bytes,
    file_page,
    file_row,
    file_visible,
    run_files,
    run_row,
    run_rows,
    source_rows,
)
from transcripts_app.sources import source_add, source_enable, source_owner, source_remove

FILES_SHOWN = 100
REQUESTS_SHOWN = 10


@never_cache
@require_safe
def transcript_imports(request: HttpRequest) -> HttpResponse:
    """Where transcripts are read from, and what was read."""
    return _page(request, SourceForm())


@never_cache
@require_safe
def transcript_imports_state(request: HttpRequest) -> HttpResponse:
    """The part that changes by itself, asked for again while the page is open."""
    return render(request, "transcripts_app/_imports.html", _context(request))


def _page(request: HttpRequest, form: SourceForm, status: int = 200) -> HttpResponse:
    return render(request, "transcripts_app/imports.html", _context(request) | {"form": form}, status=status)


def _context(request: HttpRequest) -> dict[str, Any]:
    user = cast(User, request.user)
    admin = user.has_role(Role.ADMIN)
    before = request.GET.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
    runs = run_rows(number) if admin else []
    asked = ArchiveRequest.objects.all() if admin else ArchiveRequest.objects.filter(requested_by=user)
    return {
        "rows": source_rows(user),
        "archive": archive_state(),
        "runs": runs,
        "next_before": runs[-1].run.pk if len(runs) == RUNS_SHOWN else None,
        "before": number,
        "requests": asked[:REQUESTS_SHOWN],
        "people": User.objects.filter(is_active=True).order_by("username") if admin else [],
    }


@require_POST
@role_required(Role.ADMIN)
def transcript_source_add(request: HttpRequest) -> HttpResponse:
    """Read another folder of this machine; the page again where it cannot be."""
    form = SourceForm(request.POST)
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            source = source_add(path=wanted["path"], owner=wanted["owner"], actor=actor_of(request))
        except Refused as refused:
            form.add_error("path", refused.message)
        else:
            messages.success(request, f"{source.path} is being read.")
            return HttpResponseRedirect(reverse("transcript_imports"))
    return _page(request, form)


@require_POST
@role_required(Role.ADMIN)
def transcript_source_change(request: HttpRequest, number: int) -> HttpResponse:
    """Enable, disable or remove a source, or say whose it is."""
    source = get_object_or_404(TranscriptSource, pk=number, removed_at=None)
    action, actor = request.POST.get("action", ""), actor_of(request)
    if action in ("enable", "disable"):
        source_enable(source=source, enabled=action == "enable", actor=actor)
    elif action == "remove":
        source_remove(source=source, actor=actor)
        messages.success(request, "It is read no more. What was read of it stays.")
    elif action == "owner":
        name = request.POST.get("owner", "").replace("\0", "")
        source_owner(source=source, owner=User.objects.filter(username=name).first(), actor=actor)
    return HttpResponseRedirect(reverse("transcript_imports"))


@never_cache
@require_safe
@role_required(Role.ADMIN)
def transcript_import_run(request: HttpRequest, number: int) -> HttpResponse:
    """One run: its totals, and each file that it read."""
    run = get_object_or_404(ImportRun, pk=min(number, 2**62))
    pages = Paginator(run_files(run), FILES_SHOWN).get_page(request.GET.get("page"))
    context = {"row": run_row(run), "files": [file_row(one) for one in pages], "pages": pages}
    return render(request, "transcripts_app/import_run.html", context)


@never_cache
@require_safe
def transcript_import_file(request: HttpRequest, number: int) -> HttpResponse:
    """One file: how far it was read, its bad lines, what was in it."""
    file = file_visible(cast(User, request.user), number)
    if file is None:
        raise Http404("There is no such file.")
    return render(request, "transcripts_app/import_file.html", {"page": file_page(file), "file": file})


@never_cache
@require_safe
def transcript_import_bad(request: HttpRequest, number: int) -> HttpResponse:
    """The bytes of a line that is no record, to be saved."""
    bad = BadLine.objects.filter(pk=min(number, 2**62)).first()
    if bad is None or file_visible(cast(User, request.user), bad.file_id) is None:
        raise Http404("There is no such line.")
    answer = HttpResponse(bad_bytes(bad), content_type="application/octet-stream")
    answer["Content-Disposition"] = f'attachment; filename="line-{bad.line}.bin"'
    return answer
