"""Calls of tools as a self-test makes them: the way of every call, with short limits, one after the other."""

from __future__ import annotations

import time
from typing import Any

from django.utils import timezone

from metrics_app.models import Node
from sandbox_app.models import AuditKind, AuditRecord, Tool, ToolRun, ToolSession
from sandbox_app.services import tool_run_cancel, tool_run_create
from sandbox_app.sessions import tool_session_create, tool_session_end
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import User

MEMORY_BYTES = 256 * 2**20
# Attacks that only time ends get little of it; all others enough to end by themselves on a busy machine.
SHORT_SECONDS, LONG_SECONDS = 6, 90
PATIENCE_SECONDS = 180.0
LOOK_EVERY_SECONDS = 0.05
VIA = "selftest"


class NeverEnded(Exception):
    """A run that had no end in time."""


class Bench:
    """Runs tools on one node for `actor`, and remembers nothing between two calls but its session."""

    def __init__(self, node: Node, actor: Actor) -> None:
        self.node, self.actor = node, actor
        self._session: ToolSession | None = None

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

    def close(self) -> None:
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
