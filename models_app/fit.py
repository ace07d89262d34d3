"""Will it fit: what a start takes against what its node has left, line by line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from models_app.demand import Demand, Line
from models_app.room import GIB, Room

# Beside each other on a node; more are tried one after the other instead of all together.
TOGETHER_MOST = 12
CARD_TIGHT_BYTES = GIB


@dataclass(frozen=True)
class Claim:
    """Memory that a launch which is still loading was promised and does not hold yet."""

    launch: str
    name: str
    bytes: int


@dataclass(frozen=True)
class Running:
    """A live launch that could be stopped, and what that would give back."""

    launch: str
    name: str
    bytes: int
    priority: int = 0
    pinned: bool = False
    age_seconds: float = 0.0


@dataclass(frozen=True)
class Fit:
    """The answer. verdict: yes, tight (it starts, little remains), no, unknown (it starts unchecked).

    `demand` and `room` are the two sides of the sum; `room` begins with what is
    there and goes on with what is taken off it. Bytes are per card where `cards`
    is not 0. `short_bytes` is what is missing.
    """

    verdict: str
    node: str
    demand: tuple[Line, ...] = ()
    room: tuple[Line, ...] = ()
    required_bytes: int | None = None
    available_bytes: int | None = None
    remaining_bytes: int | None = None
    reclaimable_bytes: int | None = None
    short_bytes: int = 0
    cards: int = 0
    basis: str = "unknown"
    sentence: str = ""
    advice: tuple[str, ...] = ()
    stop: tuple[Running, ...] = ()

    @property
    def can_start(self) -> bool:
        return self.verdict != "no"


def fit(*, node: str, demand: Demand, room: Room, reserve_bytes: int, claims: Sequence[Claim] = ()) -> Fit:
    """Compare. The reserve is kept for the host; cards are used to the end."""
    available = _available(demand, room)
    common = {"node": node, "demand": demand.lines, "basis": demand.basis, "advice": demand.advice,
              "reclaimable_bytes": None if room.cards else room.reclaimable_bytes}  # fmt: skip
    required = demand.total_bytes
    if available is None:
        sentence = f"{node} has not reported its memory; the start is not checked"
        return Fit("unknown", required_bytes=required, sentence=sentence, **common)  # type: ignore[arg-type]
    reserve = 0 if room.cards else reserve_bytes
    lines = _room_lines(node, available, reserve, claims, room)
    left = available - sum(claim.bytes for claim in claims)
    sides = {**common, "room": lines, "available_bytes": left, "cards": demand.cards if room.cards else 0}
    if required is None:
        return Fit("unknown", sentence="no estimate of the memory it needs", **sides)  # type: ignore[arg-type]
    remaining = left - required
    verdict, sentence = _verdict(node, demand, left, remaining, reserve, bool(room.cards), claims)
    return Fit(
        verdict,
        required_bytes=required,
        remaining_bytes=remaining,
        short_bytes=max(0, reserve - remaining),
        sentence=sentence,
        **sides,  # type: ignore[arg-type]
    )


def _available(demand: Demand, room: Room) -> int | None:
    if not room.cards:
        return room.available_bytes
    if demand.cards:
        return min(card.free_bytes for card in room.cards_used(demand.cards))
    return sum(card.free_bytes for card in room.cards)


def _room_lines(
    node: str, available: int, reserve: int, claims: Sequence[Claim], room: Room
) -> tuple[Line, ...]:
    what = "free on the cards it would use" if room.cards else "MemAvailable"
    lines = [Line(f"Available on {node}", available, what)]
    if room.reclaimable_bytes and not room.cards:
        words = "the kernel drops it when the memory is needed"
        lines.append(Line("Of it page cache", room.reclaimable_bytes, words, within=True))
    lines += [Line(f"Promised to {claim.name}", -claim.bytes, "it is still starting") for claim in claims]
    if reserve:
        lines.append(Line("Reserve", -reserve, "stays for the host"))
    return tuple(lines)


def _verdict(
    node: str,
    demand: Demand,
    left: int,
    remaining: int,
    reserve: int,
    on_cards: bool,
    claims: Sequence[Claim],
) -> tuple[str, str]:
    if demand.problem:
        return "no", demand.problem
    per_card = " on each card" if on_cards and demand.cards > 1 else ""
    if remaining < reserve:
        claimed = sum(claim.bytes for claim in claims)
        needs, has = _gib(left - remaining), _gib(left + claimed)
        sentence = f"needs {needs} GiB{per_card}; {node} has {has} GiB available{per_card}"
        if claims:
            names = " and ".join(claim.name for claim in claims)
            sentence += f", of which {_gib(claimed)} GiB are promised to {names}"
        if remaining >= 0:
            sentence += f", and {_gib(reserve)} GiB stay reserved for the host"
        return "no", sentence
    if remaining < (CARD_TIGHT_BYTES if on_cards else 2 * reserve):
        return "tight", f"tight: {_gib(remaining)} GiB remain on {node}{per_card}"
    return "yes", ""


def _gib(amount: int) -> str:
    return f"{round(amount / GIB, 1):g}"


def stop_choose(running: Sequence[Running], short_bytes: int) -> tuple[Running, ...]:
    """Return the launches whose end gives enough back; none where even all would not do.

    Unpinned before pinned, lowest priority first; among those as few as possible,
    then what frees least beyond the need, then the newest.
    """
    if short_bytes <= 0:
        return ()
    ranks = sorted({(row.pinned, row.priority) for row in running})
    for rank in ranks:
        allowed = [row for row in running if (row.pinned, row.priority) <= rank]
        if sum(row.bytes for row in allowed) >= short_bytes:
            return _smallest(allowed, short_bytes)
    return ()


def _smallest(allowed: list[Running], short_bytes: int) -> tuple[Running, ...]:
    if len(allowed) > TOGETHER_MOST:
        return _one_by_one(allowed, short_bytes)
    for count in range(1, len(allowed) + 1):
        enough = [chosen for chosen in combinations(allowed, count) if _sum(chosen) >= short_bytes]
        if enough:
            return min(enough, key=lambda chosen: (_sum(chosen), sum(row.age_seconds for row in chosen)))
    return ()


def _one_by_one(allowed: list[Running], short_bytes: int) -> tuple[Running, ...]:
    chosen: list[Running] = []
    for row in sorted(allowed, key=lambda row: -row.bytes):
        if _sum(chosen) < short_bytes:
            chosen.append(row)
    return tuple(chosen)


def _sum(rows: Sequence[Running]) -> int:
    return sum(row.bytes for row in rows)
