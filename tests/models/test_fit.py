"""Whether a model fits: the sum, in words, on unified memory and on cards."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.fit import GIB, available_bytes, memory_check


def report(
    available_gib: float, unified: bool = True, gpus: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "host": {"memory_available_bytes": int(available_gib * GIB)},
        "gpu": {"status": "ok", "unified_memory": unified},
        "gpus": gpus or [],
    }


def test_unified_memory_is_measured_by_mem_available() -> None:
    assert available_bytes(report(80)) == 80 * GIB


def test_cards_are_measured_by_their_free_memory() -> None:
    cards = [{"memory_total_bytes": 24 * GIB, "memory_used_bytes": 4 * GIB}] * 2
    assert available_bytes(report(80, unified=False, gpus=cards)) == 40 * GIB


def test_cards_without_figures_fall_back_to_the_host() -> None:
    cards = [{"memory_total_bytes": None, "memory_used_bytes": None}]
    assert available_bytes(report(80, unified=False, gpus=cards)) == 80 * GIB


@pytest.mark.parametrize(
    ("required", "can_start", "words"),
    [
        (45, True, None),
        (73, True, "tight: 7 GiB remain"),
        (78, False, "needs 78 GiB; spark-1 has 80 GiB available, and 4 GiB stay reserved"),
        (90, False, "needs 90 GiB; spark-1 has 80 GiB available"),
    ],
)
def test_verdicts(required: float, can_start: bool, words: str | None) -> None:
    check = memory_check(node="spark-1", required_gb=required, report=report(80), reserve_gb=4)
    assert check.can_start is can_start
    assert (words or "") in (check.warning or check.error or "")


def test_unknown_memory_is_said_and_not_invented() -> None:
    check = memory_check(node="spark-1", required_gb=45, report=None, reserve_gb=4)
    assert (check.can_start, check.available_gb) == (True, None)
    assert "not checked" in (check.warning or "")


def test_a_missing_estimate_is_said() -> None:
    check = memory_check(node="spark-1", required_gb=None, report=report(80), reserve_gb=4)
    assert check.can_start
    assert check.warning == "no estimate of the memory it needs"
