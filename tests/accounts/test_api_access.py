"""Keys, users, the audit and the schema through the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from rest_framework.throttling import SimpleRateThrottle

from metrics_app.models import Node
from sparkweb.accounts.models import ApiKey, AuditEntry, User
from sparkweb.streams import StreamsDown
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
Bearer = Callable[..., Client]
JSON = "application/json"


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(path, body, content_type=JSON)


# Keys ----------------------------------------------------------------------------


def test_key_is_shown_once_and_only_its_hash_is_kept(client_of: Callable[..., Client], viewer: User) -> None:
    client = client_of(viewer)
    made = post(client, "/api/keys", scopes=["read"], name="cron", days=30).json()
    text = made["key"]
    assert text.startswith("sw_")
    assert text not in str(ApiKey.objects.values())
    assert text not in client.get("/api/keys").content.decode()
    assert text not in str(AuditEntry.objects.values())
    me = Client().get("/api/me", headers={"Authorization": f"Bearer {text}"}).json()
    assert me == {"username": "viewer", "role": "viewer", "scopes": ["read"]}


@pytest.mark.parametrize("scopes", [["operate"], ["read", "admin"], [], ["everything"], "read", None])
def test_key_beyond_ones_role_or_without_scope_is_refused(
    client_of: Callable[..., Client], viewer: User, scopes: Any
) -> None:
    answer = post(client_of(viewer), "/api/keys", scopes=scopes)
    assert (answer.status_code, "scopes" in answer.json()["fields"]) == (400, True)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"revoked_at": timezone.now()}, "was revoked"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired on"),
    ],
)
def test_ended_key_is_refused_with_its_reason(
    bearer: Bearer, viewer: User, change: Any, sentence: str
) -> None:
    client = bearer(viewer, "read")
    ApiKey.objects.update(**change)
    answer = client.get("/api/me")
    assert (answer.status_code, sentence in answer.json()["error"]) == (401, True)
    assert "Bearer" in answer["WWW-Authenticate"]


def test_key_of_a_disabled_user_is_refused(bearer: Bearer, viewer: User) -> None:
    client = bearer(viewer, "read")
    User.objects.update(is_active=False)
    assert client.get("/api/me").status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer sw_wrong", "Bearer \x7f", "bearer é", "Bearer a b"]
)
def test_odd_keys_are_a_401(header: str, db: None) -> None:
    answer = Client().get("/api/me", headers={"Authorization": header})
    assert answer.status_code == 401


@pytest.mark.parametrize("header", ["Basic dmlld2VyOng=", "sw_x", ""])
def test_other_authorization_is_as_good_as_none(header: str, db: None) -> None:
    assert Client().get("/api/me", headers={"Authorization": header}).status_code == 401


def test_wrong_key_is_refused_even_with_a_session(client_of: Callable[..., Client], admin: User) -> None:
    assert client_of(admin).get("/api/me", headers={"Authorization": "Bearer sw_wrong"}).status_code == 401


def test_everyone_sees_and_revokes_only_their_own_keys(
    client_of: Callable[..., Client], key_of: Callable[..., str], viewer: User, admin: User
) -> None:
    key_of(admin, "admin")
    key_of(viewer, "read")
    theirs, mine = ApiKey.objects.get(user=admin), ApiKey.objects.get(user=viewer)
    client = client_of(viewer)
    assert [row["id"] for row in client.get("/api/keys?all=true").json()["results"]] == [mine.pk]
    assert client.delete(f"/api/keys/{theirs.pk}").status_code == 404
    assert client.delete(f"/api/keys/{mine.pk}").json()["is_usable"] is False
    boss = client_of(admin)
    assert boss.get("/api/keys").json()["count"] == 1
    assert boss.get("/api/keys?all=true").json()["count"] == 2


def test_admin_makes_keys_for_others_within_their_role(
    client_of: Callable[..., Client], admin: User, viewer: User
) -> None:
    assert post(client_of(admin), "/api/keys", scopes=["read"], user="viewer").json()["user"] == "viewer"
    assert post(client_of(admin), "/api/keys", scopes=["operate"], user="viewer").status_code == 400
    assert post(client_of(viewer), "/api/keys", scopes=["read"], user="admin").status_code == 400


def test_use_is_noted_at_most_once_a_minute(
    bearer: Bearer, viewer: User, django_assert_num_queries: Any
) -> None:
    client = bearer(viewer, "read")
    client.get("/api/me")
    assert ApiKey.objects.get().last_used_at is not None
    with django_assert_num_queries(1):
        client.get("/api/me")


# Users ---------------------------------------------------------------------------


def test_admin_keeps_users(bearer: Bearer, admin: User) -> None:
    client = bearer(admin, "admin")
    made = post(client, "/api/users", username="eve", role="operator", password="a long enough one")
    assert made.status_code == 201
    assert "password" not in made.json()
    eve = User.objects.get(username="eve")
    assert (eve.must_change_password, eve.check_password("a long enough one")) == (True, True)
    assert client.patch("/api/users/eve", {"role": "viewer"}, content_type=JSON).json()["role"] == "viewer"
    assert client.delete("/api/users/eve").status_code == 204
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert actions[-3:] == ["user_create", "user_change", "user_delete"]


@pytest.mark.parametrize(
    "body",
    [{"username": "eve", "password": "password"}, {"username": "eve", "password": "12345678901"},
     {"username": "a b"},
     {"username": "eve", "role": "king"}, {"username": ""}, {"username": "admin"}, {}],
)  # fmt: skip
def test_wrong_users_are_refused(bearer: Bearer, admin: User, body: dict[str, Any]) -> None:
    answer = post(bearer(admin, "admin"), "/api/users", **body)
    assert answer.status_code == 400
    assert User.objects.count() == 1


def test_the_only_admin_is_neither_demoted_nor_disabled_nor_removed(bearer: Bearer, admin: User) -> None:
    client = bearer(admin, "admin")
    for change in ({"role": "viewer"}, {"is_active": False}):
        answer = client.patch("/api/users/admin", change, content_type=JSON)
        assert (answer.status_code, "only admin" in answer.json()["error"]) == (400, True)
    assert client.delete("/api/users/admin").status_code == 400
    UserFactory(username="second", role="admin")
    assert client.patch("/api/users/admin", {"role": "viewer"}, content_type=JSON).status_code == 200


# The audit -----------------------------------------------------------------------


def test_audit_is_filtered_and_cannot_be_written(bearer: Bearer, admin: User) -> None:
    client = bearer(admin, "admin")
    entry = AuditEntry.objects.create(
        actor=admin, actor_label="admin", via="page", action="launch_start", target="qwen"
    )
    count = lambda query: client.get(f"/api/audit?{query}").json()["count"]  # noqa: E731
    assert count("action=launch_start") == 1
    assert count("actor=admin&target=qw") == 1
    assert count("until=2000-01-01T00:00:00Z") == 0
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(f"/api/audit/{entry.pk}").status_code == 405


def test_audit_names_the_key_and_the_address(bearer: Bearer, admin: User) -> None:
    post(bearer(admin, "admin"), "/api/users", username="eve")
    entry = AuditEntry.objects.get(action="user_create")
    assert (entry.via, entry.address) == ("api", "127.0.0.1")
    assert entry.actor_label.startswith("admin (key sw_")


# Limits and faults ---------------------------------------------------------------


def test_too_many_calls_are_answered_429_with_retry_after(
    bearer: Bearer, viewer: User, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "caller", "3/min")
    client = bearer(viewer, "read")
    codes = [client.get("/api/me").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    last = client.get("/api/me")
    assert int(last["Retry-After"]) > 0
    assert last.json()["code"] == "throttled"
    assert bearer(admin, "admin").get("/api/me").status_code == 200


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperationalError("database is locked"), "database_unavailable"),
        (StreamsDown("Redis at /x: gone"), "redis_unavailable"),
    ],
)
def test_what_is_away_is_a_503_that_says_so(
    bearer: Bearer, viewer: User, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    client = bearer(viewer, "read")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("metrics_app.api.NodeViewSet.list", fail)
    answer = client.get("/api/nodes")
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, code, "2")


@pytest.mark.parametrize(("path", "kind"), [("/api/me", "application/json"), ("/nodes/", "text/html")])
def test_database_away_before_the_view_is_a_503_too(
    client_of: Callable[..., Client], viewer: User, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    client = client_of(viewer)
    client.raise_request_exception = False

    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("django.contrib.auth.middleware.get_user", fail)
    answer = client.get(path)
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert answer["Content-Type"].startswith(kind)


def test_a_bug_is_a_500_without_its_insides(
    client_of: Callable[..., Client], viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(viewer)
    client.raise_request_exception = False

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr("metrics_app.api.NodeViewSet.list", fail)
    answer = client.get("/api/nodes")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret inside" not in answer.content.decode()


def test_unknown_call_is_a_json_404(client_of: Callable[..., Client], viewer: User) -> None:
    answer = client_of(viewer).get("/api/no-such-call")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_wrong_method_is_a_json_405(bearer: Bearer, admin: User) -> None:
    answer = bearer(admin, "admin").post("/api/metrics")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


# Nodes ---------------------------------------------------------------------------


def test_node_is_added_changed_and_removed(bearer: Bearer, admin: User) -> None:
    client = bearer(admin, "admin")
    made = post(client, "/api/nodes", name="spark-2", lan_address="192.168.1.49")
    assert made.status_code == 201
    assert made.json()["private_key"]
    assert "private_key" not in client.get("/api/nodes/spark-2").json()
    assert (
        client.patch("/api/nodes/spark-2", {"label": "Second"}, content_type=JSON).json()["label"] == "Second"
    )
    assert "name" in client.patch("/api/nodes/spark-2", {"name": "x"}, content_type=JSON).json()["fields"]
    assert post(client, "/api/nodes", name="spark-2").status_code == 400
    assert client.delete("/api/nodes/spark-2").status_code == 204
    assert not Node.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Big"},
        {"name": ""},
        {"name": "a/b"},
        {"name": "a", "lan_address": "x"},
        {"name": "x" * 41},
        {"name": "a", "labels": []},
    ],
)
def test_wrong_nodes_are_refused(bearer: Bearer, admin: User, body: dict[str, Any]) -> None:
    assert post(bearer(admin, "admin"), "/api/nodes", **body).status_code == 400
    assert not Node.objects.exists()


# The document --------------------------------------------------------------------


def test_schema_is_valid_openapi_3_1_without_a_warning(tmp_path: Any) -> None:
    file = tmp_path / "schema.yaml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))
    assert file.read_text().startswith("openapi: 3.1")


def test_schema_is_served_as_yaml_and_json(bearer: Bearer, viewer: User) -> None:
    client = bearer(viewer, "read")
    assert client.get("/api/schema/").content.startswith(b"openapi: 3.1")
    assert (
        client.get("/api/schema/", headers={"Accept": "application/json"}).json()["openapi"].startswith("3.1")
    )


def test_documentation_page_keeps_the_strict_policy(client_of: Callable[..., Client], viewer: User) -> None:
    answer = client_of(viewer).get("/api/docs/")
    policy = answer["Content-Security-Policy"]
    assert answer.status_code == 200
    assert "unsafe-eval" not in policy
    page = answer.content.decode()
    assert "<script>" not in page.replace("\n", "")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "cdn" not in page
    script = client_of(viewer).get("/api/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")
