"""What a guarded fetch is asked for and answers, and the sentences for what goes wrong."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sparkweb.adapters.egress_bytes import BodyBroken, BodyTooLarge
from sparkweb.adapters.egress_rules import EgressRefused

BODY_MOST_BYTES = 10 * 2**20
CONNECT_SECONDS = 6.0
WHOLE_SECONDS = 30.0

Verdict = dict[str, Any]


class EgressFailed(Exception):
    """The rules allow it and it did not work; `code`: dns, connect, tls, timeout, too_large, broken …"""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


class EgressCancelled(Exception):
    """Whoever asked wants it no longer."""


@dataclass(frozen=True)
class FetchOrder:
    """One fetch. `hosts` is what the tool that asks may reach (patterns; `*` for all)."""

    url: str
    hosts: tuple[str, ...]
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    limit_bytes: int = BODY_MOST_BYTES
    whole_seconds: float = WHOLE_SECONDS


@dataclass
class Fetched:
    """What came of one order: an answer, or the trouble in its place; `verdicts` one for each hop."""

    url: str
    verdicts: list[Verdict] = field(default_factory=list)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = ""
    charset: str | None = None
    body: bytes = b""
    trouble: EgressRefused | EgressFailed | None = None


class Words(contextlib.AbstractContextManager["Words"]):
    """What aiohttp and the kernel raise becomes EgressFailed with a sentence."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        failed = _failure(error, self._seconds)
        if failed:
            raise failed from None


def _failure(error: BaseException | None, seconds: float) -> EgressFailed | None:
    match error:
        case BodyTooLarge():
            return EgressFailed("The answer is larger than may be fetched.", "too_large")
        case BodyBroken():
            return EgressFailed(f"The answer cannot be read: {error}.", "broken")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return EgressFailed("Its certificate is not trusted.", "tls")
        case aiohttp.ServerTimeoutError():
            return EgressFailed(f"No connection within {CONNECT_SECONDS:g} s.", "timeout")
        case TimeoutError():
            return EgressFailed(f"No answer within {seconds:g} s.", "timeout")
        case aiohttp.ClientConnectorError(os_error=cause):
            why = os.strerror(cause.errno) if cause.errno else type(cause).__name__
            return EgressFailed(f"No connection: {why}.", "connect")
        case aiohttp.ClientError() | OSError() | ValueError():
            return EgressFailed(f"The answer broke off: {type(error).__name__}.", "broken")
    return None


def trouble_tell(answer: Fetched, trouble: EgressRefused | EgressFailed) -> None:
    """The last hop's verdict says how it ended."""
    verdict = answer.verdicts[-1]
    if isinstance(trouble, EgressRefused):
        verdict.update(verdict="refused", rule=trouble.rule)
        verdict["address"] = trouble.address or verdict["address"]
    else:
        verdict.update(verdict="failed", rule=trouble.code)
    verdict["reason"] = str(trouble)
