"""Buttons, dialogs and the live log in Chromium."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from metrics_app.models import Node
from models_app.log_archive import chunk_store
from models_app.log_chunks import ChunkHeader, chunk_pack
from models_app.models import Launch, LaunchMember, ModelDefinition
from sparkweb.accounts.models import User
from tests.e2e.conftest import Opened, PlayedSocket

pytestmark = pytest.mark.browser


def launch_of(state: str) -> Launch:
    return Launch.objects.get(state=state)


def member_of(launch: Launch) -> LaunchMember:
    return LaunchMember.objects.get(attempt__launch=launch)


@pytest.fixture
def logged(house: Node, page_admin: User, open_page: Opened) -> tuple[Page, PlayedSocket, str]:
    """The page of the launch that is loading, its socket, and its member."""
    launch = launch_of("loading")
    page, socket = open_page(launch.get_absolute_url(), page_admin)
    return page, socket, member_of(launch).uid


def lines(member: str, first: int, count: int) -> dict[str, Any]:
    texts = [f"2026-11-23T18:00:{n % 60:02d}.5Z line {n}" for n in range(first, first + count)]
    return {"type": "log", "member": member, "offset": f"{first + count}-0", "lines": texts}


def test_start_asks_nothing_and_shows_the_new_state(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/", page_admin)
    page.locator("details.idle-models > summary").click()
    page.locator("[data-definition='ministral-3-14b'] .btn-start").click()
    expect(page.locator(".toast-item")).to_contain_text("Ministral-3-14B is starting on Spark 1")
    expect(page.locator("[data-definition='ministral-3-14b'] .badge-state")).to_have_text("Requested")
    assert Launch.objects.filter(definition_slug="ministral-3-14b", live=True).count() == 1


def test_stop_asks_first(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/", page_admin)
    stop = page.locator("[data-definition='qwen3-coder-30b-awq']").get_by_role("button", name="Stop")
    stop.click()
    dialog = page.locator("#confirm")
    expect(dialog).to_contain_text("Stop Qwen3-Coder-30B-AWQ?")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert launch_of("ready").desired == "running"
    stop.click()
    dialog.get_by_role("button", name="Stop").click()
    expect(page.locator("[data-definition='qwen3-coder-30b-awq'] .badge-state")).to_have_text("Stopping")
    assert Launch.objects.get(definition_slug="qwen3-coder-30b-awq", live=True).desired == "stopped"


def test_short_memory_opens_a_dialog_that_wants_a_reason(
    house: Node, page_admin: User, open_page: Opened
) -> None:
    page, _ = open_page("/models/", page_admin)
    row = page.locator("[data-definition='qwen3-coder-30b']")
    row.get_by_role("button", name="Start").click()
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("spark-1 has 63.3 GiB available")
    expect(dialog).to_contain_text("Missing")
    dialog.get_by_role("button", name="Start anyway").click()
    assert page.locator("#force-reason:invalid").count() == 1
    page.locator("#force-reason").fill("the estimate is too high")
    dialog.get_by_role("button", name="Start anyway").click()
    expect(dialog).to_be_hidden()
    expect(row.locator(".badge-state")).to_have_text("Requested")
    assert (
        Launch.objects.get(definition_slug="qwen3-coder-30b", live=True).forced_reason
        == "the estimate is too high"
    )


def test_refusal_stands_where_the_button_was_pressed(
    house: Node, page_admin: User, open_page: Opened
) -> None:
    page, _ = open_page("/models/", page_admin)
    ModelDefinition.objects.filter(slug="ministral-3-14b").update(enabled=False)
    row = page.locator("[data-definition='ministral-3-14b']")
    row.get_by_role("button", name="Start").click()
    expect(row.get_by_role("alert")).to_contain_text("Ministral-3-14B is disabled; enable it first")


def test_a_dead_server_is_said(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/models/", page_admin)
    page.route("**/start/", lambda route: route.abort())
    page.locator("[data-definition='ministral-3-14b']").get_by_role("button", name="Start").click()
    expect(page.locator(".toast-item[data-tone=bad]")).to_contain_text("SparkWeb does not answer")


def test_viewer_reads_but_has_no_buttons(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, _ = open_page(launch_of("loading").get_absolute_url(), page_viewer)
    expect(page.locator(".stages li.now")).to_have_text("Loading")
    assert page.get_by_role("button", name="Stop").count() == 0


def test_log_is_opened_followed_and_resumed(logged: tuple[Page, PlayedSocket, str]) -> None:
    page, socket, member = logged
    assert socket.said[-1] == {"type": "log_open", "member": member, "after": "0"}
    socket.send(lines(member, 0, 300))
    box = page.locator("[data-log-lines]")
    expect(box.locator(".log-line")).to_have_count(300)
    expect(page.locator("[data-log-count]")).to_have_text("300 lines")
    assert box.evaluate("b => b.scrollHeight - b.scrollTop - b.clientHeight < 30")
    expect(page.locator("[data-log-follow]")).to_be_hidden()
    socket.drop()
    expect(page.locator("[data-link-state][data-state=lost]").first).to_be_attached()
    expect(page.locator("[data-link-state][data-state=open]").first).to_be_attached()
    assert socket.said[-1] == {"type": "log_open", "member": member, "after": "300-0"}


def test_scrolling_up_stops_following(logged: tuple[Page, PlayedSocket, str]) -> None:
    page, socket, member = logged
    socket.send(lines(member, 0, 200))
    box = page.locator("[data-log-lines]")
    expect(box.locator(".log-line")).to_have_count(200)
    box.evaluate("b => { b.scrollTop = 100; }")
    jump = page.locator("[data-log-follow]")
    expect(jump).to_be_visible()
    socket.send(lines(member, 200, 50))
    expect(box.locator(".log-line")).to_have_count(250)
    assert box.evaluate("b => b.scrollTop") == 100
    jump.click()
    expect(jump).to_be_hidden()
    assert box.evaluate("b => b.scrollHeight - b.scrollTop - b.clientHeight < 30")


def test_pause_holds_lines_back(logged: tuple[Page, PlayedSocket, str]) -> None:
    page, socket, member = logged
    socket.send(lines(member, 0, 5))
    expect(page.locator(".log-line")).to_have_count(5)
    page.get_by_role("button", name="Pause").click()
    socket.send(lines(member, 5, 5))
    expect(page.locator("[data-log-count]")).to_have_text("5 lines, 5 waiting")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".log-line")).to_have_count(10)


def test_log_is_bounded_and_says_what_is_missing(logged: tuple[Page, PlayedSocket, str]) -> None:
    page, socket, member = logged
    for start in range(0, 5000, 1000):
        socket.send(lines(member, start, 1000))
    expect(page.locator(".log-line").last).to_contain_text("line 4999")
    assert page.locator("[data-log-lines] > *").count() == 4000
    socket.send({"type": "log_gap", "member": member, "skipped": 1204})
    expect(page.locator(".log-mark").last).to_contain_text("1,204 lines are missing here")
    socket.send({"type": "log_reset", "member": member})
    expect(page.locator(".log-line")).to_have_count(0)
    socket.send(lines("another-member", 0, 3))
    socket.send(lines(member, 0, 1))
    expect(page.locator(".log-line")).to_have_count(1)
    socket.send({"type": "log_end", "member": member})
    expect(page.locator(".log-mark")).to_contain_text("The container has ended")


def test_log_search_steps_through_matches(logged: tuple[Page, PlayedSocket, str]) -> None:
    page, socket, member = logged
    socket.send(lines(member, 0, 100))
    expect(page.locator(".log-line")).to_have_count(100)
    search = page.get_by_label("Search the log")
    search.fill("LINE 9")
    expect(page.locator("[data-log-matches]")).to_have_text("11 of 11")
    search.press("Enter")
    expect(page.locator(".is-current")).to_have_text(re.compile("line 9$"))
    expect(page.locator("[data-log-matches]")).to_have_text("1 of 11")
    page.get_by_role("button", name="Matches").click()
    assert page.locator(".log-line:visible").count() == 11
    search.fill("nowhere")
    expect(page.locator("[data-log-matches]")).to_have_text("none")
    search.press("Escape")
    assert page.locator(".log-line:visible").count() == 100


def test_log_lines_are_text_without_terminal_codes(logged: tuple[Page, PlayedSocket, str]) -> None:
    page, socket, member = logged
    texts = ["2026-11-23T18:00:01Z \x1b[31mERROR\x1b[0m <b>no</b>", "WARNING plain"]
    socket.send({"type": "log", "member": member, "offset": "1-0", "lines": texts})
    expect(page.locator(".log-line.is-error > span")).to_have_text("ERROR <b>no</b>")
    expect(page.locator(".log-line.is-error > time")).to_have_text("18:00:01")
    expect(page.locator(".log-line.is-warn")).to_have_count(1)


def test_failure_shows_reason_step_and_last_log(house: Node, page_admin: User, open_page: Opened) -> None:
    page, socket = open_page(launch_of("failed").get_absolute_url(), page_admin)
    expect(page.locator(".stages li.failed")).to_have_text("Loading")
    expect(page.locator(".notice.bad")).to_contain_text("Lower gpu_memory_utilization")
    expect(page.locator(".last-log")).to_contain_text("Engine core initialization failed")
    expect(page.locator("[data-log-lines]")).to_contain_text("Engine core initialization failed")
    assert not socket.said
    expect(page.get_by_role("button", name="Start again", exact=True)).to_be_visible()


def test_panel_and_timeline_are_redrawn(house: Node, page_admin: User, open_page: Opened) -> None:
    launch = launch_of("loading")
    page, socket = open_page(launch.get_absolute_url(), page_admin)
    Launch.objects.filter(pk=launch.pk).update(
        state="failed", live=False, failure_reason="the image exits at once"
    )
    launch.events.create(
        kind="state", from_state="loading", to_state="failed", message="It failed in this test"
    )
    socket.send(
        {
            "type": "launch",
            "launch": launch.uid,
            "definition": "qwen2-vl-7b",
            "node": "spark-1",
            "state": "failed",
            "progress": None,
            "html_stale": True,
        }
    )
    expect(page.locator("[data-redraw] .badge-state")).to_have_text("Failed")
    expect(page.locator(".notice.bad")).to_contain_text("The image exits at once")
    expect(page.locator(".timeline li").first).to_contain_text("It failed in this test")
    assert page.locator("#launch-side").count() == 1


def test_docker_run_line_is_copied(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page(launch_of("ready").get_absolute_url(), page_admin)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the command").click()
    expect(page.locator(".toast-item")).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("docker run")
    assert "--served-model-name qwen3-coder-30b-awq" in copied


def test_filters_narrow_the_history_and_stay_in_the_address(
    house: Node, page_admin: User, open_page: Opened
) -> None:
    page, _ = open_page("/launches/", page_admin)
    total = page.locator("tbody tr").count()
    page.get_by_label("Every state").select_option("failed")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert total > 1
    page.wait_for_url("**state=failed**")
    page.get_by_label("Text").fill("zzz")
    expect(page.get_by_text("No launch matches")).to_be_visible()


def test_definition_form_shows_the_command_while_typing(
    house: Node, page_admin: User, open_page: Opened
) -> None:
    page, _ = open_page("/models/qwen3-coder-30b-awq/edit/", page_admin)
    preview = page.locator("#preview")
    expect(preview).to_contain_text("--max-model-len 65536")
    page.get_by_label("max_model_len").fill("12345")
    expect(preview).to_contain_text("--max-model-len 12345")
    page.get_by_label("Port").fill("8100")
    expect(preview).to_contain_text("Port 8100 is Qwen3-Coder-30B")
    page.get_by_label("Port").fill("8104")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast-item")).to_contain_text("is saved")
    assert ModelDefinition.objects.get(slug="qwen3-coder-30b-awq").settings["max_model_len"] == 12345


def test_import_from_a_file_is_checked_then_applied(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/models/import/", page_admin)
    text = b"models:\n  phi-4:\n    engine: vllm\n    port: 8300\n    model_id: microsoft/phi-4\n"
    page.get_by_label("File").set_input_files({"name": "mine.yaml", "mimeType": "text/yaml", "buffer": text})
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#import-result")).to_contain_text("1 new")
    page.locator("#import-result").get_by_role("button", name="Import").click()
    page.wait_for_url("**/models/")
    expect(page.locator(".toast-item")).to_contain_text("Imported: 1 new")
    assert ModelDefinition.objects.filter(slug="phi-4").exists()


def kept(member: LaunchMember, count: int, text: str = "line {}", last: bool = False) -> None:
    """Store `count` lines of a member's log, as its node would send them."""
    stamps = [f"2026-11-23T17:00:00.{n:09d}Z" for n in range(count)]
    head = ChunkHeader(member.uid, 0, 0, count, stamps[0], stamps[-1], last=last)
    texts = [f"{stamp} {text.format(n)}" for n, stamp in enumerate(stamps)]
    chunk_store("spark-1", chunk_pack(head, texts))


def test_log_goes_back_to_its_first_line(house: Node, page_admin: User, open_page: Opened) -> None:
    launch = launch_of("loading")
    member = member_of(launch)
    kept(member, 1500)
    page, socket = open_page(launch.get_absolute_url(), page_admin)
    shown = [f"2026-11-23T17:00:00.{n:09d}Z line {n}" for n in range(1495, 1500)]
    socket.send({"type": "log", "member": member.uid, "offset": "1-0", "lines": shown})
    expect(page.locator(".log-line")).to_have_count(5)
    earlier = page.get_by_role("button", name="Earlier lines")
    earlier.focus()
    earlier.press("Enter")
    expect(page.locator(".log-line")).to_have_count(1005)
    expect(page.locator(".log-line > span").first).to_have_text("line 495")
    earlier.press("Enter")
    expect(page.locator(".log-line")).to_have_count(1500)
    expect(page.locator(".log-line > span").first).to_have_text("line 0")
    expect(page.locator("[data-log-earlier]")).to_be_hidden()


def test_whole_log_is_searched_and_leads_to_the_line(
    house: Node, page_admin: User, open_page: Opened
) -> None:
    launch = launch_of("loading")
    kept(member_of(launch), 3000)
    page, _ = open_page(launch.get_absolute_url(), page_admin)
    page.get_by_label("Search the log").fill("line 777")
    page.get_by_role("button", name="Whole log").click()
    hit = page.locator(".log-hit")
    expect(hit).to_have_count(1)
    hit.click()
    expect(page.locator(".log-line.is-current > span")).to_have_text("line 777")
    page.get_by_label("Search the log").fill("no such words")
    page.get_by_role("button", name="Whole log").click()
    expect(page.locator("[data-log-hits]")).to_contain_text("Nothing that was kept of this log matches")


def test_log_is_drawn_in_its_colours_and_is_text_still(logged: tuple[Page, PlayedSocket, str]) -> None:
    page, socket, member = logged
    text = (
        "2026-11-23T18:00:01Z \x1b[1;31mred\x1b[0m plain \x1b[38;2;1;2;3;42mtrue"
        "\x1b[m <img src=x onerror=alert(1)> \x1b[999;38;5mend"
    )
    socket.send({"type": "log", "member": member, "offset": "1-0", "lines": [text]})
    row = page.locator(".log-line > span")
    expect(row).to_have_text("red plain true <img src=x onerror=alert(1)> end")
    expect(row.locator(".ansi-bold.ansi-f1")).to_have_text("red")
    expect(row.locator(".ansi-b2")).to_have_css("color", "rgb(1, 2, 3)")
    assert page.locator(".log-line img").count() == 0


def test_log_that_ended_comes_with_its_page(house: Node, page_admin: User, open_page: Opened) -> None:
    launch = launch_of("failed")
    member = LaunchMember.objects.get(attempt__launch=launch)
    kept(member, 1200, "\x1b[32mkept\x1b[0m {}", last=True)
    page, _ = open_page(launch.get_absolute_url(), page_admin)
    expect(page.locator(".log-line")).to_have_count(1000)
    expect(page.locator(".log-line > span").last).to_have_text("kept 1199")
    expect(page.locator(".log-line .ansi-f2").first).to_have_text("kept")
    assert page.locator("[data-log-save]").get_attribute("href").endswith(f"/log-file?member={member.uid}")  # type: ignore[union-attr]
