"""A static export in a real browser, from file://: it searches itself, asks nobody, runs nothing of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.browser import CHROMIUM, FLAGS, until
from tests.support.claude_code import Transcript
from tests.transcripts.test_export import export, talk
from transcripts_app.archive.models import Session
from transcripts_app.importing.ledger import Count

pytestmark = pytest.mark.browser
Read = Callable[[], Count]

HOSTILE = (
    "<script>window.bad=1</script><img src=x onerror='window.bad=1'><svg onload='window.bad=1'>",
    "[click](javascript:window.bad=1) ![](https://tracker.example/p.png) </script><script>bad=1</script>",
    "</pre></details></article><iframe src='https://evil.example'></iframe>"
    "<style>@import 'https://evil.example';</style>",
    "```html\n<script>window.bad=1</script>\n```\n<a href='data:text/html,<script>bad=1</script>'>x</a>",
    '\u2028sparkArchive.about(0)\u2029 \'");window.bad=1;("',
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # Playwright's sync API runs an event loop in this thread; Django would refuse the ORM beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that notes every request that is for no file, and every error."""
    page = chromium.new_page()
    page.asked, page.wrong = [], []  # type: ignore[attr-defined]
    page.on(
        "request",
        lambda one: one.url.startswith("file:") or one.url.startswith("data:") or page.asked.append(one.url),
    )  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.wrong.append(str(error)))  # type: ignore[attr-defined]
    page.on("dialog", lambda dialog: page.wrong.append(dialog.message))  # type: ignore[attr-defined]
    yield page
    assert (page.asked, page.wrong) == ([], [])  # type: ignore[attr-defined]
    page.close()


def search(page: Page, text: str) -> list[str]:
    page.fill("#find", text)
    page.press("#find", "Enter")
    until(page, "/found/i.test(document.querySelector('#found > p')?.textContent || '')")
    return page.locator("#found li").all_inner_texts()


def test_it_searches_itself_from_a_folder(read: Read, projects: Path, tmp_path: Path, page: Page) -> None:
    talk(projects)
    for number in range(12):
        talk(projects, f"Question {number} about the zebra crossing", cwd=f"/home/ada/p{number % 3}")
    read()
    export(tmp_path / "out", "html")
    page.goto((tmp_path / "out" / "index.html").as_uri())
    assert len(search(page, "zebra")) >= 12
    found = search(page, '"question 7 about"')
    assert found
    assert all("Question 7 about" in one for one in found)
    # An identifier's part, in an answer; a large output; a sub-agent; nothing.
    assert any("basketCount" in one for one in search(page, "count right"))
    assert any("zzlargeoutput" in one for one in search(page, "zzlarge"))
    assert any("checkout.py" in one for one in search(page, "checkout"))
    assert search(page, "nowhereatall") == []
    assert "Nothing found" in page.locator("#found > p").inner_text()
    search(page, "checkout.py does")
    page.locator("#found li a").first.click()
    until(page, "location.hash !== ''")
    anchor = page.evaluate("location.hash.slice(1)")
    assert "checkout.py does" in page.locator(f"#{anchor}").inner_text()
    # The same search from a page in a folder below.
    assert search(page, "zebra")
    page.press("#find", "Escape")
    assert page.locator("#page").is_visible()


def test_long_sessions_turn_pages_and_keep_their_places(
    read: Read, projects: Path, tmp_path: Path, page: Page
) -> None:
    one = Transcript(projects)
    for number in range(450):
        one.prompt(f"Prompt number {number}")
    one.write()
    read()
    export(tmp_path / "out", "html")
    folder = tmp_path / "out" / "sessions" / Session.objects.get().key
    page.goto((folder / "index.html").as_uri())
    assert page.locator(".ex-turn").first.inner_text().startswith("Page 1 of 3")
    page.locator("a[rel=next]").first.click()
    until(page, "location.pathname.endsWith('index-2.html')")
    page.goto((folder / "index.html").as_uri())
    page.locator(".ex-fold a", has_text="Prompt number 444").click()
    until(page, "location.pathname.endsWith('index-3.html')")
    assert page.locator(":target").inner_text().count("Prompt number 444") == 1
    assert any("Prompt number 321" in one for one in search(page, '"number 321"'))


def test_nothing_of_a_transcript_runs_or_loads(
    read: Read, projects: Path, tmp_path: Path, page: Page
) -> None:
    for text in HOSTILE:
        one = Transcript(projects, cwd=f"/home/ada/{text}", agent="")
        one.path = projects / "hostile" / f"{one.session_id}.jsonl"
        one.branch = text
        one.prompt(text)
        one.answer({"type": "thinking", "thinking": text, "signature": "s"}, text)
        for tool in ("Bash", "Edit", "Write", "Task", "mcp__x__y", text[:40]):
            call = one.call(tool, command=text, file_path=text, old_string=text, new_string=text + "x",
                            content=text, description=text, prompt=text)  # fmt: skip
            one.result(call, text, error=tool == "Bash")
        one.bare(type="custom-title", customTitle=text, sessionId=one.session_id)
        one.write()
    read()
    out = tmp_path / "out"
    export(out, "html")
    pages = sorted(out.rglob("*.html"))
    assert len(pages) > len(HOSTILE)
    for one in pages:
        page.goto(one.as_uri())
        for fold in page.locator("details").all():
            fold.evaluate("one => one.open = true")
        assert page.evaluate("window.bad") is None
        assert page.locator("iframe, object, embed, form:not([method=dialog])").count() == 0
        assert page.locator("a[href^='javascript:'], a[href^='data:']").count() == 0
    page.goto((out / "index.html").as_uri())
    assert search(page, "window bad")
    assert page.evaluate("window.bad") is None
