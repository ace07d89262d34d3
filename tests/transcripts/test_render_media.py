# ruff: noqa: E501 - tables of attacks
"""Pictures and documents: known by their first bytes, served as nothing else, shown to those who may see the session."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from tests.support.rendered import MEDIA, Tags, drawn, html_of, problems, view_of
from tests.support.transcript_gallery import gallery, image, pdf, png
from transcripts_app.archive.models import Session
from transcripts_app.format.record import uid_of
from transcripts_app.importing.ledger import Count
from transcripts_app.models import ProjectAccess, Visibility
from transcripts_app.render.media import media_of

SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").decode()
HTML = base64.b64encode(b"<!doctype html><script>alert(1)</script>").decode()
GIF = base64.b64encode(b"GIF89a\x07\x00\x05\x00" + b"\0" * 20).decode()
JPEG = base64.b64encode(
    b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x00\x20\x00\x30\x03" + b"\0" * 30
).decode()
WEBP = base64.b64encode(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x1f\0\0\x0f\0\0" + b"\0" * 10).decode()


@pytest.mark.parametrize(
    ("block", "found"),
    [
        (image(png(240, 90)), ("image/png", 240, 90)),
        (image(GIF, "image/png"), ("image/gif", 7, 5)),
        (image(JPEG, "image/jpeg"), ("image/jpeg", 48, 32)),
        (image(WEBP, "image/webp"), ("image/webp", 32, 16)),
        (image(SVG, "image/svg+xml"), ("", 0, 0)),
        (image(SVG, "image/png"), ("", 0, 0)),
        (image(HTML, "image/png"), ("", 0, 0)),
        (image("no base64 at all!", "image/png"), ("", 0, 0)),
        (image("", "image/png"), None),
        (pdf(), ("application/pdf", 0, 0)),
        ({"type": "image", "source": {"type": "url", "url": "https://evil.example/x.png"}}, None),
        ({"type": "image", "source": 7}, None),
    ],
)  # fmt: skip
def test_a_picture_is_what_its_first_bytes_say(
    block: dict[str, Any], found: tuple[str, int, int] | None
) -> None:
    media = media_of(block)
    assert (media and (media.type, media.width, media.height)) == found


def test_a_picture_is_asked_for_by_its_place_and_only_an_export_carries_it() -> None:
    record = Transcript(Path()).prompt([{"type": "text", "text": "a"}, image(png()), pdf()])
    uid = uid_of(record["uuid"])
    assert uid
    sources = [attributes["src"] for tag, attributes in Tags(html_of(record)).tags if tag == "img"]
    assert sources == [f"{MEDIA}{uid.hex()}/0/"]
    links = [attributes["href"] for tag, attributes in Tags(html_of(record)).tags if tag == "a"]
    assert links == [f"{MEDIA}{uid.hex()}/0/", f"{MEDIA}{uid.hex()}/1/"]
    carried = drawn(view_of(record, inline=True), media_base="")
    assert 'src="data:image/png;base64,' in carried
    assert problems(carried) == []


@pytest.mark.parametrize("data", [SVG, HTML, "%%%"])
def test_what_is_no_picture_is_named_not_shown(data: str) -> None:
    record = Transcript(Path()).prompt([image(data, "image/svg+xml")])
    for html in (html_of(record), drawn(view_of(record, inline=True), media_base="")):
        assert "<img" not in html
        assert "image/svg+xml" in html


@pytest.fixture
def session(read: Callable[[], Count], projects: Path) -> Session:
    """The gallery and a few pictures, read into the archive."""
    one = gallery(projects)
    one.prompt(
        [image(png(8, 8)), image(SVG, "image/svg+xml"), pdf(), image(HTML, "image/png")], uuid="not a uuid"
    )
    one.write()
    read()
    return Session.objects.get()


def path_of(session: Session, uuid: str, place: int) -> str:
    uid = uid_of(uuid)
    assert uid
    return f"/transcripts/sessions/{session.key}/media/{uid.hex()}/{place}/"


def test_a_picture_is_served_as_a_picture(
    session: Session, admin: User, client_of: Callable[..., Client]
) -> None:
    answer = client_of(admin).get(path_of(session, "not a uuid", 0))
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert answer.content.startswith(b"\x89PNG")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "attachment" not in answer["Content-Disposition"]


def test_a_pdf_is_saved_never_opened(session: Session, admin: User, client_of: Callable[..., Client]) -> None:
    answer = client_of(admin).get(path_of(session, "not a uuid", 2))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert answer["Content-Disposition"].startswith("attachment;")


@pytest.mark.parametrize("place", [1, 3, 4, 99, 10**12])
def test_what_is_no_picture_is_not_served(
    session: Session, admin: User, client_of: Callable[..., Client], place: int
) -> None:
    assert client_of(admin).get(path_of(session, "not a uuid", place)).status_code == 404


@pytest.mark.parametrize("uid", ["00", "zz" * 16, "a" * 32, "..", "a" * 500, "00%0A" * 16])
def test_a_place_that_is_none(
    session: Session, admin: User, client_of: Callable[..., Client], uid: str
) -> None:
    assert client_of(admin).get(f"/transcripts/sessions/{session.key}/media/{uid}/0/").status_code == 404


def test_only_who_may_see_the_session_sees_its_pictures(
    session: Session, viewer: User, client_of: Callable[..., Client]
) -> None:
    path = path_of(session, "not a uuid", 0)
    assert client_of(viewer).get(path).status_code == 404
    ProjectAccess.objects.create(project_key=session.project.key, visibility=Visibility.ALL)
    assert client_of(viewer).get(path).status_code == 200
