"""Reading sessions in Chromium: scrolling, jumps, permalinks, sub-agents, growth while one reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sparkweb.accounts.models import User
from tests.e2e.browser import until
from tests.support.claude_code import Transcript
from tests.support.page_transcripts import LONG_TURNS, transcripts_read, transcripts_seed
from transcripts_app.archive.models import Record, Session

pytestmark = [pytest.mark.browser]

LOADED = "document.querySelectorAll('.tw[data-state=loaded]').length"
WIDE = "document.documentElement.scrollWidth - innerWidth"
TOP = """(() => { const edge = document.querySelector('.reader-bar').getBoundingClientRect().bottom;
  const all = [...document.querySelectorAll('.tw > article')];
  const one = all.find((article) => article.getBoundingClientRect().bottom > edge + 12);
  return one ? one.id : ''; })()"""


@pytest.fixture
def keys(site: str, archive: Path, projects: Path) -> dict[str, str]:
    return transcripts_seed(projects)


def scroll(page: Page, to: str) -> None:
    page.evaluate(f"scrollTo(0, {to})")


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_from_the_list_into_a_session(
    open_page: Any, keys: dict[str, str], page_admin: User, width: int, dark: bool
) -> None:
    page, _ = open_page("/transcripts/", page_admin, width=width, dark=dark)
    assert page.evaluate(WIDE) <= 0
    page.get_by_label("Text", exact=True).fill("poem")
    expect(page.locator(".session-row")).to_have_count(1)
    page.get_by_role("link", name="Write a poem about the sea").click()
    expect(page.get_by_role("heading", name="Write a poem about the sea")).to_be_visible()
    expect(page.locator(".tw > article").first).to_be_visible()
    assert page.evaluate(WIDE) <= 0


@pytest.mark.parametrize("width", [1440, 390])
def test_a_long_session_is_read_down_and_up(
    open_page: Any, keys: dict[str, str], page_admin: User, width: int
) -> None:
    page, _ = open_page(f"/transcripts/sessions/{keys['long']}/", page_admin, width=width)
    thread = page.locator("[data-thread]")
    total = int(thread.get_attribute("data-windows") or 0)
    assert total > 20
    assert page.evaluate("document.documentElement.scrollHeight") > 20 * 900
    assert page.evaluate(WIDE) <= 0
    for part in range(1, 9):
        scroll(page, f"document.documentElement.scrollHeight * {part} / 8")
        until(page, f"({LOADED}) > 1 && document.querySelectorAll('.tw[data-state=loading]').length === 0")
    scroll(page, "document.documentElement.scrollHeight")
    last = Record.objects.filter(session__key=keys["long"], kind=2).order_by("-line").first()
    assert last is not None
    expect(page.locator(f"#r{last.pk}")).to_be_visible()
    assert page.evaluate(LOADED) <= 30 < total
    scroll(page, "0")
    expect(page.locator("[data-prompt]").first).to_contain_text("Step 1:")


def test_what_is_loaded_above_moves_nothing(open_page: Any, keys: dict[str, str], page_admin: User) -> None:
    middle = Record.objects.filter(session__key=keys["long"], kind=1).order_by("line")[LONG_TURNS // 2]
    page, _ = open_page(f"/transcripts/sessions/{keys['long']}/?at={middle.pk}", page_admin)
    expect(page.locator(".tr.is-here")).to_have_id(f"r{middle.pk}")
    assert page.evaluate(TOP) == f"r{middle.pk}"
    section = f"document.getElementById('r{middle.pk}').parentElement"
    page.evaluate(f"scrollBy(0, {section}.getBoundingClientRect().top + 150)")
    until(page, f"Math.abs({section}.getBoundingClientRect().top + 150) < 4")
    read = page.evaluate(TOP)
    before = page.evaluate(f"document.getElementById('{read}').getBoundingClientRect().top")
    until(page, f"{section}.previousElementSibling.dataset.state === 'loaded'")
    until(page, f"Math.abs(document.getElementById('{read}').getBoundingClientRect().top - {before}) < 4")


def test_keys_and_buttons_go_from_landmark_to_landmark(
    open_page: Any, keys: dict[str, str], page_admin: User
) -> None:
    page, _ = open_page(f"/transcripts/sessions/{keys['long']}/", page_admin)
    prompts = list(Record.objects.filter(session__key=keys["long"], kind=1).order_by("line"))
    here = page.locator(".tr.is-here")
    for number in (1, 2, 3):
        page.keyboard.press("j")
        expect(here).to_have_id(f"r{prompts[number].pk}")
    page.keyboard.press("k")
    expect(here).to_have_id(f"r{prompts[2].pk}")
    page.keyboard.press("e")
    expect(here).to_contain_text("1 failed")
    first = here.get_attribute("id")
    page.get_by_role("button", name="Error").click()
    expect(here).not_to_have_id(str(first))
    expect(here).to_have_attribute("data-error", "")
    page.get_by_role("button", name="File").click()
    expect(here).to_have_attribute("data-edits", "")
    page.keyboard.press("G")
    until(page, "document.documentElement.scrollHeight - innerHeight - scrollY < 200")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Next prompt")


def test_the_outline_finds_and_goes(open_page: Any, keys: dict[str, str], page_admin: User) -> None:
    page, _ = open_page(f"/transcripts/sessions/{keys['long']}/", page_admin, width=390)
    page.get_by_role("button", name="Outline").click()
    outline = page.get_by_label("Outline", exact=True)
    expect(outline.locator(".outline-item")).not_to_have_count(0)
    outline.get_by_label("Find in the outline").fill("Step 140")
    expect(outline.locator(".outline-item")).to_have_count(1)
    outline.locator(".outline-item").click()
    expect(page.locator(".tr.is-here")).to_contain_text("Step 140:")
    expect(page.locator(".tr.is-here")).to_be_in_viewport()


def test_a_permalink_opens_the_sub_agents_above_it(
    open_page: Any, keys: dict[str, str], page_admin: User
) -> None:
    inner = Record.objects.get(session__key=keys["agents"], file__agent_id="e5f6a7b8", kind=2)
    page, _ = open_page(f"/transcripts/sessions/{keys['agents']}/records/{inner.pk}/", page_admin)
    expect(page.locator(f"#r{inner.pk}")).to_contain_text("Yes, in line 88.")
    expect(page.locator(f"#r{inner.pk}")).to_be_in_viewport()
    expect(page.locator(".tr-agent .tr-agent[open]")).to_have_count(1)


@pytest.fixture
def talk(site: str, archive: Path, projects: Path) -> Transcript:
    """A session that just began."""
    one = Transcript(projects, begin=datetime.now(UTC) - timedelta(minutes=3))
    one.prompt("Count to a hundred")
    for number in range(30):
        one.answer(f"That was {number}. " + "More words, so that the page is long. " * 20)
    one.write()
    transcripts_read(projects)
    return one


def test_a_running_session_grows_while_one_reads(
    open_page: Any, talk: Transcript, projects: Path, page_admin: User
) -> None:
    key = Session.objects.get().key
    page, _ = open_page(f"/transcripts/sessions/{key}/", page_admin)
    expect(page.locator("#session-head")).to_contain_text("Running")
    page.mouse.wheel(0, 300)
    until(page, "scrollY >= 290")
    before = page.evaluate("scrollY")
    call = talk.call("Bash", command="seq 31 100")
    talk.write()
    transcripts_read(projects)
    expect(page.locator("[data-new]")).to_have_text("1 new")
    assert abs(page.evaluate("scrollY") - before) < 2
    page.locator("[data-new]").click()
    expect(page.get_by_text("seq 31 100")).to_be_in_viewport()
    expect(page.locator("[data-new]")).to_be_hidden()
    talk.result(call, "thirty-one to one hundred")
    for number in range(60):
        talk.answer(f"Late {number}")
    talk.write()
    transcripts_read(projects)
    expect(page.get_by_text("thirty-one to one hundred")).to_have_count(1)
    expect(page.get_by_text("Late 59", exact=True)).to_be_in_viewport()


def test_what_folds_away_comes_on_demand(
    open_page: Any, site: str, archive: Path, projects: Path, page_admin: User
) -> None:
    one = Transcript(projects)
    one.prompt("Look")
    one.prompt("<system-reminder>Mind the gap</system-reminder>", isMeta=True)
    one.answer("I did.")
    one.write()
    transcripts_read(projects)
    page, _ = open_page(f"/transcripts/sessions/{Session.objects.get().key}/", page_admin)
    expect(page.get_by_text("Mind the gap")).to_have_count(0)
    page.get_by_text("1 note to the model").click()
    page.get_by_text("Reminder to the model").click()
    expect(page.get_by_text("Mind the gap").first).to_be_visible()
