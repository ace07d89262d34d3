"""What filled the context window, response by response. No Django here.

Only totals are told by the API: input + cache read + cache write tokens of each response. They are
split by the characters of what the transcript shows to have come since; that split is an estimate,
and each response's parts add up to the API's own total exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

SYSTEM = "system"  # system prompt, tools, memory files: what the first response held beside its prompt
UNSEEN = "unseen"  # more tokens than the transcript shows characters
THINKING = "thinking"
SUMMARY = "summary"
CHARACTERS_PER_TOKEN = 4
RESULT = "result:"  # then the tool's name


@dataclass(slots=True)
class Piece:
    """A record as the window sees it. `parts`: characters by what they are; `response`: its answer's id."""

    record: int
    at_ms: int | None = None
    parts: dict[str, int] = field(default_factory=dict)
    response: int | None = None
    is_boundary: bool = False  # of a compaction


@dataclass(slots=True)
class Turn:
    """One response. `window` is the API's own number; `parts` (estimated) add up to it exactly."""

    record: int
    at_ms: int | None
    window: int
    parts: dict[str, int]
    added: dict[str, int]
    dropped: int = 0
    is_compacted: bool = False  # since the response before


def turns(pieces: Iterable[Piece], windows: Mapping[int, int]) -> Iterator[Turn]:
    """Yield a turn for each response of `windows` (id to tokens of its input side), in order."""
    held: dict[str, int] = {}
    waiting: dict[str, int] = {}
    met: set[int] = set()
    boundary = False
    for piece in pieces:
        if piece.is_boundary:
            boundary, waiting = True, {}
        window = windows.get(piece.response, 0) if piece.response is not None else 0
        if window > 0 and piece.response not in met:
            met.add(piece.response or 0)
            turn = _turn(piece, window, held, waiting, boundary, first=len(met) == 1)
            held, waiting, boundary = turn.parts, {}, False
            yield turn
        for name, characters in piece.parts.items():
            waiting[name] = waiting.get(name, 0) + characters


def shared(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split a whole number by weights; the parts add up to it exactly (largest remainder)."""
    whole = sum(weights.values())
    if total <= 0 or whole <= 0:
        return {}
    parts = {name: total * weight // whole for name, weight in weights.items() if weight > 0}
    left = total - sum(parts.values())
    by_rest = sorted(parts, key=lambda name: (-(total * weights[name] % whole), name))
    for name in by_rest[:left]:
        parts[name] += 1
    return {name: part for name, part in parts.items() if part}


def _turn(
    piece: Piece, window: int, held: dict[str, int], waiting: dict[str, int], boundary: bool, *, first: bool
) -> Turn:
    if first:
        added = shared(min(window, _estimate(waiting)), waiting)
        system = window - sum(added.values())
        parts = added | ({SYSTEM: system} if system else {})
        return Turn(piece.record, piece.at_ms, window, parts, dict(parts))
    before = sum(held.values())
    if boundary:
        system = min(held.get(SYSTEM, 0), window)
        added = _explained(window - system, waiting)
        parts = added | ({SYSTEM: system} if system else {})
        return Turn(piece.record, piece.at_ms, window, parts, added, max(0, before - system), True)
    delta = window - before
    if delta >= 0:
        added, kept, dropped = _explained(delta, waiting), held, 0
    else:
        new = min(window, _estimate(waiting))
        added, dropped = shared(new, waiting), new - delta
        kept = _dropped(held, dropped)
    return Turn(piece.record, piece.at_ms, window, _sum(kept, added), added, dropped)


def _explained(tokens: int, waiting: dict[str, int]) -> dict[str, int]:
    """Split what came by characters; a token holds at least one, so what is beyond them was not seen."""
    known = min(tokens, sum(waiting.values()))
    added = shared(known, waiting)
    if tokens > known:
        added[UNSEEN] = tokens - known
    return added


def _dropped(held: dict[str, int], tokens: int) -> dict[str, int]:
    """Take tokens away: thinking goes first, as the API drops that of earlier turns; the system last."""
    kept = dict(held)
    for names in ((THINKING,), tuple(name for name in held if name not in (THINKING, SYSTEM)), (SYSTEM,)):
        weights = {name: kept[name] for name in names if kept.get(name, 0) > 0}
        taken = shared(min(tokens, sum(weights.values())), weights)
        for name, part in taken.items():
            kept[name] -= part
        tokens -= sum(taken.values())
    return {name: part for name, part in kept.items() if part}


def _estimate(waiting: Mapping[str, int]) -> int:
    return sum(waiting.values()) // CHARACTERS_PER_TOKEN


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}
