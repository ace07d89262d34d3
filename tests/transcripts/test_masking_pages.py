"""Pages and API mask; owner and admins may look behind, and the audit says so; nobody else may."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from sparkweb.accounts.models import AuditEntry, User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.importing.ledger import Count
from transcripts_app.models import ProjectAccess, ProjectMask, RedactionProfile, Visibility

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
Clients = Callable[[User | None], Client]
Read = Callable[[], Count]
AWS = "AKIA" + "IOSFODNN7EXAMPLE"


@pytest.fixture
def session(read: Read, projects: Path) -> Session:
    """A session with a secret in its title, a prompt, a call, a result and a large output; seen by all."""
    one = Transcript(projects)
    one.prompt(f"Use {AWS}, mail ada@example.com")
    one.answer(f"I use `{AWS}`")
    call = output_of = one.call("Bash", command=f"export KEY={AWS}")
    one.result(call, f"set {AWS}")
    call = one.call("Write", file_path="/home/ada/shop/.env", content=f"KEY={AWS}\n")
    one.result(call, f"cannot write {AWS}", error=True)
    call = one.call("Write", file_path="/home/ada/shop/.env", content=f"KEY={AWS}\nB=1\n")
    told = {"type": "create", "filePath": "/home/ada/shop/.env", "content": f"KEY={AWS}\nB=1\n"}
    one.result(call, "File created", told=told | {"structuredPatch": []})
    one.write()
    output = one.path.parent / one.session_id / "tool-results" / f"{output_of}.txt"
    output.parent.mkdir(parents=True)
    output.write_text(f"key {AWS}\n")
    read()
    found = Session.objects.select_related("project").get()
    ProjectAccess.objects.create(project_key=found.project.key, visibility=Visibility.ALL)
    return found


def addresses(session: Session) -> list[str]:
    page, api = f"/transcripts/sessions/{session.key}", f"/api/transcripts/sessions/{session.key}"
    found = ["/transcripts/", f"/transcripts/projects/{session.project.key}/", f"{page}/",
             f"{page}/part/?window=0", f"{page}/outline/", "/api/transcripts/sessions", api,
             f"{api}/records?form=raw", f"{api}/records?form=text", f"{api}/redaction",
             f"/transcripts/redaction/preview/?session={session.key}",
             f"/transcripts/export/?session={session.key}", "/transcripts/search/?q=export",
             "/transcripts/errors/", f"{page}/branches/", f"{page}/context/", f"{page}/files/",
             "/transcripts/blame/?path=/home/ada/shop/.env",
             "/transcripts/blame/?path=/home/ada/shop/.env&text=KEY"]  # fmt: skip
    for record in Record.objects.filter(session=session):
        found += [f"{page}/records/{record.pk}/raw/", f"{page}/records/{record.pk}/raw/?download=1",
                  f"{page}/records/{record.pk}/whole/", f"{api}/records/{record.pk}",
                  f"{api}/records/{record.pk}/raw"]  # fmt: skip
    return found + [f"{api}/files/{file.pk}" for file in session.files.all()]


def body(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    data = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(data.decode())


def test_no_page_and_no_call_shows_a_secret(
    session: Session, client_of: Clients, viewer: User, admin: User
) -> None:
    for user in (viewer, admin):
        for address in addresses(session):
            assert AWS not in body(client_of(user), address), address
    assert "[key 1]" in body(client_of(viewer), f"/transcripts/sessions/{session.key}/")


def test_admins_look_behind_and_the_audit_says_so(
    session: Session, client_of: Clients, viewer: User, admin: User
) -> None:
    page, client = f"/transcripts/sessions/{session.key}/", client_of(admin)
    assert "Show secrets" in body(client, page)
    assert "Show secrets" not in body(client_of(viewer), page)
    assert client_of(viewer).post(f"{page}reveal/").status_code == 404
    assert client.post(f"{page}reveal/").status_code == 302
    assert AWS in body(client, page)
    assert "Mask secrets again" in body(client, page)
    assert AuditEntry.objects.filter(action="transcript_reveal", target=session.key).count() == 1
    client.post(f"{page}reveal/", {"hide": "1"})
    assert AWS not in body(client, page)
    api = f"/api/transcripts/sessions/{session.key}/records?form=raw&reveal=true"
    assert AWS in body(client, api)
    assert AWS not in body(client_of(viewer), api)
    assert AuditEntry.objects.filter(action="transcript_reveal").count() == 2


def test_an_owner_chooses_what_the_pages_of_a_project_mask(
    session: Session, client_of: Clients, viewer: User, operator: User
) -> None:
    ProjectAccess.objects.update(owner=operator)
    page, mask = f"/transcripts/sessions/{session.key}/", f"/transcripts/projects/{session.project.key}/mask/"
    assert client_of(viewer).post(mask, {"profile": "none"}).status_code == 404
    assert "ada@example.com" in body(client_of(viewer), page)
    assert client_of(operator).post(mask, {"profile": "sharing"}).status_code == 302
    assert "ada@example.com" not in body(client_of(viewer), page)
    client_of(operator).post(mask, {"profile": "none"})
    assert AWS in body(client_of(viewer), page)
    client_of(operator).post(mask, {"profile": "nothing"})
    assert ProjectMask.objects.get().profile == "none"
    # A profile that is gone: likely secrets are masked again.
    ProjectMask.objects.update(profile="gone")
    assert AWS not in body(client_of(viewer), page)


def test_profiles_are_made_by_admins_and_tried_first(client_of: Clients, admin: User, operator: User) -> None:
    wanted = {"name": "mine", "rules": ["emails"], "patterns": [{"name": "ticket", "pattern": r"T-\d+"}]}
    address = "/api/transcripts/redaction"

    def post(user: User, **changed: object) -> int:
        data = json.dumps(wanted | changed)
        return int(client_of(user).post(address, data, content_type="application/json").status_code)

    assert post(operator) == 403
    assert post(admin) == 201
    assert post(admin) == 400  # there is one of this name
    broken = [{"name": "x", "pattern": "("}]
    nothing = [{"name": "x", "pattern": "a*"}]
    for wrong in ({"name": "Big Name"}, {"name": "secrets"}, {"rules": ["nothing"]}, {"patterns": broken},
                  {"patterns": nothing}, {"rules": [], "patterns": []}, {"about": "a\0b"}):  # fmt: skip
        assert post(admin, **{"name": "other", **wrong}) == 400
    page = client_of(admin).post("/transcripts/redaction/mine/change/", {
        "name": "mine", "rules": ["keys"], "pattern_name": ["bad"], "pattern": ["(x"]})  # fmt: skip
    assert page.status_code == 422
    assert b"RE2 does not take it" in page.content
    assert RedactionProfile.objects.get().rules == ["emails"]
    client_of(admin).post("/transcripts/redaction/mine/change/", {"delete": "1"})
    assert not RedactionProfile.objects.exists()


def test_a_preview_counts_by_rule_and_shows_places(
    session: Session, client_of: Clients, viewer: User
) -> None:
    told = json.loads(
        body(client_of(viewer), f"/api/transcripts/sessions/{session.key}/redaction?profile=sharing")
    )
    assert told["counts"]["keys"] >= 5
    assert told["counts"]["emails"] >= 1
    assert {one["placeholder"] for one in told["places"]} >= {"[key 1]", "[email 1]"}
    ProjectAccess.objects.update(visibility=Visibility.OWNER)
    assert client_of(viewer).get(f"/api/transcripts/sessions/{session.key}/redaction").status_code == 404
    assert Project.objects.count() == 1
