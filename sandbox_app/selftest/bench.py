"""Calls of tools as a self-test makes them: the way of every call, with short limits, one after the other."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import requests
from django.utils import timezone

from metrics_app.models import Node
from sandbox_app.models import AuditKind, AuditRecord, Tool, ToolRun, ToolSession
from sandbox_app.services import tool_run_cancel, tool_run_create
from sandbox_app.sessions import tool_session_create, tool_session_end
from sparkweb import config
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import ApiKey, Scope, User
from sparkweb.accounts.services import api_key_create, api_key_revoke

MEMORY_BYTES = 256 * 2**20
# Attacks that only time ends get little of it; all others enough to end by themselves on a busy machine.
SHORT_SECONDS, LONG_SECONDS = 6, 90
PATIENCE_SECONDS = 180.0
LOOK_EVERY_SECONDS = 0.05
VIA = "selftest"
# A proxy for the internet is no way to this machine.
NO_PROXIES = {"http": "", "https": ""}


class NeverEnded(Exception):
    """A run that had no end in time."""


class Bench:
    """Runs tools on one node for `actor`, and remembers nothing between two calls but its session."""

    def __init__(self, node: Node, actor: Actor) -> None:
        self.node, self.actor = node, actor
        self._session: ToolSession | None = None
        self._key: ApiKey | None = None
        self._secret = ""

    def session(self) -> ToolSession:
        """A session of this bench, made when it is first needed."""
        if self._session is None:
            self._session = tool_session_create(
                owner=self._owner(), actor=self.actor, label="Self-test", node=self.node
            )
        return self._session

    def _owner(self) -> User:
        if self.actor.user is None:
            raise ValueError("a self-test is made for a user: sessions have an owner")
        return self.actor.user

    def file(self, session: ToolSession, path: str) -> int:
        """Ask web for a file of a session, as a program of its owner; the HTTP status. Raises NeverEnded."""
        return self._get(f"/api/sessions/{session.uid}/content?{urlencode({'path': path})}")

    def listing(self, session: ToolSession, path: str) -> int:
        """Ask web for a folder of a session; the HTTP status. Raises NeverEnded."""
        return self._get(f"/api/sessions/{session.uid}/files?{urlencode({'path': path})}")

    def _get(self, target: str) -> int:
        if self._key is None:
            self._key, self._secret = api_key_create(
                user=self._owner(), scopes=[Scope.OPERATE], actor=self.actor, name="Self-test", days=1
            )
        headers = {"Authorization": f"Bearer {self._secret}"}
        try:
            answer = requests.get(config.WEB_URL + target, headers=headers, timeout=60, proxies=NO_PROXIES)
        except requests.RequestException as error:
            raise NeverEnded(f"web does not answer: {type(error).__name__}") from None
        if answer.status_code in (401, 503):
            raise NeverEnded(f"web answered {answer.status_code}: {answer.text[:200]}")
        return answer.status_code

    def close(self) -> None:
        """End what was made for the self-test."""
        if self._key is not None:
            api_key_revoke(key=self._key, actor=self.actor)
            self._key = None
        self.session_end()

    def session_end(self) -> None:
        """End the session; the next one begins empty."""
        if self._session is not None:
            tool_session_end(session=self._session, actor=self.actor, reason="the self-test is over")
            self._session = None

    def call(
        self,
        name: str,
        arguments: dict[str, Any],
        session: ToolSession | None = None,
        key: str = "",
        seconds: int = LONG_SECONDS,
    ) -> ToolRun:
        """Run a tool and wait for its end. Raises what tool_run_create refuses, and NeverEnded."""
        run = self._begin(name, arguments, session, key, seconds)
        until = time.monotonic() + PATIENCE_SECONDS
        while run.live:
            if time.monotonic() > until:
                tool_run_cancel(run=run, actor=self.actor, reason="the self-test gave up")
                raise NeverEnded(f"no end within {PATIENCE_SECONDS:.0f} s; it was {run.state}")
            time.sleep(LOOK_EVERY_SECONDS)
            run.refresh_from_db()
        return run

    def _begin(
        self, name: str, arguments: dict[str, Any], session: ToolSession | None, key: str, seconds: int
    ) -> ToolRun:
        tool = Tool.objects.get(name=name)
        # Of this call alone: it is not saved.
        tool.overrides = {**tool.overrides, "timeout_seconds": seconds, "memory_bytes": MEMORY_BYTES}
        run, _ = tool_run_create(
            tool=tool,
            arguments=arguments,
            actor=self.actor,
            via=VIA,
            session=session,
            idempotency_key=key,
            node=self.node if session is None else None,
        )
        return run

    def is_recorded(self, run: ToolRun) -> bool:
        """Whether the audit has the run's beginning and its end."""
        kinds = set(AuditRecord.objects.filter(run_uid=run.uid).values_list("kind", flat=True))
        return {AuditKind.STARTED, AuditKind.ENDED} <= kinds

    def key(self) -> str:
        """An idempotency key that was never used."""
        return f"selftest-{timezone.now().timestamp()}"
