"""How much a key and its owner may ask of models: counted here, the day's part begun from the ledger.

Tokens count when they are told, at the end of an answer: whoever is over a limit is refused until enough of
it has passed. A minute and a day are the last 60 s and the last 24 h. No Django here.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field

from chat_app.gateway.errors import GatewayError

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
BUSY_SECONDS = 2  # when one's own requests at once are too many


@dataclass(frozen=True, slots=True)
class Limit:
    """What somebody may ask. `subject` is whose it is; None is no limit, no models means all."""

    subject: str
    words: str  # "The API key …", for refusals
    models: frozenset[str] = frozenset()
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    parallel: int | None = None

    def allows(self, model: str) -> bool:
        """Whether a model may be used at all."""
        return not self.models or model in self.models


@dataclass(slots=True)
class Used:
    """What somebody asked: each request of the last minute, and sums of the last day's hours."""

    running: int = 0
    minute: deque[tuple[float, int, int]] = field(default_factory=deque)  # when, requests, tokens
    hours: deque[list[float]] = field(default_factory=deque)  # when it began, requests, tokens

    def add(self, now: float, requests: int, tokens: int) -> None:
        """Count something that happened now."""
        self.minute.append((now, requests, tokens))
        hour = now // HOUR * HOUR
        if not self.hours or self.hours[-1][0] != hour:
            self.hours.append([hour, 0, 0])
        self.hours[-1][1] += requests
        self.hours[-1][2] += tokens

    def forget(self, now: float) -> None:
        """Drop what is older than a minute and a day."""
        while self.minute and self.minute[0][0] <= now - MINUTE:
            self.minute.popleft()
        while self.hours and self.hours[0][0] + HOUR <= now - DAY:
            self.hours.popleft()


class Limits:
    """Admits requests or refuses them. For one event loop; times are seconds since the epoch."""

    def __init__(self) -> None:
        self._used: dict[str, Used] = {}

    def knows(self, subject: str) -> bool:
        """Whether `begin` was called for a subject."""
        return subject in self._used

    def begin(self, subject: str, hours: list[tuple[float, int, int]]) -> None:
        """Take over what the ledger says of the last day: (beginning of the hour, requests, tokens)."""
        self._used.setdefault(subject, Used(hours=deque([list(one) for one in sorted(hours)])))

    def admit(self, limits: tuple[Limit, ...], model: str, now: float | None = None) -> Ticket:
        """Count a request that begins. Raises GatewayError: 403, or 429 with the seconds to wait."""
        now = time.time() if now is None else now
        for limit in limits:
            self._check(limit, model, now)
        for limit in limits:
            used = self._of(limit)
            used.running += 1
            used.add(now, 1, 0)
        return Ticket(self, limits)

    def _check(self, limit: Limit, model: str, now: float) -> None:
        if not limit.allows(model):
            words = f"{limit.words} may not use {model[:80]}; it may use {', '.join(sorted(limit.models))}."
            raise GatewayError(403, "model_not_allowed", words, "model")
        used = self._of(limit)
        used.forget(now)
        if limit.parallel is not None and used.running >= limit.parallel:
            words = f"{limit.words} may have {limit.parallel} requests at once, and has."
            raise GatewayError(429, "rate_limit_exceeded", words, None, BUSY_SECONDS)
        for most, place, what in (
            (limit.requests_per_minute, 1, "requests"), (limit.tokens_per_minute, 2, "tokens"),
        ):  # fmt: skip
            if most is not None and (wait := _wait_minute(used, place, most, now)):
                words = f"{limit.words} may use {most:,} {what} a minute; try again in {wait} s."
                raise GatewayError(429, "rate_limit_exceeded", words, None, wait)
        for most, place, what in (
            (limit.requests_per_day, 1, "requests"), (limit.tokens_per_day, 2, "tokens"),
        ):  # fmt: skip
            if most is not None and (wait := _wait_day(used, place, most, now)):
                words = f"{limit.words} may use {most:,} {what} in 24 hours, and has."
                raise GatewayError(429, "insufficient_quota", words, None, wait)

    def _of(self, limit: Limit) -> Used:
        return self._used.setdefault(limit.subject, Used())


class Ticket:
    """A request under way; `end` it once."""

    def __init__(self, limits: Limits, of: tuple[Limit, ...]) -> None:
        self._limits, self._of = limits, of

    def end(self, tokens: int, now: float | None = None) -> None:
        """Count its tokens, and that it is over."""
        now = time.time() if now is None else now
        for limit in self._of:
            used = self._limits._of(limit)
            used.running -= 1
            used.add(now, 0, tokens)
        self._of = ()


def _wait_minute(used: Used, place: int, most: int, now: float) -> int:
    """Seconds until fewer than `most` lie within a minute; 0 if it is so now."""
    total = sum(entry[place] for entry in used.minute)
    for entry in used.minute:
        if total < most:
            break
        total -= entry[place]
        if total < most:
            return max(1, math.ceil(entry[0] + MINUTE - now))
    return 0 if total < most else math.ceil(MINUTE)


def _wait_day(used: Used, place: int, most: int, now: float) -> int:
    total = sum(entry[place] for entry in used.hours)
    for entry in used.hours:
        if total < most:
            break
        total -= entry[place]
        if total < most:
            return max(1, math.ceil(entry[0] + HOUR + DAY - now))
    return 0 if total < most else math.ceil(DAY)
