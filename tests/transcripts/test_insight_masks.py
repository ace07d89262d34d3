"""Branches, context, files, blame and errors mask as the pages of their projects do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.insight_data import FILE, START, Told
from transcripts_app.archive.models import Session
from transcripts_app.insight_masks import HIDDEN, lines_masked
from transcripts_app.models import ProjectAccess, ProjectMask, Visibility
from transcripts_app.selectors_errors import ErrorFilter, atlas_read

Clients = Callable[[User | None], Client]
Read = Callable[[], Any]
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
PEM = "\n".join(
    ["-----BEGIN RSA PRIVATE " + "KEY-----", *["Ab3d" * 16] * 3, "-----END RSA PRIVATE " + "KEY-----"]
)
SECRET_FILE = f"/home/ada/{AWS}/key.py"


@pytest.fixture
def session(read: Read, projects: Path, admin: User) -> Session:
    """A session with a secret in everything, seen by all: prompts, files, paths, commands, errors."""
    one = Told(projects)
    one.prompt(f"Use {AWS} for the basket")
    one.said(f"I use {AWS}.")
    fork = one.parent
    one.prompt(f"Go on with {AWS}")
    one.writes(FILE, f"first = 1\nkey = '{AWS}'\n{PEM}\nlast = 2\n")
    one.writes(SECRET_FILE, START)
    one.result(one.asks("Bash", command=f"sed -i s/{AWS}/x/ {FILE}"), "")
    one.fails("Bash", f"denied for {AWS}", command=f"aws {AWS}")
    one.said("Done.")
    one.parent = fork
    one.prompt(f"Rather with {AWS} elsewhere")
    one.said(f"With {AWS}.")
    one.write()
    read()
    found = Session.objects.select_related("project").get()
    ProjectAccess.objects.create(project_key=found.project.key, visibility=Visibility.ALL)
    return found


def addresses(session: Session, admin: User) -> list[str]:
    page, api = f"/transcripts/sessions/{session.key}", f"/api/transcripts/sessions/{session.key}"
    call = session.calls.filter(path=SECRET_FILE).get().pk
    groups = [group.key for group in atlas_read(admin, ErrorFilter()).groups]
    return [
        f"{page}/branches/", f"{page}/context/", f"{page}/files/", f"{page}/files/?path={FILE}",
        f"{page}/files/?path={FILE}&show=file", f"{page}/files/?path={FILE}&step=1&download=1",
        f"{page}/files/?path={FILE}&step=2", f"{page}/files/?call={call}",
        f"{page}/files/?call={call}&download=1", f"{api}/branches",
        f"{api}/branches/compare?left=0&right=1", f"{api}/context",
        f"{api}/changed-files",
        f"{api}/changed-files/at?path={FILE}&step=1", f"{api}/changed-files/at?call={call}",
        "/transcripts/blame/", f"/transcripts/blame/?path={FILE}&line=2",
        f"/transcripts/blame/?call={call}&line=1",
        f"/transcripts/blame/?path={FILE}&text=last",
        "/transcripts/blame/paths/?path=key",
        f"/api/transcripts/blame?path={FILE}&line=1", "/api/transcripts/blame/paths?path=key",
        "/transcripts/errors/", "/api/transcripts/errors",
        *(f"/transcripts/errors/{key}/" for key in groups),
        *(f"/api/transcripts/errors/{key}" for key in groups),
    ]  # fmt: skip


def _body(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return answer.content.decode()


def test_no_secret_leaves(session: Session, client_of: Clients, viewer: User, admin: User) -> None:
    for address in addresses(session, admin):
        body = _body(client_of(viewer), address)
        assert AWS not in body, address
        assert "Ab3dAb3d" not in body, address


def test_what_is_no_secret_stays(session: Session, client_of: Clients, viewer: User) -> None:
    page = _body(
        client_of(viewer), f"/transcripts/sessions/{session.key}/files/?path={FILE}&step=1&show=file"
    )
    assert "first = 1" in page and "last = 2" in page


def test_a_project_may_mask_nothing(session: Session, client_of: Clients, viewer: User, admin: User) -> None:
    ProjectMask.objects.create(project_key=session.project.key, profile="none")
    (group,) = [group.key for group in atlas_read(admin, ErrorFilter()).groups]
    for address in (
        f"/transcripts/sessions/{session.key}/branches/", f"/transcripts/blame/?path={FILE}&line=2",
        f"/transcripts/sessions/{session.key}/files/?path={FILE}&show=file&step=1",
        f"/transcripts/errors/{group}/",
    ):  # fmt: skip
        assert AWS in _body(client_of(viewer), address), address


def test_reveal_is_for_those_who_may(session: Session, client_of: Clients, viewer: User, admin: User) -> None:
    address = f"/api/transcripts/sessions/{session.key}/changed-files/at?path={FILE}&step=1&reveal=true"
    assert AWS in _body(client_of(admin), address)
    assert AWS not in _body(client_of(viewer), address)


def test_masked_lines_keep_their_places() -> None:
    lines = ["a", "BEGIN", "x", "END", "b"]
    assert lines_masked(lines, lambda text: text) == lines
    assert lines_masked(lines, lambda text: text.replace("x", "*")) == ["a", "BEGIN", "*", "END", "b"]
    collapsed = lines_masked(lines, lambda text: text.replace("BEGIN\nx\nEND", "***"))
    assert collapsed == ["a", HIDDEN, HIDDEN, HIDDEN, "b"]
