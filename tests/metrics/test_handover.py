"""What an owner carries to a second machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from metrics_app.handover import Handover, handover_make
from sparkweb.accounts.models import User
from sparkweb.node_link.acl import agent_acl


def handed(settings: Any, redis_url: str) -> Handover:
    settings.REDIS_URL = redis_url
    return handover_make(node="spark-2", private_key="the-key\n")


@pytest.mark.parametrize(
    ("ours", "scheme", "place"),
    [
        ("redis://default:hush@10.0.0.1:6390/2", "redis", "10.0.0.1:6390/2"),
        ("rediss://10.0.0.1:6390/0?ssl_cert_reqs=none", "rediss", "10.0.0.1:6390/0?ssl_cert_reqs=none"),
        ("redis://:hush@[fd00::1]:6379/0", "redis", "[fd00::1]:6379/0"),
    ],
)
def test_the_agent_gets_a_redis_user_of_its_own(settings: Any, ours: str, scheme: str, place: str) -> None:
    handover = handed(settings, ours)
    password = re.fullmatch(rf"{scheme}://agent-spark-2:([\w-]{{32}})@{re.escape(place)}", handover.redis_url)
    assert password
    assert handover.redis_rule.split()[:5] == ["ACL", "SETUSER", "agent-spark-2", "on", f">{password[1]}"]
    assert handover.redis_rule.split()[5:] == agent_acl("spark-2")
    assert handover.redis_is_shared
    assert "hush" not in "\n".join(handover.lines())


def test_a_private_redis_is_told(settings: Any) -> None:
    handover = handed(settings, "unix:///data/run/redis.sock")
    assert not handover.redis_is_shared
    assert "@ADDRESS:6379/0" in handover.redis_url
    assert any("private now" in line for line in handover.lines())


def test_secrets_stay_out_of_what_is_printed_by_accident(settings: Any) -> None:
    handover = handed(settings, "redis://10.0.0.1:6379/0")
    assert "the-key" not in repr(handover)
    assert handover.redis_url not in repr(handover)


def test_the_page_shows_it_once(admin: User, client_of: Callable[[User], Client]) -> None:
    client = client_of(admin)
    page = client.post("/node-new/", {"name": "spark-2", "labels": "{}"}).content.decode()
    for part in (
        "ACL SETUSER agent-spark-2",
        "sparkweb-node-key-1:",
        "SPARKWEB_INSTALLATION=",
        "manage.py agent",
    ):
        assert part in page
    assert "sparkweb-node-key-1:" not in client.get("/nodes/").content.decode()
