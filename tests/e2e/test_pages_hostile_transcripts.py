# ruff: noqa: E501 - pages and scripts in lines
"""Hostile transcripts in a real Chromium: no script runs, no dialog opens, nothing is asked of the outside.

First the drawn records alone, without the Content-Security-Policy that would help: the sanitising stands by
itself. Then the page of a session, with the policy besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, Route

from sparkweb.accounts.models import User
from tests.e2e.browser import until
from tests.support.attacks import ATTACKS, infected, mixed
from tests.support.claude_code import Transcript
from tests.support.rendered import html_of
from tests.support.transcript_gallery import gallery, kind_of, results_of
from transcripts_app.archive.models import Session
from transcripts_app.importing.ledger import Count

pytestmark = pytest.mark.browser

WATCH = """
window.ran = [];
window.PWNED = (what) => window.ran.push(String(what));
document.addEventListener("securitypolicyviolation", (event) => window.ran.push("policy " + event.blockedURI));
"""
PROVOKE = """() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const element of document.querySelectorAll("body *")) {
    for (const name of ["mouseover", "mouseenter", "focus", "click", "toggle", "animationstart", "load", "error"]) {
      if (name === "click" && element.closest("a, button, summary")) continue;
      element.dispatchEvent(new Event(name, { bubbles: true, cancelable: true }));
    }
    if (element.tabIndex >= 0) element.focus();
  }
}"""
# The links that are left lead to http, https or mailto, and open elsewhere.
LINKS = """() => [...document.querySelectorAll("[data-proof] a[href]")].filter(
  (a) => !["http:", "https:", "mailto:"].includes(a.protocol)).map((a) => a.outerHTML)"""


WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("main *")].filter(
  (e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => `${e.tagName} ${e.className}`).slice(0, 12)"""


@dataclass
class Seen:
    """What a page did that it must not."""

    asked: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def watch(self, page: Page, own: str) -> None:
        page.add_init_script(WATCH)
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("popup", lambda other: self.asked.append(f"window {other.url}"))
        page.route("**/*", lambda route: self._route(route, own))

    def _route(self, route: Route, own: str) -> None:
        if route.request.url.startswith(own):
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()


@pytest.fixture
def bare(chromium: Browser) -> Iterator[tuple[Page, Seen]]:
    """A page without any policy."""
    context = chromium.new_context()
    page, seen = context.new_page(), Seen()
    seen.watch(page, "http://proof.example/")
    page.route(
        "http://proof.example/",
        lambda route: route.fulfill(body="<!doctype html><title>x</title>", content_type="text/html"),
    )
    page.goto("http://proof.example/")
    seen.asked.clear()
    yield page, seen
    context.close()


def put(page: Page, html: str) -> None:
    """Let the page's parser read it, as it would a page that was sent."""
    page.set_content(f"<!doctype html><title>proof</title><main data-proof>{html}</main>", wait_until="load")
    page.evaluate(PROVOKE)


def test_an_attack_that_is_not_stopped_is_seen(bare: tuple[Page, Seen]) -> None:
    """The control: the same page with the attacks as they are."""
    page, seen = bare
    put(
        page,
        ATTACKS["image of nothing"]
        + ATTACKS["image that fails"]
        + "<script>PWNED('script'); alert(1)</script>",
    )
    until(page, "window.ran.length > 1")
    assert {"script", "img2"} <= set(page.evaluate("window.ran"))
    assert seen.dialogs == ["1"]
    assert any("evil.example" in url for url in seen.asked)


@pytest.mark.parametrize("name", ATTACKS)
def test_no_record_runs_or_loads_anything(bare: tuple[Page, Seen], name: str) -> None:
    page, seen = bare
    records = gallery().records
    results = results_of(records)
    attack, parts = ATTACKS[name], []
    for change in (infected, mixed):
        evil = [change(one, attack) for one in results.values()]
        for record in records:
            parts.append(html_of(change(record, attack), evil, kind=kind_of(record)))  # noqa: PERF401
    put(page, "".join(parts).encode(errors="replace").decode())
    assert page.evaluate("window.ran") == []
    assert page.evaluate(LINKS) == []
    assert (
        page.evaluate(
            "document.querySelectorAll('script, iframe, object, embed, form, style, link, base').length"
        )
        == 0
    )
    assert seen.dialogs == []
    # Pictures of the records themselves, asked for at our own address.
    assert [url for url in seen.asked if "/transcripts/sessions/k/media/" not in url] == []


@pytest.fixture
def hostile(read: Callable[[], Count], projects: Path) -> Session:
    """A session whose every text is all attacks, titles, branch and paths too."""
    attack = " ".join(ATTACKS.values())
    one = gallery(projects)
    clean = one.records
    one.records = [_named(infected(record, attack, keys=False), record, attack) for record in clean]
    one.write()
    two = Transcript(projects, cwd=f"/home/ada/{ATTACKS['image that fails']}")
    two.branch = ATTACKS["script"]
    two.prompt(ATTACKS["svg"])
    two.bare(type="custom-title", customTitle=attack, sessionId=two.session_id)
    two.answer(attack)
    two.write()
    read()
    return Session.objects.order_by("-records")[0]


def _named(evil: dict[str, Any], record: dict[str, Any], attack: str) -> dict[str, Any]:
    """Names that the archive is ordered by stay; the branch and the title do not."""
    kept = {name: record[name] for name in ("cwd", "sessionId", "version") if name in record}
    return evil | kept | ({"gitBranch": attack} if "gitBranch" in record else {})


@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_of_a_hostile_session(
    archive: Path, hostile: Session, site: str, chromium: Browser, admin: User, client_of: Any, width: int
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client_of(admin).cookies[name].value, "url": site}])
    page, seen = context.new_page(), Seen()
    seen.watch(page, site)
    other = Session.objects.exclude(pk=hostile.pk).get()
    for path in (
        "/transcripts/",
        f"/transcripts/sessions/{hostile.key}/",
        f"/transcripts/sessions/{other.key}/",
    ):
        answer = page.goto(site + path)
        assert answer is not None
        assert answer.status == 200
        page.evaluate(PROVOKE)
        assert page.evaluate("window.ran") == []
        assert page.evaluate(WIDE) == [], path
    assert (
        page.evaluate("document.querySelectorAll('.thread iframe, .thread script, .thread form').length") == 0
    )
    assert seen.dialogs == []
    assert seen.asked == []
    context.close()
