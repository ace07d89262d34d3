"""Share links: what they show to whom, for how long, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from sparkweb.accounts.models import AuditEntry, User
from tests.support.claude_code import Transcript
from transcripts_app import views_shares
from transcripts_app.archive.models import Session
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer
from transcripts_app.models import ProjectAccess
from transcripts_app.models_shares import ShareLink

ClientOf = Callable[[User | None], Client]
KEY = "ghp_" + "Ab3" * 12


@pytest.fixture
def session(archive: Path, projects: Path, viewer: User) -> Session:
    talk = Transcript(projects)
    talk.prompt("Deploy <script>alert(1)</script> please")
    talk.result(talk.call("Bash", command="env"), f"GITHUB_TOKEN={KEY}")
    for number in range(80):
        talk.prompt(f"prompt number {number}.")
    talk.write()
    agent = Transcript(projects, session_id=talk.session_id, agent="a1")
    agent.prompt("A sub-agent's own words")
    agent.write()
    with Writer(archive) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", projects, owner="viewer")
        run.end()
    return Session.objects.get()


def _make(client: Client, session: Session, **told: object) -> str:
    body = {"days": 7} | told
    answer = client.post(
        f"/api/transcripts/sessions/{session.key}/shares", body, content_type="application/json"
    )
    assert answer.status_code == 201, answer.content
    return str(answer.json()["address"]).removeprefix("http://testserver")


def test_a_link_shows_the_session_without_a_login_and_without_its_secrets(
    session: Session, client: Client, client_of: ClientOf, viewer: User
) -> None:
    address = _make(client_of(viewer), session)
    answer = client.get(address)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Deploy &lt;script&gt;" in page
    assert "<script>alert" not in page
    assert KEY not in page
    assert "prompt number 79." not in page
    assert "prompt number 79." in client.get(f"{address}?part=s1&page=2").content.decode()
    assert "own words" in client.get(f"{address}?part=a1").content.decode()
    assert "/home/ada" not in page
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer["X-Robots-Tag"]
    assert "no-store" in answer["Cache-Control"]
    link = ShareLink.objects.get()
    assert link.opened == 3
    assert address.rstrip("/").rpartition("/")[2] not in str(ShareLink.objects.values().get())
    assert AuditEntry.objects.filter(action="transcript_share", target=session.key).exists()
    # It opens nothing else.
    assert client.get(f"/transcripts/sessions/{session.key}/").status_code == 302
    assert client.post(address).status_code == 405


def test_without_a_mask_it_shows_everything(
    session: Session, client: Client, client_of: ClientOf, viewer: User
) -> None:
    assert KEY in client.get(_make(client_of(viewer), session, mask="none")).content.decode()


def test_the_page_makes_one_shows_it_once_and_takes_it_back(
    session: Session, client: Client, client_of: ClientOf, viewer: User
) -> None:
    owner, place = client_of(viewer), f"/transcripts/sessions/{session.key}/links/"
    page = owner.post(place, {"days": "30", "mask": "secrets"}).content.decode()
    address = page.split('id="share-address">')[1].split("<")[0].removeprefix("http://testserver")
    assert client.get(address).status_code == 200
    assert address not in owner.get(place).content.decode()
    owner.post(f"{place}{ShareLink.objects.get().pk}/revoke/")
    answer = client.get(address)
    assert (answer.status_code, answer["Referrer-Policy"]) == (404, "no-referrer")
    assert "taken back" in owner.get(place).content.decode()
    assert (
        "A link lasts 1 to 365 days"
        in owner.post(place, {"days": "9999", "mask": "secrets"}).content.decode()
    )
    assert "no redaction profile" in owner.post(place, {"days": "1", "mask": "x"}).content.decode()


@pytest.mark.parametrize("why", ["expired", "maker left", "project closed", "session gone"])
def test_a_link_ends(
    session: Session, client: Client, client_of: ClientOf, viewer: User, admin: User, why: str
) -> None:
    address = _make(client_of(viewer), session)
    if why == "expired":
        ShareLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif why == "maker left":
        viewer.is_active = False
        viewer.save()
    elif why == "project closed":
        ProjectAccess.objects.create(project_key=session.project.key, owner=admin)
    else:
        ShareLink.objects.update(session_key="0" * 16)
    assert client.get(address).status_code == 404


@pytest.mark.parametrize("token", ["x", "x" * 43, "x" * 5000, "%00" * 30, "é" * 40, "..%2f..%2f" * 5])
def test_what_was_never_a_link_shows_nothing(session: Session, client: Client, token: str) -> None:
    assert client.get(f"/shared/{token}/").status_code in (302, 404)


def test_guessing_is_slowed_down(session: Session, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_shares, "OPENS_A_MINUTE", 3)
    monkeypatch.setattr(views_shares.time, "time", lambda: 1_000_000.0)
    seen = [client.get(f"/shared/{'y' * 43}/").status_code for _ in range(5)]
    assert seen == [404, 404, 404, 429, 429]


def test_others_make_see_and_end_none(
    session: Session,
    client_of: ClientOf,
    bearer: Callable[..., Client],
    viewer: User,
    operator: User,
    admin: User,
) -> None:
    _make(client_of(viewer), session)
    link, place = ShareLink.objects.get(), f"/api/transcripts/sessions/{session.key}/shares"
    stranger = client_of(operator)
    for status in (404, 403):
        assert stranger.get(place).status_code == status
        assert stranger.post(place, {"days": 1}, content_type="application/json").status_code == status
        assert stranger.delete(f"{place}/{link.pk}").status_code == status
        assert stranger.get(f"/transcripts/sessions/{session.key}/links/").status_code == status
        ProjectAccess.objects.get_or_create(project_key=session.project.key, defaults={"visibility": "all"})
    assert bearer(admin, "read").post(place, {"days": 1}, content_type="application/json").status_code == 403
    assert client_of(admin).delete(f"{place}/{link.pk}").status_code == 204
