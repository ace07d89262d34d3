"""Asking nodes for the image that tools run in: once at a time, told again, ended once, shown."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app import image_builds
from sandbox_app.exceptions import ToolRefused
from sandbox_app.image_builds import build_cancel, build_create, build_reported, builds_reconcile, image_built
from sandbox_app.models import BuildState, ImageBuild
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import AuditEntry
from tests.support.stack import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
Nudges = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the node reports of its sandbox."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(image_builds, "node_snapshot", lambda name: {"report": {"sandbox": told}})
    monkeypatch.setattr(
        "sandbox_app.selectors_images.node_snapshots",
        lambda names: {name: {"report": {"sandbox": told}} for name in names},
    )
    return told


@pytest.fixture
def build(node: Node, someone: Actor, nudges: Nudges) -> ImageBuild:
    return build_create(node=node, actor=someone, base="debian:bookworm-slim", extra=["ffmpeg"])[0]


def old(build: ImageBuild) -> None:
    ImageBuild.objects.filter(pk=build.pk).update(sent_at=timezone.now() - timedelta(minutes=1))


def ended(build: ImageBuild, outcome: str, **fields: Any) -> ImageBuild:
    image_built(
        build.node_name, {"job": build.uid, "generation": build.generation, "outcome": outcome, **fields}
    )
    build.refresh_from_db()
    return build


def test_a_wish_is_stored_audited_and_told_to_the_node(build: ImageBuild, nudges: Nudges) -> None:
    assert nudges == [
        (
            "spark-1",
            "sandbox.image_build",
            {
                "job": build.uid,
                "generation": 1,
                "arguments": {"BASE": "debian:bookworm-slim", "DATA": "yes", "EXTRA": "ffmpeg"},
                "network": "default",
            },
        )
    ]
    assert AuditEntry.objects.filter(action="sandbox_image_build", target="spark-1").exists()


def test_a_second_wish_finds_the_first(build: ImageBuild, node: Node, someone: Actor) -> None:
    assert build_create(node=node, actor=someone) == (build, False)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"base": "debian; rm -rf /"}, "base_invalid"),
        ({"base": "--privileged"}, "base_invalid"),
        ({"base": "a" * 400}, "base_invalid"),
        ({"extra": ["ffmpeg", "--allow-unauthenticated"]}, "packages_invalid"),
        ({"extra": ["$(reboot)"]}, "packages_invalid"),
        ({"extra": ["x" * 3] * 41}, "packages_invalid"),
        ({"network": "container:other"}, "network_invalid"),
    ],
)
def test_what_is_no_image_no_package_and_no_network_is_refused(
    node: Node, someone: Actor, nudges: Nudges, fields: dict[str, Any], code: str
) -> None:
    with pytest.raises(ToolRefused) as refused:
        build_create(node=node, actor=someone, **fields)
    assert (refused.value.code, nudges) == (code, [])


def test_a_node_that_is_offline_builds_nothing(node: Node, someone: Actor) -> None:
    Node.objects.update(status=NodeStatus.OFFLINE)
    node.refresh_from_db()
    with pytest.raises(ToolRefused, match="offline"):
        build_create(node=node, actor=someone)


def test_it_is_told_again_until_the_node_works_on_it(
    build: ImageBuild, nudges: Nudges, section: dict[str, Any]
) -> None:
    builds_reconcile()
    assert len(nudges) == 1
    old(build)
    builds_reconcile()
    assert len(nudges) == 2
    old(build)
    section["build"] = {"job": build.uid, "generation": 1, "step": 3, "steps": 10, "message": "Fetching"}
    builds_reconcile()
    assert len(nudges) == 2


def test_its_steps_are_taken_over(build: ImageBuild) -> None:
    told = {"job": build.uid, "generation": 1, "step": 3, "steps": 10, "message": "Get:1\0"}
    build_reported("spark-1", {"build": told})
    build.refresh_from_db()
    assert (build.state, build.step, build.steps, build.message) == ("running", 3, 10, "Get:1\ufffd")
    build_reported("spark-2", {"build": told | {"step": 9}})
    build.refresh_from_db()
    assert build.step == 3


def test_its_end_is_taken_over_once(build: ImageBuild) -> None:
    ended(build, "done", digest="sha256:1", log="Step 1/2\nSuccessfully built 1")
    assert (build.state, build.live, build.digest) == (BuildState.DONE, False, "sha256:1")
    ended(build, "failed", reason="late")
    assert build.state == BuildState.DONE


def test_an_end_of_an_older_generation_or_another_node_counts_nothing(
    build: ImageBuild, someone: Actor
) -> None:
    image_built("spark-2", {"job": build.uid, "generation": 1, "outcome": "done"})
    image_built("spark-1", {"job": "none", "generation": "x", "outcome": 7})
    build.refresh_from_db()
    assert build.live


def test_cancelled_it_is_told_until_it_ends(
    build: ImageBuild, someone: Actor, nudges: Nudges, section: dict[str, Any]
) -> None:
    build_cancel(build=build, actor=someone)
    build.refresh_from_db()
    assert nudges[-1][1:] == ("sandbox.image_cancel", {"job": build.uid, "generation": 2})
    section["build"] = {"job": build.uid, "generation": 1}
    old(build)
    builds_reconcile()
    assert len(nudges) == 3
    ended(build, "cancelled")
    assert (build.state, build.live) == (BuildState.CANCELLED, False)


def test_a_node_that_was_removed_ends_it(build: ImageBuild, node: Node) -> None:
    old(build)
    node.delete()
    builds_reconcile()
    build.refresh_from_db()
    assert (build.state, build.reason) == (BuildState.FAILED, "Its node was removed")


def test_the_page_says_where_it_is_missing_and_offers_to_build(
    client: Client, admin: Any, node: Node, section: dict[str, Any], nudges: Nudges
) -> None:
    section["image"] = {"name": "sparkweb-sandbox:1", "status": "missing"}
    client.force_login(admin)
    assert "no tool can run in a container there" in client.get("/tools/image/").content.decode()
    assert client.post("/tools/image/build/", {"node": "spark-1", "libraries": "on"}).status_code == 204
    assert "Waits for the node" in client.get("/tools/image/nodes/").content.decode()
    refused = client.post("/tools/image/build/", {"node": "spark-1", "base": "a b"})
    assert (refused.status_code, "is no image name" in refused.content.decode()) == (409, True)


def test_the_page_says_why_nothing_is_known(
    client: Client, admin: Any, node: Node, section: dict[str, Any]
) -> None:
    client.force_login(admin)
    assert "its agent has not told yet" in client.get("/tools/image/nodes/").content.decode()
    section["image"] = {"name": "sparkweb-sandbox:1", "status": "unknown"}
    assert "its Docker does not answer" in client.get("/tools/image/nodes/").content.decode()
    Node.objects.update(status=NodeStatus.OFFLINE)
    assert "the node is silent" in client.get("/tools/image/nodes/").content.decode()


def test_the_api_builds_shows_and_cancels(
    client: Client, admin: Any, node: Node, section: dict[str, Any], nudges: Nudges
) -> None:
    client.force_login(admin)
    body = {"node": "spark-1", "libraries": False}
    asked = client.post("/api/sandbox-image/builds", body, content_type="application/json")
    assert (asked.status_code, asked.json()["arguments"]["DATA"]) == (202, "no")
    again = client.post("/api/sandbox-image/builds", body, content_type="application/json")
    assert (again.status_code, again.json()["uid"]) == (200, asked.json()["uid"])
    assert client.get("/api/sandbox-image").json()[0]["build"]["uid"] == asked.json()["uid"]
    address = f"/api/sandbox-image/builds/{asked.json()['uid']}"
    assert client.post(f"{address}/cancel").json()["state"] == "cancelling"
    assert client.get("/api/sandbox-image/builds/0000000000000000").status_code == 404


def test_the_command_shows_the_steps_and_fails_with_the_builders_words(
    node: Node, nudges: Nudges, section: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    problems: list[str] = []

    def work() -> None:
        try:
            call_command("build_sandbox_image", node="spark-1")
        except CommandError as error:
            problems.append(str(error))

    command = threading.Thread(target=work)
    command.start()
    build = wait_for(lambda: ImageBuild.objects.first(), "the wish")
    ended(build, "failed", reason="The image was not built: no space left", log="Step 7/9")
    command.join(60)
    assert problems == ["failed: The image was not built: no space left\nStep 7/9"]


def test_the_command_names_a_node_that_is_not_there(db: None) -> None:
    with pytest.raises(CommandError, match="there is no node spark-9"):
        call_command("build_sandbox_image", node="spark-9")
