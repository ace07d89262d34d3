"""Alerts from figure to message: rules, silences, channels, events, and who may do what."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from metrics_app.alerts import notices
from metrics_app.alerts.engine import AlertEngine
from metrics_app.alerts.services import (
    AlertRefused,
    alert_acknowledge,
    event_raise,
    rule_delete,
    rule_save,
    silence_add,
    silence_end,
    untold_tell,
)
from metrics_app.alerts.shipped import RULES, rules_ship
from metrics_app.handlers import status_changed
from metrics_app.models_alerts import Alert, AlertChannel, AlertRule, Silence
from models_app.transitions import launch_move
from sparkweb.accounts.actor import SYSTEM
from sparkweb.accounts.models import AuditEntry, User
from sparkweb.outbox.models import Notice
from sparkweb.outbox.services import DeliveryFailed, notice_deliver
from sparkweb.sealed import SealBroken, seal, unseal
from sparkweb.shared_streams import shared_streams
from tests.factories import DefinitionFactory, LaunchFactory, NodeFactory

TEMPERATURE = "gpu_temperature_celsius|0"


@pytest.fixture(autouse=True)
def _redis(redis_url: str, settings: Any) -> Iterator[None]:
    settings.REDIS_URL = redis_url
    shared_streams.cache_clear()
    yield
    shared_streams.cache_clear()


def rule(**fields: Any) -> AlertRule:
    wanted = {
        "name": "GPU hot",
        "kind": "above",
        "metric": "gpu_temperature_celsius",
        "value": 85,
        "clear_value": 80,
        "for_seconds": 10,
        "hold_seconds": 20,
    }
    return rule_save(rule=AlertRule(**(wanted | fields)), actor=SYSTEM)


def channel(url: str = "json://127.0.0.1:1/", **fields: Any) -> AlertChannel:
    made = AlertChannel(**({"name": "phone", "least_severity": "info"} | fields))
    return notices.channel_save(channel=made, actor=SYSTEM, url=url)


class House:
    """An engine whose clock the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.engine = AlertEngine(clock=lambda: self.now)

    def pass_by(self, seconds: int, node: str = "spark-1", **figures: float) -> None:
        """So many seconds with these figures each."""
        for _ in range(seconds):
            self.engine.take(node, {key.replace("__", "|"): value for key, value in figures.items()})
            self.engine.tick()
            self.now += 1.0


HOT = {"gpu_temperature_celsius__0": 90.0}
COOL = {"gpu_temperature_celsius__0": 60.0}


def test_fires_once_is_told_once_and_ends(db: None) -> None:
    rule()
    channel()
    house = House()
    house.pass_by(9, **HOT)
    assert not Alert.objects.exists()
    house.pass_by(30, **HOT)
    alert = Alert.objects.get()
    assert (alert.state, alert.node_name, alert.series, alert.value) == (
        "firing",
        "spark-1",
        TEMPERATURE,
        90.0,
    )
    assert alert.message == "GPU 0 temperature is 90 °C, above 85 °C for 10 s"
    house.pass_by(25, **COOL)
    alert.refresh_from_db()
    assert alert.state == "resolved"
    subjects = list(Notice.objects.order_by("pk").values_list("subject", flat=True))
    assert subjects == ["GPU hot on spark-1", "Over: GPU hot on spark-1"]


def test_a_control_that_starts_again_goes_on_with_what_fires(db: None) -> None:
    rule()
    channel()
    House().pass_by(12, **HOT)
    again = House()
    again.pass_by(15, **HOT)
    assert Alert.objects.count() == Notice.objects.count() == 1
    again.pass_by(25, **COOL)
    assert Alert.objects.get().state == "resolved"


def test_a_rule_covers_what_it_names(db: None) -> None:
    rule(metric="disk_used_percent", subject="/data*", node_name="spark-2", value=90, clear_value=None)
    house = House()
    full = {"disk_used_percent__/data/a": 95.0, "disk_used_percent__/": 95.0}
    house.pass_by(15, **full)
    assert not Alert.objects.exists()
    house.pass_by(15, node="spark-2", **full)
    assert Alert.objects.get().series == "disk_used_percent|/data/a"


def test_a_figure_that_is_not_told_any_more(db: None) -> None:
    rule(name="gone", kind="absent", metric="gpu_power_watts", value=None, clear_value=None, for_seconds=10)
    house = House()
    house.pass_by(5, gpu_power_watts__0=30.0)
    house.pass_by(20, cpu_percent=1.0)
    assert Alert.objects.get().message == "GPU 0 power is not told any more for 10 s"


def test_a_changed_or_disabled_rule_ends_what_it_fired_for(db: None) -> None:
    made = rule()
    house = House()
    house.pass_by(12, **HOT)
    made.enabled = False
    rule_save(rule=made, actor=SYSTEM)
    assert Alert.objects.get().state == "resolved"
    house.pass_by(20, **HOT)
    assert Alert.objects.count() == 1
    rule_delete(rule=made, actor=SYSTEM)
    assert Alert.objects.get().rule is None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"metric": "nonsense"}, "metric"),
        ({"value": None}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": float("inf")}, "value"),
        ({"metric": "cpu_percent", "value": 100, "clear_value": None}, "value"),
        ({"metric": "cpu_percent", "kind": "below", "value": 0, "clear_value": None}, "value"),
        ({"clear_value": 90}, "clear_value"),
        ({"kind": "below", "clear_value": 70}, "clear_value"),
        ({"kind": "absent", "for_seconds": 2}, "for_seconds"),
        ({"kind": "event", "metric": "cpu_percent"}, "metric"),
        ({"hold_seconds": 1}, "hold_seconds"),
        ({"name": ""}, "name"),
        ({"kind": "sometimes"}, "kind"),
    ],
)
def test_rules_that_could_never_fire_are_refused(db: None, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        rule(**fields)
    assert wrong in refused.value.message_dict


def test_the_shipped_rules_hold_and_come_once(db: None) -> None:
    assert rules_ship() == len(RULES)
    for one in AlertRule.objects.all():
        rule_save(rule=one, actor=SYSTEM)
    AlertRule.objects.filter(shipped="gpu_hot").delete()
    assert rules_ship() == 0


# Silences and acknowledgement ------------------------------------------------------


def quiet(**fields: Any) -> Silence:
    ends_at = timezone.now() + timedelta(hours=1)
    return silence_add(
        **({"rule": None, "node_name": "", "reason": "work", "ends_at": ends_at, "actor": SYSTEM} | fields)
    )


def test_who_is_silenced_is_told_later_if_it_fires_still(db: None) -> None:
    made = rule()
    channel()
    silence = quiet(rule=made)
    House().pass_by(12, **HOT)
    assert Alert.objects.get().told is False
    assert untold_tell() == 0
    silence_end(silence=silence, actor=SYSTEM)
    assert untold_tell() == 1
    assert untold_tell() == 0
    assert Notice.objects.count() == 1


def test_a_silence_of_another_node_or_rule_silences_nothing(db: None) -> None:
    rule()
    channel()
    quiet(node_name="spark-2")
    quiet(rule=rule(name="other", value=99))
    House().pass_by(12, **HOT)
    assert Notice.objects.count() == 1


def test_what_is_known_is_not_told(db: None, operator: User) -> None:
    rule()
    channel()
    silence = quiet()
    House().pass_by(12, **HOT)
    alert_acknowledge(alert=Alert.objects.get(), actor=SYSTEM)
    silence_end(silence=silence, actor=SYSTEM)
    assert untold_tell() == 0


@pytest.mark.parametrize("ends_in", [timedelta(seconds=-1), timedelta(days=91)])
def test_silences_without_sense(db: None, ends_in: timedelta) -> None:
    with pytest.raises(AlertRefused):
        quiet(ends_at=timezone.now() + ends_in)


# Events ---------------------------------------------------------------------------


def test_a_node_that_goes_and_comes_back(db: None) -> None:
    NodeFactory(name="spark-1")
    rules_ship()
    for status in ("online", "stale", "offline", "offline"):
        status_changed("spark-1", status)
    alert = Alert.objects.get()
    assert (alert.severity, alert.state) == ("critical", "firing")
    status_changed("spark-1", "online")
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_a_model_that_failed_until_it_is_ready_or_known(db: None) -> None:
    rules_ship()
    definition = DefinitionFactory(slug="qwen")
    node = NodeFactory(name="spark-1")
    failed = LaunchFactory(definition=definition, node=node, state="loading")
    launch_move(failed, "failed", message="Out of memory", failure_code="oom", failure_reason="Out of memory")
    alert = Alert.objects.get()
    assert alert.message == "qwen: Out of memory"
    assert alert.url == failed.get_absolute_url()
    ready = LaunchFactory(definition=definition, node=node, state="loading")
    launch_move(ready, "ready")
    alert.refresh_from_db()
    assert alert.state == "resolved"
    (other,) = event_raise(event="launch_failed", node_name="spark-1", subject="phi", message="again")
    assert alert_acknowledge(alert=other, actor=SYSTEM).state == "resolved"


def test_words_from_nodes_are_cut_and_cleaned(db: None) -> None:
    rules_ship()
    (alert,) = event_raise(event="launch_failed", node_name="n" * 99, subject="s" * 300, message="a\0b" * 400)
    assert "\0" not in alert.message
    assert len(alert.message) == 300


# Channels -------------------------------------------------------------------------


class Receiver(ThreadingHTTPServer):
    """Takes what Apprise posts; answers `status`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        receiver = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                return

        super().__init__(("127.0.0.1", 0), Take)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://user:hunter2@127.0.0.1:{self.server_port}/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


def test_a_message_goes_out_by_apprise(db: None, receiver: Receiver) -> None:
    rule()
    channel(receiver.url)
    House().pass_by(12, **HOT)
    notice = Notice.objects.get()
    notice_deliver(notice, timezone.now())
    notice.refresh_from_db()
    assert (notice.state, notice.last_result) == ("delivered", "json took it")
    assert b"GPU hot on spark-1" in receiver.bodies[0]
    assert b"above 85" in receiver.bodies[0]


def test_a_receiver_that_refuses_is_tried_again_and_never_named(
    db: None, receiver: Receiver, caplog: Any
) -> None:
    made = channel(receiver.url)
    notice = notices.channel_test(channel=made, actor=SYSTEM)
    receiver.status = 500
    notice_deliver(notice, timezone.now())
    notice.refresh_from_db()
    assert (notice.state, notice.attempts, notice.last_result) == ("waiting", 1, "json did not take it")
    receiver.status = 200
    notice_deliver(notice, timezone.now())
    notice.refresh_from_db()
    assert notice.state == "delivered"
    assert "hunter2" not in caplog.text
    assert "hunter2" not in str(list(AlertChannel.objects.values()) + list(AuditEntry.objects.values()))


def test_a_channel_hears_from_its_severity_on(db: None) -> None:
    channel(least_severity="critical")
    rule(severity="warning")
    House().pass_by(12, **HOT)
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "file:///etc/passwd", "dbus://", "syslog://", "no://where", "a\0b://c"]
)
def test_addresses_that_are_none(db: None, url: str) -> None:
    with pytest.raises(ValidationError):
        channel(url)


def test_a_channel_sealed_with_another_key_says_so(db: None, settings: Any) -> None:
    notice = notices.channel_test(channel=channel(), actor=SYSTEM)
    settings.SECRET_KEY = "x" * 60
    with pytest.raises(DeliveryFailed, match="enter it again"):
        notices.deliver(notice)


def test_sealing() -> None:
    sealed = seal("ntfy://host/secret", "a")
    assert "secret" not in sealed
    assert unseal(sealed, "a") == "ntfy://host/secret"
    with pytest.raises(SealBroken):
        unseal(sealed, "b")


# API and pages --------------------------------------------------------------------


def test_api_of_rules_silences_and_channels(db: None, admin: User, operator: User, client_of: Any) -> None:
    client = client_of(admin)
    made = client.post(
        "/api/alert-rules/",
        {"name": "hot", "kind": "above", "metric": "gpu_temperature_celsius", "value": 80},
        content_type="application/json",
    )
    assert made.status_code == 201, made.content
    wrong = client.patch(
        f"/api/alert-rules/{made.json()['id']}/", {"value": 1e9}, content_type="application/json"
    )
    assert wrong.status_code == 400
    House().pass_by(70, **HOT)
    (alert,) = client.get("/api/alerts/?state=firing").json()["results"]
    assert (
        client_of(operator).post(f"/api/alerts/{alert['id']}/acknowledge/").json()["acknowledged_by"]
        == "operator"
    )
    ends_at = (timezone.now() + timedelta(hours=2)).isoformat()
    silence = client_of(operator).post(
        "/api/silences/", {"reason": "work", "ends_at": ends_at}, content_type="application/json"
    )
    assert silence.status_code == 201, silence.content
    assert client_of(operator).delete(f"/api/silences/{silence.json()['id']}/").status_code == 204
    told = client.post(
        "/api/alert-channels/",
        {"name": "phone", "url": "json://u:hunter2@127.0.0.1:1/"},
        content_type="application/json",
    )
    assert told.status_code == 201, told.content
    assert "hunter2" not in told.content.decode() + client.get("/api/alert-channels/").content.decode()
    assert client.post(f"/api/alert-channels/{told.json()['id']}/test/").status_code == 202


def test_pages_of_alerts(db: None, admin: User, viewer: User, client_of: Any) -> None:
    assert "All is well" in client_of(viewer).get("/alerts/").content.decode()
    rule()
    House().pass_by(12, **HOT)
    page = client_of(viewer).get("/alerts/").content.decode()
    assert "above 85 °C" in page
    assert "Acknowledge" not in page, "a viewer only looks"
    client = client_of(admin)
    fields = {
        "name": "cold",
        "kind": "below",
        "metric": "gpu_temperature_celsius",
        "value": "5",
        "severity": "info",
    }
    fields |= {"for_seconds": "5", "hold_seconds": "10", "window_seconds": "60", "enabled": "on"}
    assert client.post("/alerts/rules/new/", fields).status_code == 302
    again = client.post("/alerts/rules/new/", fields | {"name": "colder", "value": "-60"})
    assert "never below -60" in again.content.decode()
    channel_page = client.post(
        "/alerts/channels/", {"name": "p", "url": "file:///x", "least_severity": "info"}
    )
    assert "would tell only the machine" in channel_page.content.decode()
    assert client.post("/alerts/silences/", {"seconds": "3600", "reason": "work"}).status_code == 302
    assert Silence.objects.get().reason == "work"
