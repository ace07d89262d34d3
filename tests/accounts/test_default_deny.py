"""Nobody gets anything without login; forwarded headers prove nothing unless a listed proxy sent them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory

from sparkweb.accounts.middleware import TrustedProxyMiddleware, client_address, trusted_networks
from sparkweb.accounts.models import User
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
ClientOf = Callable[..., Client]


def test_page_redirects_to_login_and_back(client: Client) -> None:
    answer = client.get("/launches/?state=failed")
    assert answer.status_code == 302
    assert answer["Location"] == "/login/?next=%2Flaunches%2F%3Fstate%3Dfailed"


def test_unknown_address_tells_nobody_that_it_is_unknown(client: Client) -> None:
    assert client.get("/no/such/page").status_code == 302
    answer = client.get("/api/no-such-call")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_api_without_key_answers_401_with_a_sentence(client: Client) -> None:
    answer = client.get("/api/nodes")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="SparkWeb"'
    assert answer.json()["code"] == "not_authenticated"


def test_htmx_is_sent_to_login_not_fed_the_login_page(client: Client) -> None:
    answer = client.get("/launches/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"]) == (401, "/login/")


def test_health_answers_everyone_and_asks_no_database(client: Client, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    with django_assert_num_queries(0):
        answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert client.get("/health/").status_code == 200


def test_one_time_password_opens_only_the_password_page(client_of: ClientOf, viewer: User) -> None:
    viewer.must_change_password = True
    viewer.save()
    client = client_of(viewer)
    assert client.get("/")["Location"] == "/account/password/"
    assert client.get("/api/nodes").json()["code"] == "password_change_required"
    assert client.get("/account/password/").status_code == 200


def test_new_password_ends_the_one_time_password_and_other_sessions(
    client_of: ClientOf, viewer: User
) -> None:
    viewer.must_change_password = True
    viewer.save()
    client, elsewhere = client_of(viewer), client_of(viewer)
    same = {"old_password": PASSWORD, "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert b"choose another" in client.post("/account/password/", same).content
    fresh = {
        "old_password": PASSWORD,
        "new_password1": "quite another word",
        "new_password2": "quite another word",
    }
    assert client.post("/account/password/", fresh)["Location"] == "/"
    viewer.refresh_from_db()
    assert not viewer.must_change_password
    assert client.get("/nodes/").status_code == 200
    assert elsewhere.get("/nodes/").status_code == 302


def test_disabled_user_is_out_at_the_next_call(client_of: ClientOf, viewer: User) -> None:
    client = client_of(viewer)
    User.objects.filter(pk=viewer.pk).update(is_active=False)
    assert client.get("/nodes/").status_code == 302


def test_brute_force_is_locked_out_for_that_name_and_address(client: Client, viewer: User) -> None:
    for _ in range(8):
        last = client.post("/login/", {"username": "viewer", "password": "wrong"})
    assert last.status_code == 429
    right = {"username": "viewer", "password": PASSWORD}
    assert client.post("/login/", right).status_code == 429
    assert client.post("/login/", right, REMOTE_ADDR="10.9.9.9").status_code == 302


def test_spoofed_forwarded_for_does_not_evade_the_lockout(client: Client, viewer: User) -> None:
    for number in range(8):
        headers = {"X-Forwarded-For": f"10.0.0.{number}"}
        last = client.post("/login/", {"username": "viewer", "password": "wrong"}, headers=headers)
    assert last.status_code == 429


def test_login_redirects_only_within_this_server(client: Client, viewer: User) -> None:
    answer = client.post("/login/?next=https://evil.example/", {"username": "viewer", "password": PASSWORD})
    assert answer["Location"] == "/"


def test_post_without_csrf_token_is_refused(viewer: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(viewer, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post("/logout/").status_code == 403
    assert client.post("/api/keys", {"scopes": ["read"]}, content_type="application/json").status_code == 403
    assert client.post("/login/", {"username": "viewer", "password": PASSWORD}).status_code == 403


def test_wrong_host_is_refused(client: Client, viewer: User) -> None:
    assert client.get("/health", headers={"Host": "rebound.example"}).status_code == 400


@pytest.fixture
def proxy(settings) -> None:  # type: ignore[no-untyped-def]
    settings.TRUSTED_PROXIES = ["10.0.0.0/24"]
    trusted_networks.cache_clear()
    yield
    trusted_networks.cache_clear()


def _through(peer: str, **headers: str) -> HttpRequest:
    request = RequestFactory().get("/", REMOTE_ADDR=peer, **headers)
    TrustedProxyMiddleware(lambda _: None)(request)  # type: ignore[arg-type,return-value]
    return request


def test_forwarded_headers_of_strangers_are_dropped(proxy: None) -> None:
    request = _through("192.168.1.7", HTTP_X_FORWARDED_FOR="1.2.3.4", HTTP_X_FORWARDED_PROTO="https")
    assert request.META["REMOTE_ADDR"] == "192.168.1.7"
    assert not request.is_secure()
    assert not [name for name in request.META if "FORWARDED" in name]


def test_forwarded_headers_of_a_listed_proxy_are_believed(proxy: None) -> None:
    request = _through("10.0.0.2", HTTP_X_FORWARDED_FOR="1.2.3.4", HTTP_X_FORWARDED_PROTO="https")
    assert request.META["REMOTE_ADDR"] == "1.2.3.4"
    assert request.is_secure()


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("6.6.6.6, 1.2.3.4", "1.2.3.4"),  # what the client wrote itself stands left of what the proxy saw
        ("1.2.3.4, 10.0.0.9", "1.2.3.4"),  # two proxies of ours
        ("not an address", "10.0.0.2"),
        ("", "10.0.0.2"),
        ("10.0.0.7", "10.0.0.7"),
    ],
)
def test_client_address_is_the_last_hop_that_is_no_proxy(proxy: None, forwarded: str, expected: str) -> None:
    assert client_address("10.0.0.2", forwarded) == expected


def test_policy_is_strict_but_below_admin(client_of: ClientOf, admin: User) -> None:
    client = client_of(admin)
    strict = client.get("/nodes/")["Content-Security-Policy"]
    assert "unsafe-eval" not in strict
    assert "'unsafe-inline'" not in strict.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" in client.get("/admin/")["Content-Security-Policy"]


def test_admin_panel_is_for_admins(client_of: ClientOf, operator: User, client: Client) -> None:
    assert client_of(operator).get("/admin/").status_code == 403
    assert client.get("/admin/login/?next=/admin/")["Location"].startswith("/login/")
