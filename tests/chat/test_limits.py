"""How much may be asked of models: counted rightly, refused in words, set by admins alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_app.gateway import keys as gateway_keys
from chat_app.gateway.errors import GatewayError
from chat_app.gateway.limits import DAY, Limit, Limits
from chat_app.limits import day_read
from chat_app.models import UsageOutcome, UsageRecord
from chat_app.models_limits import UsageLimit
from sparkweb.accounts.models import ApiKey, AuditEntry, User
from tests.chat.conftest import ReadyMake
from tests.chat.test_gateway import BODY, CHAT
from tests.chat.test_usage import _record
from tests.factories import DefinitionFactory
from tests.support.gateway import RunningGateway
from tests.support.site import Reply, Site
from tests.support.stack import wait_for

NOW = 1_800_000_000.0


def _limit(**fields: Any) -> tuple[Limit, ...]:
    return (Limit("key:1", "The API key sk-1…", **fields),)


def _refused(limits: Limits, limit: tuple[Limit, ...], now: float, model: str = "qwen") -> GatewayError:
    with pytest.raises(GatewayError) as refusal:
        limits.admit(limit, model, now)
    return refusal.value


def test_requests_a_minute_are_those_of_the_last_sixty_seconds() -> None:
    limits, limit = Limits(), _limit(requests_per_minute=2)
    limits.admit(limit, "qwen", NOW)
    limits.admit(limit, "qwen", NOW + 20)
    error = _refused(limits, limit, NOW + 30)
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", 30)
    limits.admit(limit, "qwen", NOW + 60)
    assert _refused(limits, limit, NOW + 61).retry_after == 19


def test_tokens_count_at_the_end_of_an_answer() -> None:
    limits, limit = Limits(), _limit(tokens_per_minute=100)
    first, second = limits.admit(limit, "qwen", NOW), limits.admit(limit, "qwen", NOW)
    first.end(90, NOW + 1)
    limits.admit(limit, "qwen", NOW + 1)
    second.end(20, NOW + 2)
    assert _refused(limits, limit, NOW + 3).retry_after == 58
    limits.admit(limit, "qwen", NOW + 61)


def test_requests_at_once_are_freed_when_they_end() -> None:
    limits, limit = Limits(), _limit(parallel=1)
    ticket = limits.admit(limit, "qwen", NOW)
    assert _refused(limits, limit, NOW).code == "rate_limit_exceeded"
    ticket.end(0, NOW)
    ticket.end(0, NOW)  # a second end changes nothing
    limits.admit(limit, "qwen", NOW)
    assert _refused(limits, limit, NOW)


def test_a_days_quota_goes_on_after_a_restart() -> None:
    limits, limit = Limits(), _limit(tokens_per_day=1000)
    limits.begin("key:1", [(NOW // 3600 * 3600 - 7200, 5, 900), (NOW // 3600 * 3600 - 2 * DAY, 5, 5000)])
    limits.admit(limit, "qwen", NOW).end(100, NOW)
    error = _refused(limits, limit, NOW)
    assert (error.status, error.code) == (429, "insufficient_quota")
    assert error.retry_after and error.retry_after > 3600
    limits.admit(limit, "qwen", NOW + error.retry_after)


def test_a_model_that_is_not_allowed_is_named() -> None:
    error = _refused(Limits(), _limit(models=frozenset({"phi"})), NOW)
    assert (error.status, error.code) == (403, "model_not_allowed")
    assert "phi" in error.message


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 60)), max_size=40),
    st.integers(1, 5),
    st.integers(1, 100),
)
def test_never_more_than_the_limit_lies_within_a_minute(
    steps: list[tuple[float, int]], requests: int, tokens: int
) -> None:
    """Whoever waits as long as they are told gets in, and no window of a minute holds more requests."""
    limits, limit = Limits(), _limit(requests_per_minute=requests, tokens_per_minute=tokens)
    now, admitted = NOW, []
    for pause, spent in steps:
        now += pause
        try:
            ticket = limits.admit(limit, "qwen", now)
        except GatewayError as error:
            assert error.retry_after and error.retry_after <= 60
            continue
        admitted.append(now)
        ticket.end(spent, now)
    for at in admitted:
        assert len([other for other in admitted if at - 60 < other <= at]) <= requests


def test_the_gateway_refuses_with_the_time_to_wait(
    gateway: RunningGateway, key: str, ready: ReadyMake, engine: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_keys, "STALE_SECONDS", 0.0)
    ready()
    usage = {"prompt_tokens": 30, "completion_tokens": 40}
    engine.pages[CHAT] = Reply(body=json.dumps({"usage": usage}).encode())
    limit = UsageLimit.objects.create(key=ApiKey.objects.get(), requests_per_minute=1)
    url, headers = f"{gateway.url}/chat/completions", {"Authorization": f"Bearer {key}"}
    assert httpx.post(url, json=BODY, headers=headers).status_code == 200
    refused = httpx.post(url, json=BODY, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    limit.requests_per_minute, limit.tokens_per_day = None, 70
    limit.save()
    assert httpx.post(url, json=BODY, headers=headers).json()["error"]["code"] == "insufficient_quota"
    limit.tokens_per_day, limit.model_names = None, ["phi"]
    limit.save()
    assert httpx.post(url, json=BODY, headers=headers).status_code == 403
    assert httpx.get(f"{gateway.url}/models", headers=headers).json()["data"] == []
    wait_for(lambda: UsageRecord.objects.count() == 4, "each stands in the ledger")
    outcomes = UsageRecord.objects.order_by("at").values_list("outcome", flat=True)
    assert list(outcomes) == [UsageOutcome.OK, *[UsageOutcome.REFUSED] * 3]


def test_the_ledgers_day_is_what_was_answered(operator: User) -> None:
    _record("a", user=operator).save()
    _record("b", user=operator, outcome=UsageOutcome.REFUSED).save()
    _record("c", user=operator, at=timezone.now() - timedelta(days=2)).save()
    ((_, requests, tokens),) = day_read(f"user:{operator.pk}")
    assert (requests, tokens) == (1, 60)


def test_admins_set_change_and_remove_limits(
    admin: User, operator: User, client_of: Callable[..., Client]
) -> None:
    DefinitionFactory(slug="qwen")
    client = client_of(admin)
    form = {"whose": f"user:{operator.pk}", "model_names": ["qwen"], "parallel": "3"}
    assert client.post("/usage/limits/", form).status_code == 302
    row = UsageLimit.objects.get()
    assert (row.user, row.model_names, row.parallel) == (operator, ["qwen"], 3)
    assert b"operator" in client.get(f"/usage/limits/?whose=user:{operator.pk}").content
    told = client.post("/api/usage/limits", {"user": "operator", "tokens_per_day": 5}, "application/json")
    assert told.json()["tokens_per_day"] == 5
    assert UsageLimit.objects.get().parallel is None
    assert client.post("/usage/limits/", {"whose": f"user:{operator.pk}"}).status_code == 302
    assert not UsageLimit.objects.exists()
    assert AuditEntry.objects.filter(action__startswith="usage_limit").count() == 3


BAD: list[dict[str, Any]] = [
    {},
    {"user": "nobody", "parallel": 1},
    {"user": "operator", "key": "sk"},
    {"user": "operator", "parallel": 0},
    {"user": "operator", "parallel": 10**13},
    {"user": "operator", "model_names": ["none"]},
    {"key": "sk-\0", "parallel": 1},
    {"user": "operator", "model_names": "qwen"},
    {"user": "operator", "parallel": "x"},
]


@pytest.mark.parametrize("body", BAD)
def test_what_makes_no_sense_sets_nothing(
    admin: User, operator: User, client_of: Callable[..., Client], body: dict[str, Any]
) -> None:
    answer = client_of(admin).post("/api/usage/limits", body, "application/json")
    assert answer.status_code in (400, 404)
    assert not UsageLimit.objects.exists()
