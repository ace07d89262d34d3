"""The page of a session, and the pieces of it that are loaded as one reads."""

from __future__ import annotations

from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app import landmarks
from transcripts_app.access import session_of
from transcripts_app.archive.models import Record, Session, TranscriptFile
from transcripts_app.reading import Agent, Reader
from transcripts_app.redaction.display import is_revealed, may_reveal, session_mask
from transcripts_app.thread import Thread, agents_loose, lines_known, thread_of, thread_of_agent

GROWN_MOST = 4  # windows of new lines that one answer brings
UPDATES_MOST = 30
NUMBER_MOST = 2**53
FIGURES = ["transcripts_app/_session_figures.html", "transcripts_app/_session_figures_plain.html"]


@never_cache
@require_safe
def transcript_session(request: HttpRequest, key: str) -> HttpResponse:
    """One session, opened at its beginning, at `?window=`, at its end (`?end=1`) or at a record (`?at=`)."""
    session = session_or_404(request, key)
    thread = thread_of(session)
    place = _place(request, session, thread)
    asides = "asides" in request.GET
    reader = Reader(session, asides=asides, opened=place.opened)
    window = thread.window(place.window)
    loose = [] if thread.of_agents else agents_loose(session)
    context = {
        "session": session, "thread": thread, "number": place.window,
        "rows": reader.window(window).rows if window else [],
        "at": request.GET.get("at", "") if place.opened or "at" in request.GET else "",
        "lines_known": lines_known(session), "asides": asides,
        "loose": [Agent(file, place.opened.get(file.pk)) for file in loose],
        "opened": _opened_text(place.opened), "figures_templates": FIGURES, **_masking(request, session),
    }  # fmt: skip
    return render(request, "transcripts_app/session.html", context)


@never_cache
@require_safe
def transcript_session_part(request: HttpRequest, key: str) -> HttpResponse:
    """A window (`?window=`), what folded away (`?notes=file:first:last`), what is new (`?since=&window=`)."""
    session = session_or_404(request, key)
    if "notes" in request.GET:
        return _notes(request, session)
    number = _number(request, "window")
    if "since" in request.GET:
        return _grown(request, session, number, _number(request, "since"))
    thread = thread_of(session)
    window = thread.window(number)
    if window is None:
        raise Http404("The session has no such window.")
    reader = Reader(session, asides="asides" in request.GET)
    context = {"session": session, "number": number, "rows": reader.window(window).rows}
    return render(request, "transcripts_app/_window.html", context)


def _grown(request: HttpRequest, session: Session, number: int, since: int) -> HttpResponse:
    """204 while nothing is new; else the last known window again, those behind it, and calls now answered."""
    known = lines_known(session)
    if known == since:
        return HttpResponse(status=204)
    thread = thread_of(session)
    reader = Reader(session, asides="asides" in request.GET)
    drawn = []
    elsewhere: list[int] = []
    for one in range(number, min(number + GROWN_MOST, thread.windows)):
        if window := thread.window(one):
            made = reader.window(window)
            drawn.append((one, made.rows))
            elsewhere += made.elsewhere
    records = list(Record.objects.filter(pk__in=elsewhere[-UPDATES_MOST:], session=session))
    context = {
        "session": session, "windows": drawn, "lines_known": known, "thread": thread,
        "updates": reader.draw(records).rows if records else [], "figures_templates": FIGURES,
        **_masking(request, session),
    }  # fmt: skip
    return render(request, "transcripts_app/_grown.html", context)


def _notes(request: HttpRequest, session: Session) -> HttpResponse:
    numbers = [landmarks.whole_number(text) for text in request.GET["notes"].split(":")]
    if len(numbers) != 3 or None in numbers:
        raise Http404("There is no such place.")
    file, first, last = cast(list[int], numbers)
    found = session.files.filter(pk=file).first()
    if found is None:
        raise Http404("The session has no such file.")
    rows = Reader(session).notes(found, first, last, asides="asides" in request.GET)
    return render(request, "transcripts_app/_rows.html", {"session": session, "rows": rows})


@never_cache
@require_safe
def transcript_agent(request: HttpRequest, key: str, file: int) -> HttpResponse:
    """A window of a sub-agent's transcript, as it shows below the call that started it."""
    session = session_or_404(request, key)
    found = agent_or_404(session, file)
    thread = thread_of_agent(session, found)
    number = min(_number(request, "window"), thread.windows - 1)
    opened = _opened_read(request.GET.get("open", ""))
    window = thread.window(number)
    rows = Reader(session, opened=opened).window(window).rows if window else []
    context = {
        "session": session, "file": found, "thread": thread, "number": number, "rows": rows,
        "opened": request.GET.get("open", "")[:200],
    }  # fmt: skip
    return render(request, "transcripts_app/_agent.html", context)


@never_cache
@require_safe
def transcript_jump(request: HttpRequest, key: str) -> HttpResponse:
    """Where the next prompt, error, file or compaction is: `?kind=&from=<record>&back=1`; 204 at the end."""
    session = session_or_404(request, key)
    kind, start = request.GET.get("kind", ""), landmarks.record_of(session, request.GET.get("from", ""))
    if kind not in landmarks.JUMPS or start is None:
        raise Http404("There is no such place.")
    thread = thread_of(session)
    asides = "asides" in request.GET
    found = landmarks.jump(thread, start, kind, back="back" in request.GET, asides=asides)
    if found is None:
        return HttpResponse(status=204)
    return JsonResponse({"record": found.pk, "window": thread.window_of(found)})


@never_cache
@require_safe
def transcript_outline(request: HttpRequest, key: str) -> HttpResponse:
    """Landmarks of a session: prompts, compactions, errors, files, things to do, sub-agents."""
    session = session_or_404(request, key)
    tab, text = request.GET.get("tab", ""), request.GET.get("text", "")[:200].replace("\0", "")
    context: dict[str, Any] = {"session": session, "tab": tab, "text": text}
    thread = thread_of(session)
    if tab == "files":
        context["files"] = landmarks.files_changed(session, text)
    elif tab == "todo":
        context["todo"] = landmarks.todo(session)
    elif tab == "agents":
        context["agents"] = landmarks.agents(session)
    else:
        after = _number(request, "after")
        found, more = landmarks.landmarks(thread, tab, text, after)
        for one in found:
            one["window"] = thread.window_of(Record(file_id=one["file"], line=one["line"]))
        context |= {
            "landmarks": found, "more": after + len(found) if more else 0,
            "asides": 0 if after or text else landmarks.asides_count(thread),
        }  # fmt: skip
    return render(request, "transcripts_app/_outline.html", context)


@require_safe
def transcript_record(request: HttpRequest, key: str, record: str) -> HttpResponse:
    """The permalink of a message, by its number here or its uuid: to the page, at that message."""
    session = session_or_404(request, key)
    found = landmarks.record_of(session, record)
    if found is None:
        raise Http404("The session has no such message.")
    where = reverse("transcript_session", args=[session.key])
    asides = "&asides=1" if found.is_aside else ""
    return HttpResponseRedirect(f"{where}?at={found.pk}{asides}#r{found.pk}")


@never_cache
@require_safe
def transcript_whole(request: HttpRequest, key: str, record: str) -> HttpResponse:
    """One record with nothing cut."""
    session = session_or_404(request, key)
    found = landmarks.record_of(session, record)
    if found is None:
        raise Http404("The session has no such message.")
    row = Reader(session).record(found)
    return render(request, "transcripts_app/_record.html", {"session": session, "row": row, "whole": True})


def _masking(request: HttpRequest, session: Session) -> dict[str, bool]:
    """What the buttons about masking need."""
    may = may_reveal(cast(User, request.user), session.project)
    return {"may_reveal": may, "revealed": may and is_revealed(request, session)}


def session_or_404(request: HttpRequest, key: str) -> Session:
    """Return a session that the visitor may see."""
    session = session_of(cast(User, request.user), key)
    if session is None:
        raise Http404("There is no such session, or you may not see it.")
    session_mask(request, session)
    return session


def agent_or_404(session: Session, file: int) -> TranscriptFile:
    """Return the file of one of a session's sub-agents."""
    found = session.files.filter(pk=min(file, NUMBER_MOST), role="agent").first()
    if found is None:
        raise Http404("The session has no such sub-agent.")
    return found


def _place(request: HttpRequest, session: Session, thread: Thread) -> landmarks.Place:
    if "at" in request.GET:
        record = landmarks.record_of(session, request.GET["at"])
        place = landmarks.place_of(session, record) if record else None
        if place is not None:
            return place
    if "end" in request.GET:
        return landmarks.Place(thread.windows - 1)
    return landmarks.Place(min(_number(request, "window"), thread.windows - 1))


def _number(request: HttpRequest, name: str) -> int:
    return landmarks.whole_number(request.GET.get(name, "")) or 0


def _opened_text(opened: dict[int, int]) -> str:
    return ",".join(f"{file}:{window}" for file, window in opened.items())


def _opened_read(text: str) -> dict[int, int]:
    pairs = [pair.partition(":")[::2] for pair in text[:200].split(",")]
    numbers = [(landmarks.whole_number(file), landmarks.whole_number(window)) for file, window in pairs]
    return {file: window for file, window in numbers if file is not None and window is not None}
