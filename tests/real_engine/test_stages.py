"""A start of the real vLLM as it is seen: stages by its milestones, time to go, the log to its first line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from models_app.node.stages import milestone_of_line
from tests.real_engine.house import READY_SECONDS, Eyes, complete, define
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.real_engine

SLOW = READY_SECONDS * 1000
# Notes what the launch's page says of the way up, from the moment it is open: the step, and how far.
NOTE_STEPS = """() => {
  window.seenSteps = []; window.seenWords = [];
  const add = (list, word) => { if (word && word !== list.at(-1)) list.push(word); };
  const note = () => {
    add(window.seenSteps, document.querySelector(".stages li.now")?.textContent.trim());
    add(window.seenWords, document.querySelector("[data-progress-message]")?.textContent.trim());
  };
  note();
  new MutationObserver(note).observe(document.body,
    { subtree: true, childList: true, attributes: true, characterData: true });
}"""
STEPS = ["Image", "Container", "Loading", "Compiling", "Warm-up"]


def comes_in_order(seen: Iterable[str], known: Iterable[str]) -> bool:
    """Whether all that was seen is known, in this order; what came too fast may be missing."""
    rest = iter(known)
    return all(any(one == word for one in rest) for word in seen)


def opened(eyes: Eyes, uid: str) -> Page:
    page = eyes.open(f"/launches/{uid}/")
    page.evaluate(NOTE_STEPS)
    return page


def badge_of(page: Page) -> Locator:
    return page.locator("[data-member-now] .badge-state")


def log_lines(stack: Stack, uid: str) -> list[str]:
    """The whole log, as it is downloaded; each line begins with its time."""
    return str(stack.get(f"/api/launches/{uid}/log-file/")).splitlines()


def milestones(lines: Iterable[str]) -> list[str]:
    return [found.words for line in lines if (found := milestone_of_line(line))]


def test_stages_come_in_order_and_the_second_start_knows_its_time(
    stack: Stack, eyes: Eyes, real_image: str
) -> None:
    define(stack, "stages", real_image)
    first = stack.launch_start("stages")
    page = opened(eyes, first)
    expect(badge_of(page)).to_have_text("Ready", timeout=SLOW)
    steps, words = page.evaluate("[window.seenSteps, window.seenWords]")
    assert comes_in_order(steps, STEPS), steps
    assert "Loading" in steps
    told = milestones(log_lines(stack, first))
    by_engine = [word for word in words if word in told]
    assert by_engine and comes_in_order(by_engine, told), (words, told)

    (attempt,) = stack.launch(first)["attempts"]
    stages = {stage["name"]: stage for stage in attempt["stages"]}
    assert list(stages)[-2:] == ["load", "warmup"]
    assert all(stage["seconds"] > 0 for stage in stages.values())
    assert stack.launch(first)["time_to_go"] is None
    stack.call("POST", f"/api/launches/{first}/stop/")
    stack.wait_state(first, "stopped")

    second = stack.launch_start("stages")
    page = opened(eyes, second)
    to_go = page.locator("[data-to-go]")
    expect(to_go).to_have_text(re.compile("^About .* to go, by the one earlier start$"), timeout=SLOW)
    told_now = stack.launch(second)["time_to_go"]
    assert told_now["starts"] == 1
    load = next(row for row in told_now["stages"] if row["stage"] == "load")
    assert load["usual"]["median_seconds"] == stages["load"]["seconds"]
    eyes.look("launch-time-to-go")
    expect(badge_of(page)).to_have_text("Ready", timeout=SLOW)
    page.locator("details.stage-times > summary").click()
    row = page.locator("details.stage-times tr", has_text="Warm-up")
    expect(row.locator("td").nth(2)).to_have_text(re.compile("^about "))


def pages_back(stack: Stack, uid: str, count: int) -> list[dict[str, Any]]:
    """All lines by pages of `count`, from the newest back to the first; returned in order."""
    found: list[dict[str, Any]] = []
    before = ""
    while True:
        page = stack.get(f"/api/launches/{uid}/log-history/?count={count}{before}")
        assert len(page["lines"]) <= count
        found = page["lines"] + found
        if page["before_line"] is None:
            return found
        before = f"&before_line={page['before_line']}"


def test_its_log_is_paged_searched_and_kept_whole(stack: Stack, eyes: Eyes, real_image: str) -> None:
    define(stack, "logged", real_image)
    uid = stack.launch_start("logged")
    stack.wait_state(uid, "ready", "failed", seconds=READY_SECONDS)
    page = eyes.open(f"/launches/{uid}/")
    expect(page.locator("[data-log-lines]")).to_contain_text("Application startup complete.")
    page.get_by_label("Search the log").fill("kv cache size")
    expect(page.locator("[data-log-matches]")).to_have_text("1 of 1")
    assert complete(stack.member(uid)["port"], "logged", "one two")
    expect(page.locator("[data-log-lines]")).to_contain_text('"POST /v1/completions HTTP/1.1" 200 OK')
    stack.call("POST", f"/api/launches/{uid}/stop/")
    stack.wait_state(uid, "stopped")

    last = "Application shutdown complete."
    wait_for(lambda: any(last in line for line in log_lines(stack, uid)), "its last words are kept")
    wait_for(
        lambda: uid not in [one.labels["sparkweb.launch"] for one in stack.containers()],
        "its container is gone",
    )
    whole = log_lines(stack, uid)
    assert comes_in_order(["Loading the weights", "Started; answers soon"], milestones(whole))
    wait_for(lambda: len(pages_back(stack, uid, 25)) == len(whole), "all of it can be paged through")
    paged = pages_back(stack, uid, 25)
    assert [line["text"] for line in paged] == whole
    assert all(line["skipped"] is None for line in paged)
    (hit,) = stack.get(f"/api/launches/{uid}/log-search/?q=KV%20CACHE%20size")["hits"]
    assert hit == paged[hit["line"]]
    assert stack.get(f"/api/launches/{uid}/log-search/?q=no%20such%20words")["hits"] == []

    page = eyes.open(f"/launches/{uid}/")
    expect(page.locator(".log-line")).to_have_count(len(whole))
    page.get_by_label("Search the log").fill("kv cache size")
    page.get_by_role("button", name="Whole log").click()
    page.locator(".log-hit").click()
    expect(page.locator(".log-line.is-current")).to_contain_text("KV cache size")
    eyes.look("launch-log-found")
