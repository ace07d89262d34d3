"""When the guardian acts, on whom, and when not: readings and a plan in, a verdict out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweb.guardian.decide import (
    BELOW_FLOOR,
    FALLING,
    KILL,
    NOTHING_LEFT,
    SPARE,
    STALLED,
    Floors,
    Past,
    Reading,
    Verdict,
    Victim,
    decide,
    floors_of,
    interval_seconds,
    past_after,
    past_seen,
)
from sparkweb.guardian.words import sentence

GIB = 2**30
FLOORS = Floors(3 * GIB, int(1.5 * GIB), 3.0)


def victim(key: str, kind: str = "start", started_at: float = 0.0, **fields: object) -> Victim:
    return Victim(key, kind, f"model-{key}", key * 8, started_at, **fields)  # type: ignore[arg-type]


def series(*gibibytes: float, step: float = 0.1, stall: float | None = None) -> list[Reading]:
    """Readings `step` seconds apart; the last at second 1000."""
    began = 1000.0 - step * (len(gibibytes) - 1)
    return [Reading(began + step * n, int(value * GIB), stall) for n, value in enumerate(gibibytes)]


OLD = victim("a", started_at=100)
NEW = victim("b", started_at=200)
RUN = victim("c", "sandbox", 300)
LOAD = victim("d", "download", 400)
READY = victim("e", "ready", 500)
EVERYTHING = (READY, LOAD, RUN, OLD, NEW)

TABLE = [
    ("plenty", series(60, 60, 60), EVERYTHING, None),
    ("tight and steady: a good configuration stays", series(3.4, 3.4, 3.4, 3.4), EVERYTHING, None),
    ("one reading below is a glitch", series(9, 9, 2.9), EVERYTHING, None),
    ("below: the newest start", series(4, 2.9, 2.9), EVERYTHING, ("b", BELOW_FLOOR)),
    ("no start: the sandbox", series(2.9, 2.9), (READY, LOAD, RUN), ("c", BELOW_FLOOR)),
    ("then downloads", series(2.9, 2.9), (READY, LOAD), ("d", BELOW_FLOOR)),
    ("ready ones stay between the floors", series(2.9, 2.9), (READY,), None),
    ("ready ones below the lower floor", series(1.4, 1.4), (READY,), ("e", BELOW_FLOOR)),
    ("a start goes before a ready one even there", series(1.4, 1.4), (READY, OLD), ("a", BELOW_FLOOR)),
    ("once below the lower floor is no more than below", series(2.9, 1.4), (READY,), None),
    ("falls fast towards the lower floor", series(6.4, 5.4, 4.4, step=1), (OLD,), ("a", FALLING)),
    ("falls fast, and there is still room", series(30, 20, 10, step=1), (OLD,), None),
    ("falls slowly", series(5.2, 5.1, 5.0, step=1), (OLD,), None),
    ("fell and has stopped", series(8, 4, 4, step=1), (OLD,), None),
    ("a fall is no reason for a ready one", series(6.4, 5.4, 4.4, step=1), (READY,), None),
    ("stalls near the floor", series(5, 5, stall=30), (OLD,), ("a", STALLED)),
    ("stalls with memory left are the disk's", series(50, 50, stall=90), (OLD,), None),
    ("stalls little", series(5, 5, stall=10), (OLD,), None),
    ("nothing was read", [], EVERYTHING, None),
    ("unknown classes are nobody's business", series(2.9, 2.9), (victim("x", "host"),), None),
]


@pytest.mark.parametrize(
    ("readings", "victims", "wanted"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_table(readings: list[Reading], victims: tuple[Victim, ...], wanted: tuple[str, str] | None) -> None:
    verdict = decide(readings, victims, FLOORS, Past())
    told = (verdict.victim.key, verdict.cause) if verdict and verdict.victim else None
    assert told == wanted


def test_ready_ones_go_by_priority_pinned_last() -> None:
    rows = [
        victim("a", "ready", 1, priority=5),
        victim("b", "ready", 2, priority=-1, pinned=True),
        victim("c", "ready", 3),
        victim("d", "ready", 4),
        victim("e", "ready", 5, priority=9, pinned=True),
    ]
    order, past = [], Past()
    while (verdict := decide(series(1, 1), rows, FLOORS, replace(past, acted_at=0.0))) and verdict.victim:
        order.append(verdict.victim.key)
        past = past_after(past, verdict, 0.0)
    assert order == ["d", "c", "a", "b", "e"]
    assert verdict == Verdict(NOTHING_LEFT, BELOW_FLOOR)


def test_protect_ready_only_tells_and_tells_once() -> None:
    floors, past = replace(FLOORS, protect_ready=True), Past()
    verdict = decide(series(1, 1), (READY,), floors, past)
    assert verdict == Verdict(SPARE, BELOW_FLOOR, READY)
    past = past_after(past, verdict, 1000.0)
    assert decide(series(1, 1), (READY,), floors, past) is None
    # A start is still ended; and the next shortage is told again.
    assert decide(series(1, 1), (READY, OLD), floors, past).victim == OLD  # type: ignore[union-attr]
    past = past_seen(past, Reading(1001.0, 3 * GIB), floors)
    assert decide(series(1, 1), (READY,), floors, past) is None
    past = past_seen(past, Reading(1002.0, 4 * GIB), floors)
    assert decide(series(1, 1), (READY,), floors, past) == verdict


@pytest.mark.parametrize(
    ("since", "readings", "acts"),
    [
        (1.0, series(2.0, 2.0), False),  # what was ended may still give its memory back
        (3.5, series(2.0, 2.0), True),
        (10.0, series(2.0, 2.5), False),  # and does so
        (16.0, series(2.0, 2.5), True),
        (0.5, series(1.0, 1.0), False),
        (1.5, series(1.0, 1.0), True),  # below the lower floor there is no time for that
        (10.0, series(5.0, 5.0, stall=40), False),  # the stall figure is an average over ten seconds
        (25.0, series(5.0, 5.0, stall=40), True),
    ],
)
def test_next_victim_only_when_the_last_did_not_help(
    since: float, readings: list[Reading], acts: bool
) -> None:
    past = Past(acted_at=1000.0 - since, dealt_with=frozenset({"b"}))
    verdict = decide(readings, (OLD, NEW), FLOORS, past)
    assert (verdict is not None) is acts
    if verdict:
        assert verdict.victim == OLD


def test_looks_faster_when_it_gets_close() -> None:
    assert interval_seconds([], FLOORS) == 1.0
    assert interval_seconds(series(60, 60, step=1), FLOORS) == 1.0
    assert interval_seconds(series(5, 5, step=1), FLOORS) == 0.1
    assert interval_seconds(series(14, 10, step=1), FLOORS) == 0.1


@pytest.mark.parametrize(
    ("total_gib", "floor_mb", "lower_mb", "wanted"),
    [
        (121.69, 0, 0, (3072, 1536)),
        (1024, 0, 0, (3072, 1536)),
        (64, 0, 0, (1638, 819)),
        (8, 0, 0, (256, 128)),
        (0, 0, 0, (256, 128)),
        (121.69, 5000, 0, (5000, 2500)),
        (121.69, 0, 500, (3072, 500)),
        (8, 0, 9000, (256, 256)),
    ],
)
def test_floors_by_size_of_the_machine(
    total_gib: float, floor_mb: int, lower_mb: int, wanted: tuple[int, int]
) -> None:
    floors = floors_of(int(total_gib * GIB), floor_mb, lower_mb, 3.0, False)
    assert (floors.floor_bytes >> 20, floors.lower_floor_bytes >> 20) == wanted


SENTENCES = [
    (Verdict(KILL, BELOW_FLOOR, OLD), series(2.2, 2.1),
     "stopped by the memory guardian: 2.1 GiB of memory were available, less than the floor of 3.0 GiB. "
     "It was the newest start"),
    (Verdict(KILL, FALLING, OLD), series(6, 5, 4, step=1),
     "1.0 GiB less each second, so the lower floor of 1.5 GiB was 3 s away at most"),
    (Verdict(KILL, STALLED, RUN), series(5, 5, stall=30),
     "everything waited for memory 30 % of the time. It was the newest run in the sandbox"),
    (Verdict(KILL, BELOW_FLOOR, READY), series(1, 1),
     "the lower floor of 1.5 GiB. It had the lowest priority of those that were ready (0)"),
    (Verdict(KILL, BELOW_FLOOR, replace(READY, pinned=True)), series(1, 1),
     "Every model left was pinned, and it had the lowest priority"),
    (Verdict(SPARE, BELOW_FLOOR, READY), series(1, 1), "model-e would have been the next to go"),
    (Verdict(NOTHING_LEFT, BELOW_FLOOR), series(0.5, 0.5),
     "512 MiB of memory were available, less than the floor of 3.0 GiB, and nothing of SparkWeb runs here"),
]  # fmt: skip


@pytest.mark.parametrize(("verdict", "readings", "words"), SENTENCES)
def test_sentences_name_figures_and_reason(verdict: Verdict, readings: list[Reading], words: str) -> None:
    assert words in sentence(verdict, readings, FLOORS)


# Whatever comes ------------------------------------------------------------------

VICTIMS = st.lists(
    st.builds(
        Victim,
        key=st.integers(0, 12).map(str),
        kind=st.sampled_from(["start", "sandbox", "download", "ready", "foreign"]),
        name=st.just("m"),
        container_id=st.just("c"),
        started_at=st.floats(0, 1e9),
        priority=st.integers(-1000, 1000),
        pinned=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda one: one.key,
)
LEVELS = st.lists(
    st.tuples(st.floats(0, 12), st.none() | st.floats(0, 100), st.sampled_from([0.1, 1.0])),
    min_size=1,
    max_size=80,
)


@given(levels=LEVELS, victims=VICTIMS, protect=st.booleans())
def test_never_a_stranger_never_twice_never_too_soon(
    levels: list[tuple[float, float | None, float]], victims: list[Victim], protect: bool
) -> None:
    """A whole story: readings one after another, acts carried out between them."""
    floors = replace(FLOORS, protect_ready=protect)
    past, readings, at, killed, told = Past(), [], 0.0, [], 0
    for gibibytes, stall, step in levels:
        at += step
        readings.append(Reading(at, int(gibibytes * GIB), stall))
        past = past_seen(past, readings[-1], floors)
        verdict = decide(readings, victims, floors, past)
        if verdict is None:
            continue
        assert readings[-1].available_bytes < floors.warning_bytes
        if verdict.action != KILL:
            told += 1
            assert readings[-1].available_bytes < floors.lower_floor_bytes
        else:
            chosen = verdict.victim
            assert chosen in victims and chosen.kind != "foreign"
            assert chosen.key not in [one.key for one, _ in killed]
            assert not killed or at - killed[-1][1] >= 1.0
            if chosen.kind == "ready":
                assert not protect
                assert [one.available_bytes < floors.lower_floor_bytes for one in readings[-2:]] == [
                    True,
                    True,
                ]
                assert not [one for one in victims if one.kind in ("start", "sandbox", "download")
                            and one.key not in past.dealt_with]  # fmt: skip
                assert all(
                    (chosen.pinned, chosen.priority) <= (one.pinned, one.priority)
                    for one in victims if one.kind == "ready" and one.key not in past.dealt_with
                )  # fmt: skip
            killed.append((chosen, at))
        past = past_after(past, verdict, at)
    rises = sum(1 for level, _, _ in levels if level * GIB >= floors.floor_bytes * 1.25)
    assert told <= rises + 1
