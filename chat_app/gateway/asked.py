"""One request to a model from its routing to its entry in the ledger."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass

import aiohttp
import structlog

from chat_app.gateway.errors import GatewayError
from chat_app.gateway.keys import Caller
from chat_app.gateway.ledger import LEDGER, Entry, Meter
from chat_app.gateway.relay import NotReached, Relay, Send
from chat_app.gateway.requests import ENDPOINTS, Wanted
from chat_app.gateway.routes import Routes, Upstream
from chat_app.gateway.sse import Tokens
from chat_app.models import UsageOutcome

log = structlog.get_logger(__name__)

CLIENT_LEFT = 499  # nginx's word for it
_BOOT = secrets.token_hex(10)  # of this process: with a number it makes an entry's uid
_numbers = itertools.count()
SENT_ON = ("anthropic-version", "anthropic-beta", "x-request-id", "user-agent")


@dataclass
class Asked:
    """What is asked, by whom, and where the answer goes."""

    session: aiohttp.ClientSession
    routes: Routes
    wanted: Wanted
    caller: Caller
    meter: Meter
    headers: dict[bytes, bytes]
    send: Send
    relay: Relay | None = None
    upstream: Upstream | None = None

    async def run(self) -> None:
        """Answer it. Raises GatewayError while nothing was sent."""
        try:
            await self._answer()
        except GatewayError as error:
            self.refused(error)
            raise
        assert self.relay is not None
        told = self.relay.told
        self._note(told.status, UsageOutcome(told.outcome), told.error)

    async def _answer(self) -> None:
        """Try the engines, best first: one that takes no connection was asked nothing."""
        why = ""
        for upstream in await self.routes.candidates(self.wanted.model, self.wanted.body):
            self.upstream = upstream
            self.relay = Relay(self.session, self.wanted, self._sent_on(), self.send, self.meter.first)
            self.routes.running[upstream.launch] += 1
            try:
                await self.relay.run(upstream.base.with_path(ENDPOINTS[self.wanted.path]), upstream.model)
                return
            except NotReached as error:
                why = str(error)
            finally:
                self.routes.running[upstream.launch] -= 1
        log.warning("engine not reached", model=self.wanted.model, why=why)
        words = f"{self.wanted.model} does not take connections now."
        raise GatewayError(503, "engine_unreachable", words, "model", retry_after=2)

    def _sent_on(self) -> dict[str, str]:
        kept = {"content-type": "application/json", "accept-encoding": "identity"}
        for name in SENT_ON:
            if (value := self.headers.get(name.encode())) is not None:
                kept[name] = value.decode("latin-1")
        return kept

    @property
    def tokens(self) -> int:
        """Tokens read and written, as far as they were told."""
        told = self.relay.told.tokens if self.relay else Tokens()
        return (told.input or 0) + (told.output or 0)

    def refused(self, error: GatewayError) -> None:
        """Write down that it got this error for an answer."""
        outcome = UsageOutcome.REFUSED if error.status < 500 else UsageOutcome.ERROR
        self._note(error.status, outcome, error.code)

    def ended_early(self, cut: GatewayError | None) -> None:
        """The client left, or its key was revoked."""
        status = self.relay.told.status if self.relay else 0
        if cut is not None:
            self._note(status or cut.status, UsageOutcome.REFUSED, cut.code)
        else:
            self._note(status or CLIENT_LEFT, UsageOutcome.CANCELLED, "")

    def _note(self, status: int, outcome: UsageOutcome, error: str) -> None:
        tokens = self.relay.told.tokens if self.relay else Tokens()
        upstream = self.upstream
        entry = Entry(
            uid=f"{_BOOT}{next(_numbers):012x}",
            at=self.meter.at,
            user_id=self.caller.user_id,
            user_label=self.caller.user_label,
            key_id=self.caller.key_id,
            key_label=self.caller.key_label[:100],
            model=self.wanted.model[:80].replace("\0", "").encode(errors="replace").decode(),
            launch_uid=upstream.launch if upstream else "",
            node_name=upstream.node if upstream else "",
            endpoint=self.wanted.path.removeprefix("/v1/"),
            streamed=self.wanted.streamed,
            status=status,
            outcome=outcome.value,
            error=error,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cached_tokens=tokens.cached,
            is_estimated=tokens.is_estimated,
            first_ms=self.meter.first_ms,
            duration_ms=self.meter.ms,
        )
        LEDGER.add(entry)
