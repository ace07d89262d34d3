"""The main job on the real thing: a real vLLM with a real model, started from the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request

import docker
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import until
from tests.real_engine.house import READY_SECONDS, Eyes, catalogue, chat, define, failed
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.real_engine

SLOW = READY_SECONDS * 1000
# Notes each state that the launch's page shows, from the moment it is open.
NOTE_STATES = """() => {
  window.seenStates = [];
  const note = () => {
    const state = document.querySelector("[data-member-now]")?.dataset.state;
    if (state && state !== window.seenStates.at(-1)) window.seenStates.push(state);
  };
  note();
  new MutationObserver(note).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def states_entered(stack: Stack, uid: str) -> list[str]:
    """The states that a launch went through, in the order of its events."""
    events = stack.get(f"/api/launches/{uid}/events/?page_size=100")["results"]
    changes = [event for event in events if event["to_state"] and event["to_state"] != event["from_state"]]
    return [event["to_state"] for event in sorted(changes, key=lambda event: event["at"])]


def import_on_page(page: Page, stack: Stack, text: str) -> None:
    page.goto(stack.url + "/models/import/")
    page.fill("#id_text", text)
    page.get_by_role("button", name="Check").click()
    page.locator("#import-result").get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url(stack.url + "/models/")


def start_on_dashboard(page: Page, slug: str) -> str:
    """Press Start on the model's card and open its launch; the launch's uid."""
    card = page.locator(f"[data-definition='{slug}']")
    if not card.locator(".btn-start").is_visible():
        page.locator("details.idle-models > summary").click()
    card.locator(".btn-start").click()
    card.get_by_role("link", name="Log and details").click()
    page.wait_for_url("**/launches/*/")
    return page.url.rstrip("/").rpartition("/")[2]


def test_from_import_to_history(stack: Stack, eyes: Eyes, real_image: str) -> None:
    text = catalogue("smollm2", real_image, name="SmolLM2 135M", model="/models/smollm2")
    port = json.loads(text)["models"]["smollm2"]["port"]
    page = eyes.desk
    import_on_page(page, stack, text)
    expect(page.locator("[data-definition='smollm2']")).to_contain_text("SmolLM2 135M")
    eyes.look("models")

    eyes.open("/")
    expect(page.locator("[data-definition='smollm2']")).to_have_count(1)
    uid = start_on_dashboard(page, "smollm2")
    page.evaluate(NOTE_STATES)
    badge = page.locator("[data-member-now] .badge-state")
    log = page.locator("[data-log-lines]")
    expect(badge).to_have_text("Loading", timeout=SLOW)
    expect(log).to_contain_text("Starting to load model /models/smollm2", timeout=SLOW)
    eyes.look("launch-loading")
    expect(badge).to_have_text("Ready", timeout=SLOW)
    expect(log).to_contain_text("Application startup complete.")
    entered = states_entered(stack, uid)
    # Starting is passed over when the container runs before the node's next report; nothing is pulled here.
    assert [state for state in entered if state != "starting"] == ["requested", "loading", "ready"]
    assert entered.index("loading") == len(entered) - 2
    seen = page.evaluate("window.seenStates")
    assert seen[-2:] == ["loading", "ready"]
    assert seen == entered[-len(seen) :], "the page shows each state from the one it was opened in"
    eyes.look("launch-ready")

    assert "Paris" in chat(port, "smollm2", "What is the capital of France?")
    expect(log).to_contain_text('"POST /v1/chat/completions HTTP/1.1" 200 OK')
    eyes.open("/")
    card = page.locator("[data-definition='smollm2']")
    expect(card).to_have_attribute("data-state", "ready")
    expect(card.locator("[data-member-memory]")).to_have_text(re.compile(r"^[1-9][\d.]* GiB$"))
    until(page, "document.documentElement.dataset.lastDrawn !== undefined")
    eyes.look("dashboard-ready")

    card.get_by_role("link", name="Log and details").click()
    page.wait_for_url("**/launches/*/")
    page.evaluate(NOTE_STATES)
    page.get_by_role("button", name="Stop").click()
    page.locator("#confirm").get_by_role("button", name="Stop").click()
    expect(badge).to_have_text("Stopped", timeout=60_000)
    states = page.evaluate("window.seenStates")
    assert states in (["ready", "stopping", "stopped"], ["ready", "stopped"]), states
    assert states_entered(stack, uid)[-2:] == ["stopping", "stopped"]
    assert stack.member(uid)["exit_code"] == 0
    wait_for(lambda: not stack.containers(), "no container is left")
    eyes.look("launch-stopped")

    eyes.open("/launches/")
    expect(page.locator(f"tr[data-launch='{uid}']")).to_contain_text("Stopped")
    eyes.look("launches")
    eyes.open("/admin/models_app/launch/")
    expect(page.locator("#result_list")).to_contain_text("smollm2")
    eyes.look("admin-launches")
    page.get_by_role("link", name="smollm2").first.click()
    page.get_by_role("link", name="Launch events").click()
    expect(page.get_by_text("Ready: it answers and lists its model", exact=True)).to_be_visible()


def test_copied_docker_run_line_runs(stack: Stack, eyes: Eyes, real_image: str) -> None:
    define(stack, "copied", real_image)
    page = eyes.open("/models/copied/")
    page.locator("[data-copy]").first.click()
    expect(page.locator(".toast-item")).to_contain_text("Copied")
    line = page.evaluate("navigator.clipboard.readText()")
    environment = os.environ | {"DOCKER_HOST": stack.docker_host}
    run = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, (line, run.stderr)
    client = docker.DockerClient(base_url=stack.docker_host)
    container = client.containers.get(run.stdout.strip())
    try:
        port = int(re.search(r"127\.0\.0\.1:(\d+):8000", line)[1])  # type: ignore[index]
        wait_for(lambda: answers(port), "the engine answers", READY_SECONDS)
        assert chat(port, "copied", "hello")
        assert stack.launches()[0]["definition"] != "copied", "what is run by hand stays foreign"
    finally:
        container.remove(force=True)
        client.close()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# Failures, in the engine's own words -------------------------------------------


def test_flag_that_this_vllm_does_not_know(stack: Stack, docker_host: str, real_image: str) -> None:
    """The tag says 0.11, which had swap space; the vLLM inside is newer."""
    client = docker.DockerClient(base_url=docker_host)
    client.images.get(real_image).tag("vllm-mislabelled", "v0.11.0")
    try:
        launch = failed(stack, "flag", "vllm-mislabelled:v0.11.0", swap_space=4)
    finally:
        client.images.remove("vllm-mislabelled:v0.11.0")
        client.close()
    assert "unrecognized arguments: --swap-space 4" in launch["failure_reason"]
    assert stack.member(launch["uid"])["exit_code"] == 2
    card = stack.get(f"/api/launches/{launch['uid']}/failure/")["failure"]
    assert card["kind"] == "unknown_flag"
    assert [(change["name"], change["after"]) for change in card["changes"]] == [("swap_space", None)]


def test_unknown_image_is_not_given_flags_that_may_be_gone(stack: Stack, real_image: str) -> None:
    define(stack, "kept-out", real_image, swap_space=4)
    told = stack.get("/api/definitions/kept-out/docker-run/")
    assert "--swap-space" not in told["line"]
    assert any("swap_space is left out" in note for note in told["notes"])
