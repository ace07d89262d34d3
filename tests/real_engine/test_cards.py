"""Failures of the real vLLM become cards, and their corrections start a launch that becomes ready."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.real_engine.house import READY_SECONDS, Eyes, complete, failed
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.real_engine

SLOW = READY_SECONDS * 1000


def card_of(stack: Stack, uid: str) -> dict[str, Any]:
    return stack.get(f"/api/launches/{uid}/failure/")["failure"]  # type: ignore[no-any-return]


def length_served(stack: Stack, uid: str) -> int:
    """The context length that the engine itself says it has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.member(uid)['port']}/v1/models") as answer:
        return int(json.load(answer)["data"][0]["max_model_len"])


def ended(stack: Stack, uid: str) -> None:
    stack.call("POST", f"/api/launches/{uid}/stop/")
    stack.wait_state(uid, "stopped")
    wait_for(lambda: not stack.containers(), "no container is left")


def test_too_long_a_context_is_corrected_in_one_click(stack: Stack, eyes: Eyes, real_image: str) -> None:
    uid = failed(stack, "long", real_image, max_model_len=10_000_000)["uid"]
    assert "max_model_len" in stack.launch(uid)["failure_reason"]
    assert stack.member(uid)["exit_code"] == 1
    page = eyes.open(f"/launches/{uid}/")
    expect(page.locator("[data-failure=context_too_long]")).to_be_visible()
    expect(page.locator(".evidence")).to_contain_text("User-specified max_model_len (10000000) is greater")
    expect(page.locator(".diff .less")).to_have_text("- max_model_len: 10000000")
    expect(page.locator(".diff .more")).to_have_text("+ max_model_len: 32768")
    eyes.look("launch-failure-card")
    page.get_by_role("button", name="Start again with this change").click()
    page.wait_for_url(lambda address: "/launches/" in address and uid not in address)
    corrected = page.url.rstrip("/").rpartition("/")[2]
    expect(page.locator("[data-member-now] .badge-state")).to_have_text("Ready", timeout=SLOW)
    launch = stack.launch(corrected)
    assert (launch["settings_overlay"], launch["corrects"]) == ({"max_model_len": 32768}, uid)
    assert length_served(stack, corrected) == 32768
    assert stack.get("/api/definitions/long/")["settings"]["max_model_len"] == 10_000_000
    ended(stack, corrected)


def test_too_small_a_cache_is_corrected_to_the_length_that_vllm_names(stack: Stack, real_image: str) -> None:
    """The image gives each engine 1 GiB for its KV cache."""
    long = {"max_model_len": 65536, "hf_overrides": {"max_position_embeddings": 65536}}
    uid = failed(stack, "small-cache", real_image, model="/models/smollm2", **long)["uid"]
    card = card_of(stack, uid)
    assert card["kind"] == "kv_cache"
    assert "estimated maximum model length is" in card["evidence"]
    (change,) = card["changes"]
    assert (change["name"], change["before"]) == ("max_model_len", 65536)
    assert 8192 < change["after"] < 65536
    status, launch = stack.call("POST", f"/api/launches/{uid}/correct/", {})
    assert status == 202, launch
    stack.wait_state(launch["uid"], "ready", "failed", seconds=READY_SECONDS)
    assert length_served(stack, launch["uid"]) == change["after"]
    assert complete(stack.member(launch["uid"])["port"], "small-cache", "The capital of France is")
    ended(stack, launch["uid"])


def test_too_small_shared_memory_is_corrected_to_the_hosts(stack: Stack, eyes: Eyes, real_image: str) -> None:
    launch = failed(stack, "shm", real_image, shm_size=...)
    uid, reason = launch["uid"], launch["failure_reason"]
    assert "exited with code 1: RuntimeError: Insufficient space in /dev/shm" in reason
    expect(eyes.open(f"/launches/{uid}/").locator(".evidence")).to_contain_text("Increase /dev/shm")
    eyes.look("launch-failed")
    card = card_of(stack, uid)
    assert card["kind"] == "shm"
    assert "Insufficient space in /dev/shm" in card["evidence"]
    assert {change["name"]: change["after"] for change in card["changes"]} == {"ipc": "host"}
    status, launch = stack.call("POST", f"/api/launches/{uid}/correct/", {})
    assert status == 202, launch
    stack.wait_state(launch["uid"], "ready", "failed", seconds=READY_SECONDS)
    difference = stack.get(f"/api/launches/{launch['uid']}/comparison/")["comparison"]
    assert difference is None, "it was never ready before"
    ended(stack, launch["uid"])
