"""What the intake knows of one node while it runs: its key, newest report, freshness, and manners."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sparkweb.node_link.envelope import Envelope, Kind

STALE_SECONDS = 6.0
OFFLINE_SECONDS = 10.0
RETIRED_BOOTS_KEPT = 1_000
# Entries a second that are read of a node, and how many at once after a pause; more wait on the stream.
RATES: dict[Kind, tuple[float, float]] = {"report": (10.0, 150.0), "from": (200.0, 500.0)}


class Budget:
    """How many entries may be read now: `rate` a second, at most `burst` saved up."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = 0.0

    def spend(self) -> None:
        """Note that one was taken."""
        self._left -= 1

    def wait_seconds(self, now: float) -> float:
        """How long nothing may be read, 0 if it may."""
        if self._at:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (1 - self._left) / self._rate) if self._left < 1 else 0.0


@dataclass
class NodeState:
    """One node. Times are monotonic seconds of control."""

    name: str
    public_text: str
    key: Ed25519PublicKey
    known_at: float
    offsets: dict[Kind, str] = field(default_factory=dict)
    budgets: dict[Kind, Budget] = field(default_factory=lambda: {k: Budget(*r) for k, r in RATES.items()})
    boot: str = ""
    sequence: int = 0
    retired_boots: OrderedDict[str, None] = field(default_factory=OrderedDict)
    heard_at: float | None = None
    told: str = ""
    tell_again_at: float = 0.0
    facts_wait_until: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)

    def report_is_new(self, envelope: Envelope) -> bool:
        """Take note of a verified report; False for one seen before, or of an earlier run of the agent."""
        if envelope.origin in self.retired_boots:
            return False
        if envelope.origin == self.boot:
            if envelope.sequence <= self.sequence:
                return False
        elif self.boot:
            self.retired_boots[self.boot] = None
            if len(self.retired_boots) > RETIRED_BOOTS_KEPT:
                self.retired_boots.popitem(last=False)
        self.boot, self.sequence = envelope.origin, envelope.sequence
        return True

    def changes_in(self, now: float) -> float:
        """Seconds until silence would change the status; at least a moment."""
        silent_seconds = now - (self.known_at if self.heard_at is None else self.heard_at)
        left = [
            limit - silent_seconds for limit in (STALE_SECONDS, OFFLINE_SECONDS) if limit > silent_seconds
        ]
        return max(0.01, min(left, default=OFFLINE_SECONDS))

    def status(self, now: float) -> str:
        """online, stale, offline; "" while a node unheard since the start may still report."""
        silent_seconds = now - (self.known_at if self.heard_at is None else self.heard_at)
        if silent_seconds >= OFFLINE_SECONDS:
            return "offline"
        if self.heard_at is None:
            return ""
        return "stale" if silent_seconds >= STALE_SECONDS else "online"
