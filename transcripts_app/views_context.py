"""The context waterfall: what filled the window, turn by turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from transcripts_app.archive.models import TranscriptFile, moment
from transcripts_app.insight.columns import folded, label_of, parts_shown, picture
from transcripts_app.insight.waterfall import Turn
from transcripts_app.insight_pages import masked_session_or_404, number_of
from transcripts_app.selectors_context import agent_calls, files_read, waterfall

TURNS_SHOWN = 100
PARTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A turn as a row of the table. `came`: the largest of what was added since the turn before."""

    number: int
    turn: Turn
    at: datetime | None
    came: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part with what it held at one turn, and what was added of it over all turns."""

    label: str
    tone: str
    held: int
    percent: float
    added: int


@dataclass(frozen=True, slots=True)
class FileChoice:
    """A file whose window can be looked at: the session's, or a sub-agent's."""

    file: TranscriptFile
    label: str
    record: int | None  # of the call that started it


@never_cache
@require_safe
def transcript_context(request: HttpRequest, key: str) -> HttpResponse:
    """What filled the window of a session; `?file=` chooses a sub-agent's, `?turn=` a turn."""
    session, masks = masked_session_or_404(request, key)
    mask = masks.of(session.project)
    files = files_read(session)
    wanted = number_of(request.GET.get("file"))
    chosen = (
        next((file for file in files if file.pk == wanted), None) if wanted else (files[0] if files else None)
    )
    if wanted and chosen is None:
        raise Http404("There is no such sub-agent in this session.")
    calls = agent_calls(session)
    context: dict[str, object] = {"session": session, "file": chosen, "files": [
        FileChoice(file, mask.text(file_label(file)), calls[file.pk].record_id if file.pk in calls else None)
        for file in files
    ]}  # fmt: skip
    if chosen is not None:
        fall = waterfall(session, chosen)
        drawing = picture(fall.turns)
        number = min(max(1, number_of(request.GET.get("turn")) or len(fall.turns)), max(1, len(fall.turns)))
        page = number_of(request.GET.get("page")) or 1
        pages = max(1, -(-len(fall.turns) // TURNS_SHOWN))
        page = min(max(1, page), pages)
        start = (page - 1) * TURNS_SHOWN
        context |= {
            "fall": fall, "drawing": drawing, "height": 1000, "number": number, "page": page, "pages": pages,
            "turn": fall.turns[number - 1] if fall.turns else None,
            "turn_at": moment(fall.turns[number - 1].at_ms) if fall.turns else None,
            "parts": part_rows(fall.turns, number),
            "rows": [
                _row(number, turn)
                for number, turn in enumerate(fall.turns[start : start + TURNS_SHOWN], start + 1)
            ],
        }  # fmt: skip
    return render(request, "transcripts_app/context.html", context)


def file_label(file: TranscriptFile) -> str:
    """Return what a file is to a reader: the session, or which sub-agent."""
    if file.role == "session":
        return "The session itself"
    meta = file.meta if isinstance(file.meta, dict) else {}
    words = [str(meta.get("agentType") or "sub-agent"), str(meta.get("description") or file.agent_id)]
    return ": ".join(word[:80] for word in words if word)


def part_rows(turns: list[Turn], number: int) -> list[PartRow]:
    """Return what the window held at turn `number`, the largest first."""
    if not turns:
        return []
    shown = parts_shown(turns)
    tones = {band.name: band.tone for band in picture(turns).bands}
    added: Counter[str] = Counter()
    for turn in turns:
        added.update(folded(turn.added, shown))
    turn = turns[number - 1]
    held = folded(turn.parts, shown)
    rows = [
        PartRow(label_of(name), tones[name], held[name], 100 * held[name] / turn.window, added[name])
        for name in shown
    ]
    return sorted((row for row in rows if row.held or row.added), key=lambda row: -row.held)


def _row(number: int, turn: Turn) -> TurnRow:
    largest = sorted(turn.added.items(), key=lambda part: -part[1])[:PARTS_SHOWN]
    return TurnRow(number, turn, moment(turn.at_ms), [(label_of(name), tokens) for name, tokens in largest])
