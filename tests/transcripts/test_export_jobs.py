"""Exports by page and API: only what one may see, fetched by nobody else, gone after a day."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from sparkweb.accounts.models import User
from tests.transcripts.test_export import talk
from transcripts_app.archive.models import Session
from transcripts_app.export import jobs
from transcripts_app.export.tasks import export_make, exports_prune
from transcripts_app.importing.ledger import Count
from transcripts_app.models import ProjectAccess, TranscriptExport, Visibility
from transcripts_app.models_export import ExportState

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
Clients = Callable[[User | None], Client]
Read = Callable[[], Count]
API = "/api/transcripts/exports"


@pytest.fixture
def sent() -> Iterator[mock.Mock]:
    """What was handed to control."""
    with mock.patch.object(export_make, "apply_async") as sent:
        yield sent


@pytest.fixture
def two(read: Read, projects: Path) -> dict[str, Session]:
    """A session that all may see, and one that admins may see."""
    talk(projects)
    talk(projects, "Secret plans", cwd="/home/ada/plans")
    read()
    found = {one.project.name: one for one in Session.objects.select_related("project")}
    ProjectAccess.objects.create(project_key=found["shop"].project.key, visibility=Visibility.ALL)
    return found


def asked(client: Client, **changed: str) -> tuple[int, dict[str, object]]:
    wanted = {"what": "all", "format": "html", "profile": "secrets"} | changed
    answer = client.post(API, json.dumps(wanted), content_type="application/json")
    return answer.status_code, answer.json()


def test_it_holds_what_its_owner_may_see_and_nobody_else_fetches_it(
    two: dict[str, Session], sent: mock.Mock, client_of: Clients, viewer: User, admin: User
) -> None:
    status, told = asked(client_of(viewer))
    uid = str(told["uid"])
    assert (status, told["state"], told["total"]) == (202, "waiting", 1)
    assert sent.call_args.args == ((uid,),)
    assert client_of(viewer).get(f"{API}/{uid}/file").status_code == 404
    jobs.export_carry_out(uid)
    for address in (f"{API}/{uid}/file", f"/transcripts/export/{uid}/file/"):
        answer = client_of(viewer).get(address)
        assert answer["Content-Disposition"].startswith("attachment")
        with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as file:
            names = file.namelist()
        assert any(two["shop"].key in name for name in names)
        assert not any(two["plans"].key in name for name in names)
        assert client_of(admin).get(address).status_code == 404
    assert client_of(admin).delete(f"{API}/{uid}").status_code == 404
    assert client_of(admin).post(f"/transcripts/export/{uid}/delete/").status_code == 404
    assert client_of(viewer).delete(f"{API}/{uid}").status_code == 204
    assert not TranscriptExport.objects.exists()
    assert not list((jobs.settings.DATA_DIR / "exports").glob(f"*{uid}*"))


def test_what_one_may_not_see_is_not_there(
    two: dict[str, Session], sent: mock.Mock, client_of: Clients, viewer: User
) -> None:
    plans = two["plans"]
    for wanted in (
        {"what": "session", "session": plans.key},
        {"what": "project", "project": plans.project.key},
        {"what": "search", "query": "plans"},
    ):
        status, told = asked(client_of(viewer), **wanted)
        assert (status, told["code"]) == (409, "nothing")
    assert asked(client_of(viewer), profile="none")[1]["code"] == "needs_profile"
    for wrong in (
        {"profile": "nothing"},
        {"what": "session"},
        {"format": "pdf"},
        {"query": "a\0b", "what": "search"},
    ):
        assert asked(client_of(viewer), **wrong)[0] == 400
    assert not sent.called


def test_rights_that_were_lost_meanwhile_count(
    two: dict[str, Session], sent: mock.Mock, client_of: Clients, viewer: User
) -> None:
    uid = str(asked(client_of(viewer))[1]["uid"])
    ProjectAccess.objects.update(visibility=Visibility.OWNER)
    jobs.export_carry_out(uid)
    row = TranscriptExport.objects.get()
    assert (row.state, row.reason) == (
        ExportState.FAILED,
        "There is no session to export yet; import transcripts first",
    )
    assert not row.path.exists()


def test_cancelled_crowded_without_redis_and_expired(
    two: dict[str, Session], sent: mock.Mock, client_of: Clients, admin: User
) -> None:
    client = client_of(admin)
    first = str(asked(client)[1]["uid"])
    second = str(asked(client)[1]["uid"])
    assert asked(client)[1]["code"] == "busy"
    client.post(f"/transcripts/export/{first}/cancel/")
    jobs.export_carry_out(first)
    assert TranscriptExport.objects.get(uid=first).state == ExportState.CANCELLED
    TranscriptExport.objects.filter(uid=second).update(is_cancelled=True)
    jobs.export_carry_out(second)
    row = TranscriptExport.objects.get(uid=second)
    assert row.state == ExportState.CANCELLED
    assert list(row.path.parent.glob(f"*{second}*")) == []
    third = str(asked(client)[1]["uid"])
    jobs.export_carry_out(third)
    row = TranscriptExport.objects.get(uid=third)
    assert row.path.exists()
    TranscriptExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    (row.path.parent / "0123456789abcdef.zip").write_text("x")
    assert exports_prune() == 3
    assert list(row.path.parent.iterdir()) == []
    sent.side_effect = OperationalError
    assert asked(client)[1]["code"] == "redis_down"
    assert not TranscriptExport.objects.exists()


def test_the_page(two: dict[str, Session], sent: mock.Mock, client_of: Clients, admin: User) -> None:
    client = client_of(admin)
    assert b"Nothing exported yet" in client.get("/transcripts/export/").content
    page = client.post("/transcripts/export/", {"what": "session", "format": "html", "profile": "secrets"})
    assert b"Say which" in page.content
    wanted = {"what": "session", "session": two["shop"].key, "format": "markdown", "profile": "none"}
    assert client.post("/transcripts/export/", wanted).status_code == 302
    live = client.get("/transcripts/export/list/").content
    assert b"every 1s" in live
    assert b"not masked" in live
    jobs.export_carry_out(TranscriptExport.objects.get().uid)
    done = client.get("/transcripts/export/list/").content
    assert b"every 1s" not in done
    assert b"Fetch" in done
