"""Which waiting runs may begin: fair between users, within every limit."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_app.fair_queue import Call, Limits, next_runs


def call(uid: str, user: int = 1, waits: float = 0.0, **fields: Any) -> Call:
    defaults: dict[str, Any] = {
        "tool": "code",
        "tool_limit": 100,
        "session": None,
        "node": "n",
        "memory_bytes": 10,
    }
    return Call(uid=uid, user=user, waits_seconds=waits, **{**defaults, **fields})


WIDE = Limits(user_runs=100, node_runs=100)


def test_the_oldest_comes_first() -> None:
    assert next_runs([call("a", waits=1), call("b", waits=2)], [], WIDE) == ["b", "a"]


def test_whoever_has_least_comes_first() -> None:
    waiting = [call(f"a{n}", 1, 100 - n) for n in range(4)] + [call("b0", 2, 1), call("c0", 3, 0.5)]
    assert next_runs(waiting, [], Limits(100, 4)) == ["a0", "b0", "c0", "a1"]


def test_one_that_floods_leaves_room_for_others() -> None:
    running = [call(f"r{n}", 1) for n in range(7)]
    waiting = [call(f"a{n}", 1, 100) for n in range(50)] + [call("b", 2, 0)]
    assert next_runs(waiting, running, Limits(100, 8)) == ["b"]


@pytest.mark.parametrize(
    ("limits", "fields", "expected"),
    [
        (Limits(2, 100), {}, 2),
        (Limits(100, 3), {}, 3),
        (WIDE, {"tool_limit": 1}, 1),
        (WIDE, {"session": 5}, 1),
        (Limits(100, 100, {"n": 25}), {}, 2),
        (Limits(100, 100, {"other": 0}), {}, 5),
    ],
)
def test_each_limit_holds(limits: Limits, fields: Any, expected: int) -> None:
    waiting = [call(f"a{n}", waits=9 - n, **fields) for n in range(5)]
    assert len(next_runs(waiting, [], limits)) == expected


def test_memory_is_promised_until_a_run_has_begun() -> None:
    limits = Limits(100, 100, {"n": 15})
    assert next_runs([call("a")], [call("r")], limits) == []
    assert next_runs([call("a")], [call("r", begun=True)], limits) == ["a"]


def test_a_large_run_lets_small_ones_pass_for_a_while_only() -> None:
    limits = Limits(100, 100, {"n": 15})
    small = call("small", waits=1)
    assert next_runs([call("large", waits=5, memory_bytes=20), small], [], limits) == ["small"]
    assert next_runs([call("large", waits=60, memory_bytes=20), small], [], limits) == []
    elsewhere = call("elsewhere", waits=1, node="m")
    assert next_runs([call("large", waits=60, memory_bytes=20), elsewhere], [], limits) == ["elsewhere"]
