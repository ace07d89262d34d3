"""Whether a model fits: the truth table of reported starts, the sum in words, and what to stop."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.demand import Asked, Demand, Line, demand_of, utilization_rule
from models_app.fit import Running, fit, stop_choose
from models_app.room import GIB, room_of
from tests.support.memory_cases import CASES, LLAMA_8B, QWEN3_30B, Case, judge

RESERVE = 4 * GIB
# Starts that would have run and are refused all the same, each with the reason why that is accepted.
FALSE_REFUSALS = {
    "0.82 where vLLM saw 102 free": "the host would keep 1.9 GiB, less than the reserve",
    "0.87 with its vision part, weights known": "other vision models took this much more while they started",
}


@pytest.mark.parametrize("case", [case for case in CASES if not case.fits], ids=lambda case: case.name)
def test_what_did_not_fit_is_refused(case: Case) -> None:
    found = judge(case)
    assert found.verdict == "no", found
    assert found.sentence


@pytest.mark.parametrize("case", [case for case in CASES if case.fits], ids=lambda case: case.name)
def test_what_fitted_starts(case: Case) -> None:
    refused = judge(case).verdict == "no"
    assert refused is (case.name in FALSE_REFUSALS), judge(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_lines_are_the_sum(case: Case) -> None:
    found = judge(case)
    assert found.required_bytes == sum(line.bytes for line in found.demand if not line.within)
    assert all(line.label and line.source for line in (*found.demand, *found.room))


def test_sentences_name_need_and_room() -> None:
    def said(need: float) -> tuple[str, str]:
        demand = Demand((Line("Estimate", round(need * GIB), "the definition"),), "estimate")
        room = room_of({"host": {"memory_available_bytes": 80 * GIB}, "gpu": {"status": "none"}})
        found = fit(node="spark-1", demand=demand, room=room, reserve_bytes=RESERVE)
        return found.verdict, found.sentence

    assert said(45) == ("yes", "")
    assert said(73) == ("tight", "tight: 7 GiB remain on spark-1")
    assert said(78) == (
        "no",
        "needs 78 GiB; spark-1 has 80 GiB available, and 4 GiB stay reserved for the host",
    )
    assert said(90) == ("no", "needs 90 GiB; spark-1 has 80 GiB available")


def test_unknown_memory_and_unknown_need_are_said_and_not_invented() -> None:
    demand = Demand((Line("Estimate", GIB, "the definition"),), "estimate")
    silent = fit(node="spark-1", demand=demand, room=room_of(None), reserve_bytes=RESERVE)
    assert (silent.verdict, silent.can_start, silent.available_bytes) == ("unknown", True, None)
    assert "not checked" in silent.sentence
    room = room_of({"host": {"memory_available_bytes": GIB}, "gpu": {"status": "none"}})
    nothing = fit(node="spark-1", demand=Demand((), "unknown"), room=room, reserve_bytes=RESERVE)
    assert (nothing.verdict, nothing.required_bytes) == ("unknown", None)
    assert nothing.sentence == "no estimate of the memory it needs"


def test_what_is_promised_to_others_is_named() -> None:
    case = next(case for case in CASES if case.loading == 48.0)
    found = judge(case)
    assert "110 GiB available, of which 48 GiB are promised to other" in found.sentence
    assert any(line.label == "Promised to other" and line.bytes < 0 for line in found.room)


def test_page_cache_is_shown_and_a_flush_is_a_hint() -> None:
    case = next(case for case in CASES if case.source == "unsloth PR 10705")
    found = judge(case)
    assert found.reclaimable_bytes == 74 * GIB
    assert not any("drop_caches" in words for words in found.advice)  # 0.28 looks at MemAvailable
    older = judge(Case(**{**vars(case), "image": "vllm/vllm-openai:v0.20.0"}))
    assert any("drop_caches" in words for words in older.advice)


def test_the_share_says_what_lies_within_it() -> None:
    case = next(case for case in CASES if case.name == "4-bit weights with a bf16 estimate")
    within = {line.label: line for line in judge(case).demand if line.within}
    assert within["Weights"].bytes == round(16.9 * GIB)
    assert "sequences of 65,536 tokens" in within["KV cache"].source


def test_a_share_that_is_too_small_names_the_remedy() -> None:
    found = judge(next(case for case in CASES if case.name.startswith("a share too small")))
    assert "raise gpu_memory_utilization to" in found.sentence
    assert found.stop == ()


def test_the_utilization_rule_is_the_measured_one() -> None:
    gib = [round(value * GIB) for value in (29.7, 32.4, 121.69)]
    assert utilization_rule(*gib) == 0.24
    assert utilization_rule(round(46.5 * GIB), 116 * GIB, round(121.69 * GIB)) == 0.38


def test_a_fitting_share_is_advised_and_not_applied() -> None:
    settings = {"gpu_memory_utilization": 0.85, "max_model_len": 65536, "max_num_seqs": 4}
    case = Case("x", True, "x", 116.0, settings=settings, weights=16.9, config=QWEN3_30B)
    (words,) = judge(case).advice
    assert "gpu_memory_utilization: 0.39" in words
    assert "kv_cache_memory_bytes: " in words


def test_without_a_gpu_the_host_is_the_measure() -> None:
    report: dict[str, Any] = {
        "host": {"memory_available_bytes": 16 * GIB, "memory_total_bytes": 24 * GIB},
        "gpu": {"status": "none", "unified_memory": False},
        "gpus": [],
    }
    answer = {"status": "ok", "weights_bytes": 2 * GIB, "files": 1, "kind": "safetensors", "config": LLAMA_8B}
    asked = Asked("vllm", {"max_model_len": 8192}, weights=answer)
    found = fit(
        node="n", demand=demand_of(asked, room_of(report)), room=room_of(report), reserve_bytes=RESERVE
    )
    assert [line.label for line in found.demand] == ["Weights", "KV cache", "Overhead"]
    assert found.verdict == "yes"


def running(name: str, gib: float, **more: Any) -> Running:
    return Running(name, name, round(gib * GIB), **more)


@pytest.mark.parametrize(
    ("rows", "short", "names"),
    [
        ([running("a", 40), running("b", 20)], 15, {"b"}),
        ([running("a", 40), running("b", 20)], 30, {"a"}),
        ([running("a", 40), running("b", 20)], 50, {"a", "b"}),
        ([running("a", 40), running("b", 20)], 70, set()),
        ([running("a", 20, pinned=True), running("b", 60)], 10, {"b"}),
        ([running("a", 20, pinned=True), running("b", 60)], 70, {"a", "b"}),
        ([running("a", 20, priority=5), running("b", 60)], 10, {"b"}),
        ([running("a", 20, priority=5), running("b", 10, priority=-1)], 15, {"a"}),
        ([running("old", 20, age_seconds=900), running("new", 20, age_seconds=9)], 15, {"new"}),
        ([running(str(place), 10) for place in range(14)], 25, {"0", "1", "2"}),
        ([], 5, set()),
        ([running("a", 40)], 0, set()),
    ],
)
def test_what_to_stop(rows: list[Running], short: float, names: set[str]) -> None:
    assert {row.name for row in stop_choose(rows, round(short * GIB))} == names
