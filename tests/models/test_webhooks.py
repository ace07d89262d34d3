"""Webhooks: what is told, how it is signed, what happens when nobody takes it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from models_app import webhooks
from models_app.models import Launch, LaunchState, Webhook
from models_app.services import launch_create, launch_stop
from models_app.transitions import launch_move
from sparkweb.accounts.actor import SYSTEM, Actor
from sparkweb.accounts.models import AuditEntry
from sparkweb.adapters.http_post import PostFailed, post
from sparkweb.outbox import services as outbox
from sparkweb.outbox.loop import OutboxLoop
from sparkweb.outbox.models import Notice, NoticeState
from tests.factories import DefinitionFactory, LaunchFactory
from tests.support.stack import wait_for

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Receiver(ThreadingHTTPServer):
    """Takes POSTs and answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.hold = threading.Event()
        self.hold.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/token-in-the-path"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.server.hold.wait(60)
        self.send_response(self.server.status)
        self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def hook_make(
    url: str = "https://example.lan/x", definitions: list[Any] | None = None, **fields: Any
) -> Webhook:
    return webhooks.webhook_save(
        hook=Webhook(name="chat", url=url, **fields), actor=SYSTEM, definitions=definitions
    )


def told() -> list[str]:
    return [notice.payload["event"] for notice in Notice.objects.order_by("pk")]


# What is told -------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("state", [state for state in LaunchState if state != LaunchState.REQUESTED])
def test_every_state_is_told(state: LaunchState) -> None:
    hook_make()
    source = LaunchState.DEGRADED if state == LaunchState.READY else LaunchState.REQUESTED
    source = LaunchState.READY if state == LaunchState.DEGRADED else source
    launch = LaunchFactory(state=source)
    broke = "it broke" if state == "failed" else ""
    assert launch_move(launch, state, message="so it is", failure_reason=broke)
    notice = Notice.objects.get()
    assert notice.payload["event"] == f"launch.{state}"
    assert notice.payload["launch"]["from_state"] == source
    assert notice.payload["launch"]["message"] == "so it is"
    assert notice.payload["launch"]["failure_reason"] == (broke or None)


def test_a_start_and_a_stop_are_told(node: Any, nudges: Any, memory: Any, someone: Actor) -> None:
    memory(64)
    hook_make()
    launch, _ = launch_create(definition=DefinitionFactory(), node=node, actor=someone)
    launch_stop(launch=launch, actor=someone)
    assert told() == ["launch.requested", "launch.stopping"]


@pytest.mark.django_db
def test_filters_and_the_switch_leave_out_the_rest() -> None:
    wanted, other = DefinitionFactory(), DefinitionFactory()
    hook_make(events=["ready"], definitions=[wanted])
    hook_make(enabled=False)
    for definition in (wanted, other):
        launch = LaunchFactory(definition=definition)
        launch_move(launch, LaunchState.LOADING)
        launch_move(launch, LaunchState.READY)
    assert [notice.payload["launch"]["definition"] for notice in Notice.objects.all()] == [wanted.slug]


@pytest.mark.django_db
def test_a_move_that_is_refused_tells_nothing() -> None:
    hook_make()
    launch = LaunchFactory(state=LaunchState.READY)
    Launch.objects.filter(pk=launch.pk).update(generation=7)
    assert not launch_move(launch, LaunchState.FAILED)
    assert not Notice.objects.exists()


# How it is sent -----------------------------------------------------------------


@pytest.mark.django_db
def test_a_message_is_signed_and_its_receiver_can_check_it(receiver: Receiver) -> None:
    hook = hook_make(receiver.url)
    notice = webhooks.webhook_test(hook=hook, actor=SYSTEM)
    outbox.notice_deliver(notice, NOW)
    notice.refresh_from_db()
    assert (notice.state, notice.attempts, notice.last_result) == ("delivered", 1, "It answers 200")
    headers, body = receiver.taken[0]
    assert json.loads(body)["id"] == headers["x-sparkweb-delivery"] == notice.uid
    assert headers["x-sparkweb-event"] == json.loads(body)["event"] == "test"
    signed = webhooks.signature_of(webhooks.secret_of(hook), headers["x-sparkweb-timestamp"], body)
    assert headers["x-sparkweb-signature"] == signed


@pytest.mark.django_db
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.status = status
    notice = webhooks.webhook_test(hook=hook_make(receiver.url), actor=SYSTEM)
    outbox.notice_deliver(notice, NOW)
    notice.refresh_from_db()
    assert notice.state == "waiting"
    assert notice.last_result == f"It answers {status}, a redirect, which is not followed"
    assert len(receiver.taken) == 1


@pytest.mark.django_db
def test_what_is_not_taken_is_sent_again_later_and_in_the_end_given_up(receiver: Receiver) -> None:
    receiver.status, now = 500, NOW
    notice = webhooks.webhook_test(hook=hook_make(receiver.url), actor=SYSTEM)
    Notice.objects.update(next_at=NOW)
    for wait in outbox.WAIT_SECONDS:
        assert [due.pk for due in outbox.notices_due(now)] == [notice.pk]
        notice.refresh_from_db()
        outbox.notice_deliver(notice, now)
        assert outbox.notices_due(now + timedelta(seconds=wait - 1)) == []
        now += timedelta(seconds=wait)
    notice.refresh_from_db()
    outbox.notice_deliver(notice, now)
    notice.refresh_from_db()
    assert (notice.state, notice.attempts) == (NoticeState.FAILED, len(outbox.WAIT_SECONDS) + 1)
    assert len(receiver.taken) == len(outbox.WAIT_SECONDS) + 1
    assert outbox.notices_due(now + timedelta(days=9)) == []


def test_an_answer_that_does_not_come_ends_the_wait(receiver: Receiver) -> None:
    receiver.hold.clear()
    with pytest.raises(PostFailed, match=r"No answer within 0.2 s"):
        post(receiver.url, b"{}", {}, total_seconds=0.2)


def test_nobody_there_is_said_without_the_address() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/token-in-the-path"
        with pytest.raises(PostFailed, match=r"^No connection") as failed:
            post(url, b"{}", {})
    assert "token" not in str(failed.value)
    assert "127.0.0.1" not in str(failed.value)


@pytest.mark.django_db
def test_a_deleted_webhook_is_told_nothing_more() -> None:
    hook = hook_make()
    notice = webhooks.webhook_test(hook=hook, actor=SYSTEM)
    webhooks.webhook_delete(hook=hook, actor=SYSTEM)
    outbox.notice_deliver(notice, NOW)
    notice.refresh_from_db()
    assert (notice.state, notice.last_result) == ("failed", "The webhook was deleted")


@pytest.mark.django_db(transaction=True)
def test_the_loop_of_control_delivers_in_order(receiver: Receiver) -> None:
    hook = hook_make(receiver.url)
    for _ in range(3):
        webhooks.webhook_test(hook=hook, actor=SYSTEM)
    loop = OutboxLoop()
    loop.start()
    try:
        wait_for(lambda: not Notice.objects.filter(state="waiting").exists(), "delivered", 60)
    finally:
        loop.stop()
        loop.join(60)
    sent = [headers["x-sparkweb-delivery"] for headers, _ in receiver.taken]
    assert sent == list(Notice.objects.order_by("pk").values_list("uid", flat=True))


# The queue ----------------------------------------------------------------------


@pytest.mark.django_db
def test_the_queue_is_bounded_for_each_recipient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "WAITING_MOST", 3)
    for number in range(5):
        outbox.notice_add(channel="x", recipient="a", subject=str(number), payload={})
    outbox.notice_add(channel="x", recipient="b", subject="other", payload={})
    states = dict(Notice.objects.values_list("subject", "state"))
    assert [subject for subject, state in states.items() if state == "dropped"] == ["1", "0"]
    assert states["other"] == "waiting"


@pytest.mark.django_db
def test_one_recipient_gets_the_oldest_first_and_holds_up_no_other() -> None:
    for recipient in ("a", "a", "b"):
        outbox.notice_add(channel="x", recipient=recipient, subject=recipient, payload={})
    due = outbox.notices_due(datetime.now(UTC) + timedelta(seconds=1))
    assert [notice.recipient for notice in due] == ["a", "b"]
    assert due[0].pk < due[1].pk


@pytest.mark.django_db
def test_an_unknown_channel_is_given_up_at_once() -> None:
    notice = outbox.notice_add(channel="pigeon", recipient="a", subject="coo", payload={})
    outbox.notice_deliver(notice, NOW)
    notice.refresh_from_db()
    assert (notice.state, notice.last_result) == ("failed", "Nothing here delivers pigeon")


@pytest.mark.django_db
def test_old_notices_are_forgotten_and_waiting_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEEP_MOST", 2)
    for number in range(5):
        outbox.notice_add(channel="x", recipient="a", subject=str(number), payload={})
    Notice.objects.exclude(subject="0").update(state="delivered", ended_at=NOW)
    Notice.objects.filter(subject="4").update(ended_at=NOW - timedelta(days=40))
    assert outbox.notices_forget(NOW) == 3
    assert set(Notice.objects.values_list("subject", flat=True)) == {"0", "3"}


# Who is told, and what stays secret ---------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"url": "ftp://example.lan/x"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://name:word@example.lan/x"}, "url"),
        ({"url": "https://example.lan/\0"}, "url"),
        ({"url": "https://example.lan/" + 500 * "x"}, "url"),
        ({"url": "not an address"}, "url"),
        ({"events": ["exploded"]}, "events"),
        ({"events": "ready"}, "events"),
        ({"name": "a\0b"}, "name"),
        ({"name": ""}, "name"),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(fields: dict[str, Any], where: str) -> None:
    hook = Webhook(**{"name": "chat", "url": "https://example.lan/x"} | fields)
    with pytest.raises(ValidationError) as refused:
        webhooks.webhook_save(hook=hook, actor=SYSTEM)
    assert where in refused.value.message_dict


@pytest.mark.django_db
def test_a_new_secret_ends_the_old_one_and_neither_stands_in_the_database() -> None:
    hook = hook_make()
    old = webhooks.secret_of(hook)
    new = webhooks.webhook_secret_renew(hook=hook, actor=SYSTEM)
    hook.refresh_from_db()
    assert new == webhooks.secret_of(hook) != old
    row = repr(Webhook.objects.values().get())
    assert new.removeprefix("whsec_") not in row


def test_the_api_shows_the_secret_once(client_of: Any, admin: Any) -> None:
    client = client_of(admin)
    made = client.post(
        "/api/webhooks",
        {"name": "chat", "url": "https://example.lan/private"},
        content_type="application/json",
    )
    assert made.status_code == 201
    uid, secret = made.json()["uid"], made.json()["secret"]
    for path in (f"/api/webhooks/{uid}", "/api/webhooks", f"/webhooks/{uid}/", "/webhooks/"):
        assert secret not in client.get(path).content.decode()
    assert "private" not in client.get("/webhooks/").content.decode()
    assert "private" not in repr(list(AuditEntry.objects.values()))
    renewed = client.post(f"/api/webhooks/{uid}/secret")
    assert renewed.json()["secret"] != secret


def test_a_webhook_is_made_tested_and_deleted_from_its_pages(client_of: Any, admin: Any) -> None:
    client, definition = client_of(admin), DefinitionFactory()
    answer = client.post(
        "/webhooks/",
        {
            "name": "chat",
            "url": "https://example.lan/private",
            "events": ["ready", "failed"],
            "definitions": [definition.pk],
            "enabled": "on",
        },
    )
    hook = Webhook.objects.get()
    assert webhooks.secret_of(hook) in answer.content.decode()
    assert (hook.events, list(hook.definitions.all())) == (["ready", "failed"], [definition])
    assert "Test, by admin" in client.post(f"/webhooks/{hook.uid}/test/").content.decode()
    wrong = client.post(f"/webhooks/{hook.uid}/", {"name": "chat", "url": "ftp://x.lan", "enabled": "on"})
    assert "Enter a valid URL" in wrong.content.decode()
    client.post(f"/webhooks/{hook.uid}/", {"name": "other", "url": "https://example.lan/x"})
    hook.refresh_from_db()
    assert (hook.name, hook.enabled, hook.events, hook.definitions.count()) == ("other", False, [], 0)
    client.post(f"/webhooks/{hook.uid}/delete/")
    assert not Webhook.objects.exists()
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"webhook_create", "webhook_edit", "webhook_test", "webhook_delete"} <= actions
