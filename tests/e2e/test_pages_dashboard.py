"""The dashboard in Chromium, its socket played by the test."""

from __future__ import annotations

import gzip
import json
import time
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from metrics_app.models import Node
from sparkweb.accounts.models import User
from tests.e2e.browser import until
from tests.e2e.conftest import Opened, PlayedSocket
from tests.support import frames
from tests.support.verdict_data import card, judged

pytestmark = pytest.mark.browser

JAVASCRIPT_LIMIT_BYTES = 150_000


def play(
    socket: PlayedSocket, kind: str = "gb10", seq: int = 1, at: float | None = None, **changes: Any
) -> float:
    """Send one snapshot of the node; returns the time it says it was received."""
    now = at or time.time()
    socket.send(frames.snapshot("spark-1", frames.report(kind, now=now, **changes), seq, now))
    return now


def tile(page: Page, label: str) -> Any:
    return page.locator(".tile", has=page.get_by_text(label, exact=True))


def test_figures_move_with_each_snapshot(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    play(socket, gpus=[frames.gb10() | {"utilization_percent": 3}])
    expect(tile(page, "GPU utilisation").locator("[data-values]")).to_have_text("3%")
    play(socket, seq=2, at=time.time() + 1, gpus=[frames.gb10() | {"utilization_percent": 97}])
    expect(tile(page, "GPU utilisation").locator("[data-values]")).to_have_text("97%")
    drawn = json.loads(page.locator("html").get_attribute("data-last-drawn") or "{}")
    assert drawn["seq"] == 2
    assert drawn["drawn_at"] >= drawn["received_at"] - 1


def test_unknown_is_a_dash_with_its_reason_and_never_zero(
    house: Node, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer)
    unknown = frames.gb10() | {
        "utilization_percent": None,
        "power_watts": None,
        "why": {"utilization_percent": "stale", "fan_percent": "unsupported"},
    }
    play(socket, gpus=[unknown], at=time.time() + 1)
    value = tile(page, "GPU utilisation").locator(".tile-value > span").first
    expect(value).to_have_text("–")
    expect(value).to_have_attribute("title", "No fresh figure: the driver does not answer")
    fan = page.locator(".gpu-card [data-figure=fan_percent]")
    expect(fan).to_have_text("–")
    expect(fan).to_have_attribute("title", "Not reported by NVIDIA GB10")
    assert fan.get_attribute("tabindex") == "0"
    assert "0 %" not in page.locator(".gpu-card").inner_text()


def test_unified_memory_is_told_apart(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    play(socket)
    expect(tile(page, "GPU memory")).to_contain_text("46.2GiB")
    expect(tile(page, "GPU memory")).to_contain_text("held, of 122 GiB unified")
    expect(page.locator("[data-legend-gpu]")).to_be_visible()
    expect(page.locator(".gpu-card")).to_contain_text("sparkweb-qwen3-coder-30b-awq-1a2b3c4d-1")
    expect(page.locator("[data-part-of-node=host]")).to_contain_text("cache, reclaimable")


def test_memory_guardian_says_where_it_acts_and_what_it_did(
    house: Node, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer)
    notice, line = (
        page.locator('[data-part-of-node="guardian-notice"]'),
        page.locator("[data-guardian-words]"),
    )
    play(socket)
    expect(line).to_contain_text("stops starts below 3.0 GiB available, ready models below 1.5 GiB.")
    expect(notice).to_be_hidden()
    now = time.time() + 1
    acted = frames.guardian(protect_ready=True, last_act=frames.GUARDIAN_ACT | {"at": now - 600})
    play(socket, seq=2, at=now, guardian=acted)
    expect(notice).to_contain_text("qwen3-coder-30b stopped by the memory guardian: 2.1 GiB")
    expect(line).to_contain_text("ready models are never stopped")
    play(socket, seq=3, at=now + 1, guardian=frames.guardian(status="down", message="It is started again"))
    expect(line).to_have_text("No memory guardian: It is started again")
    expect(notice).to_be_hidden()


def test_two_gpus_and_then_one_is_lost(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    play(socket, "two")
    expect(page.locator(".gpu-card")).to_have_count(2)
    expect(tile(page, "GPU utilisation").locator(".tile-value")).to_have_count(2)
    expect(page.locator("[data-legend-gpu]")).to_be_hidden()
    lost = frames.gpu(1, state="lost", utilization_percent=None, power_watts=None)
    play(socket, "two", gpus=[frames.gpu(0), lost], at=time.time() + 1)
    expect(page.locator(".gpu-card").nth(1)).to_contain_text("Lost")
    expect(tile(page, "GPU power").locator(".tile-value > span[title]")).to_have_attribute(
        "title", "The GPU is lost: the driver no longer answers for it"
    )


def test_without_gpu_it_says_so_and_shows_the_rest(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    play(socket, "none", at=time.time() + 1)
    expect(page.locator("[data-part-of-node=gpu-notice]")).to_contain_text("No NVIDIA driver on this machine")
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.locator("[data-cores] > i")).to_have_count(2)
    expect(page.get_by_text("searxng", exact=True)).to_be_visible()


def test_docker_that_may_not_be_used_says_what_to_do(
    house: Node, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer)
    play(socket, "nodocker", at=time.time() + 1)
    notice = page.locator("[data-docker-notice]")
    expect(notice).to_contain_text("sudo usermod -aG docker")
    expect(notice).to_contain_text("may not use the Docker socket unix:///var/run/docker.sock")
    expect(page.locator("[data-part-of-node=containers] table")).to_be_hidden()


def test_docker_that_is_down_without_a_word_gets_our_advice(
    house: Node, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer)
    play(socket, "nodocker", agent={"docker": {"status": "down", "message": None}}, at=time.time() + 1)
    expect(page.locator("[data-docker-notice]")).to_contain_text("sudo systemctl start docker")


def test_what_a_node_says_is_text_not_markup(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    evil = "<img src=x onerror=alert(1)>"
    rows = [row | {"name": evil, "image": evil, "state": evil} for row in frames.containers()[:1]]
    play(socket, containers=rows, gpus=[frames.gb10() | {"name": evil}], at=time.time() + 1)
    expect(page.locator(".gpu-card h2")).to_have_text(evil)
    assert page.locator("img[src=x]").count() == 0


def test_history_fills_the_charts_and_gaps_stay_gaps(
    house: Node, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer)
    now = play(socket)
    socket.send(frames.history("spark-1", "gb10", now))
    until(page, "document.querySelector('.tile .plot').chart.plot.data[0].length > 800")
    lengths = page.evaluate(
        """() => [...document.querySelectorAll('.tile .plot')].map(({chart}) => {
            const [t, y] = chart.plot.data;
            return [t.length === y.length, y.filter((v) => v === null).length];
        })"""
    )
    assert [same for same, _ in lengths] == [True] * 8
    assert lengths[0][1] == 40
    assert lengths[4][1] == 0


def test_silence_in_the_history_is_drawn_as_a_gap(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    now = time.time() + 5
    play(socket, at=now)
    play(socket, seq=2, at=now + 60)
    until(page, "document.querySelector('.tile .plot').chart.plot.data[1].at(-2) === null")


def test_hovering_a_chart_shows_what_was(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    now = play(socket)
    socket.send(frames.history("spark-1", "gb10", now, gap=False))
    until(page, "document.querySelector('.tile .plot').chart.plot.data[0].length > 800")
    expect(tile(page, "CPU").locator("[data-at]")).to_be_empty()
    tile(page, "GPU power").locator(".plot").hover(position={"x": 40, "y": 20})
    expect(tile(page, "CPU").locator("[data-at]")).not_to_be_empty()
    page.mouse.move(5, 5)
    expect(tile(page, "CPU").locator("[data-at]")).to_be_empty()


def test_memory_of_a_running_model_is_live(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    element = page.locator("[data-definition='qwen3-coder-30b-awq'] [data-member-memory]")
    play(socket, member=element.get_attribute("data-member-memory"), at=time.time() + 1)
    expect(element).to_have_text("51.6 GiB")


def test_progress_moves_in_place_and_a_new_state_redraws(
    house: Node, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer)
    card = page.locator("[data-definition='qwen2-vl-7b']")
    launch = card.get_attribute("data-launch")
    frame = {
        "type": "launch",
        "launch": launch,
        "definition": "qwen2-vl-7b",
        "node": "spark-1",
        "state": "loading",
    }
    progress = {
        "name": "load",
        "done_bytes": 42 * 2**20,
        "total_bytes": 100 * 2**20,
        "message": "3 of 7 files",
    }
    socket.send({**frame, "progress": progress, "html_stale": False})
    expect(card.locator("[data-progress-message]")).to_have_text("3 of 7 files")
    expect(card.locator("[data-progress-amount]")).to_have_text("42.0 MiB of 100 MiB")
    expect(card.locator(".bar")).to_have_attribute("aria-valuenow", "42")
    house.launches.filter(uid=launch).update(state="ready")
    socket.send({**frame, "state": "ready", "progress": None, "html_stale": True})
    expect(card.locator(".badge-state")).to_have_text("Ready")
    assert card.locator("[data-progress]").count() == 0


def test_phone_shows_everything_without_scrolling_sideways(
    house: Node, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer, width=360)
    play(socket, "two", at=time.time() + 1)
    expect(page.locator(".gpu-card")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(page.locator(".tabs-bottom")).to_be_visible()
    expect(page.locator(".side")).to_be_hidden()


def test_javascript_weighs_little(house: Node, page_viewer: User, open_page: Opened, site: str) -> None:
    page, _ = open_page("/", page_viewer)
    scripts = page.evaluate(
        "performance.getEntriesByType('resource').map((e) => e.name).filter((name) => name.endsWith('.js'))"
    )
    assert len(scripts) > 10
    weights = {name: len(gzip.compress(urllib.request.urlopen(name).read(), 6)) for name in set(scripts)}
    assert sum(weights.values()) <= JAVASCRIPT_LIMIT_BYTES, weights


def test_operators_may_adopt_what_others_started(
    house: Node, page_admin: User, page_viewer: User, open_page: Opened
) -> None:
    page, socket = open_page("/", page_viewer)
    play(socket, at=time.time() + 1)
    expect(page.get_by_text("searxng", exact=True)).to_be_visible()
    expect(page.locator("[data-adopt]")).to_have_count(0)
    page, socket = open_page("/", page_admin)
    play(socket, at=time.time() + 1)
    link = page.get_by_role("link", name="Adopt")
    expect(link).to_have_count(1)
    link.click()
    expect(page.get_by_role("heading", name="Adopt searxng")).to_be_visible()


def test_verdicts_stand_with_their_evidence_and_go(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/nodes/spark-1/", page_viewer)
    now = time.time()
    wedged = card(clock_sm_mhz=507, utilization_percent=96, power_watts=15.2, throttle_reasons=["power_cap"])
    told = judged(wedged, now=now, model="qwen3")
    socket.send(frames.snapshot("spark-1", wedged, 1, now, told))
    verdict = page.locator(".verdict.bad")
    expect(verdict).to_contain_text("GPU 0 is stuck at 507 MHz")
    expect(verdict).to_contain_text("Power 15.2 W")
    expect(page.locator(".ledger tbody tr").first).to_contain_text("qwen3")
    expect(page.locator(".gpu-card [data-processes]")).to_contain_text("qwen3")
    expect(page.locator("[data-throttle]")).to_contain_text("its power limit")
    well = frames.report(now=now + 1)
    socket.send(frames.snapshot("spark-1", well, 2, now + 1, judged(well, now=now + 1)))
    expect(page.locator(".verdict")).to_have_count(0)
    older = frames.report(now=now + 2)
    del older["gpus"][0]["throttle_reasons"], older["host"]["pressure"]
    socket.send(frames.snapshot("spark-1", older, 3, now + 2))
    expect(page.locator(".ledger")).to_be_hidden()
    silent = frames.gb10() | {"utilization_percent": None, "why": {"utilization_percent": "stale"}}
    cause = {"status": "error", "message": "The NVIDIA driver has not answered for 9 s"}
    socket.send(frames.snapshot("spark-1", frames.report(now=now + 3, gpus=[silent], gpu=cause), 4, now + 3))
    badge = page.locator(".gpu-card [data-silent]")
    expect(badge).to_be_visible()
    expect(badge).to_have_attribute("title", cause["message"])
    again = frames.report(now=now + 4)
    sentence = "Driver 580.95.05 answers again; no figures for 9 s: not loaded"
    again["gpu"]["reloaded"] = {"kind": "reloaded", "at": now, "sentence": sentence, "gpu": None}
    socket.send(frames.snapshot("spark-1", again, 5, now + 4))
    badge = page.locator(".gpu-card [data-reloaded]")
    expect(badge).to_have_text("Driver reloaded")
    expect(badge).to_have_attribute("title", sentence)
    again["gpu"]["reloaded"] |= {"kind": "found", "gpu": 1}
    socket.send(frames.snapshot("spark-1", again, 6, now + 5))
    expect(badge).to_be_hidden()
