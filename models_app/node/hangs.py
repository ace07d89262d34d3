"""Whether an engine that answers its health path still works. Pure.

An engine is asked for one token when someone waits for it and nothing has moved
for a while; when it does not give one either, it hangs. A long prompt is no hang:
its progress moves other figures than the tokens that come out. An idle engine is
never asked.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from models_app.node.engine_figures import Reading

REST_MOST = 64
LOOKS = 4  # at who is connected, within the patience; the kernel walks all its sockets for each
# Figures come every 5 s, on a busy machine later, and servers keep an idle connection open for some
# seconds: only what has lasted longer says something, however short the patience is.
CERTAIN_SECONDS = 20.0


@dataclass
class Pulse:
    """The signs of life of one engine. Times are monotonic seconds; `hang` is the reason, "" for none.

    `moved_at` is when it last did something, or had nothing to do. `clients` are
    the connections that were seen, by when each was seen first: a server that
    closes idle connections has a client for long only while that one waits.
    """

    moved_at: float | None = None
    hang: str = ""
    _progress: tuple[float, ...] = ()
    _busy: int = 0
    _asked_at: float = 0.0
    _is_asked: bool = False
    _fed_at: float = 0.0
    _rest: int = 1
    _clients: dict[str, float] = field(default_factory=dict)
    _looked_at: float = float("-inf")

    def wants_clients(self, reading: Reading, now: float, patience_seconds: float) -> bool:
        """Whether who is connected should be looked up: by its figures the engine has nothing to do."""
        if not reading.counts_tokens or patience_seconds <= 0:
            return False
        silent = reading.progress == self._progress and not _requests(reading)
        return silent and now - self._looked_at >= patience_seconds / LOOKS

    def feed(self, reading: Reading, clients: Collection[str] | None, now: float) -> None:
        """Take over a reading, and who is connected; None where nobody looked."""
        if not reading.counts_tokens:
            return
        self._fed_at = now
        if clients is not None:
            self._clients = {client: self._clients.get(client, now) for client in clients}
            self._looked_at = now
        self._busy = _requests(reading)
        moved = self.moved_at is None or reading.progress != self._progress
        self._progress = reading.progress
        if moved or not (self._busy or self._clients):
            self.moved_at, self.hang, self._rest = now, "", 1

    def wants_token(self, now: float, patience_seconds: float) -> bool:
        """Whether it is time to ask for one token. Saying so counts as asking, until an answer is told."""
        if self.moved_at is None or patience_seconds <= 0 or self._is_asked:
            return False
        waited = now - max(self.moved_at, self._asked_at)
        if waited < patience_seconds * self._rest or not self._is_doubtful(now, patience_seconds):
            return False
        self._asked_at, self._is_asked = now, True
        return True

    def answered(self, now: float) -> None:
        """It gave a token, or refused with an answer: it works, and is asked more rarely from now on."""
        self.moved_at, self.hang, self._rest = now, "", min(2 * self._rest, REST_MOST)
        self._is_asked = False

    def unanswered(self, now: float, words: str) -> None:
        """It gave none. `words`: what came instead."""
        flat = round(now - (self.moved_at if self.moved_at is not None else now))
        one = "a request is there" if self._busy == 1 else f"{self._busy} requests are there"
        who = one if self._busy else "a client waits" if self._clients else "it tells no figures"
        self._is_asked = False
        self.hang = f"It hangs: {who}, nothing has moved for {flat} s, and a question for one token {words}"

    def _is_doubtful(self, now: float, patience_seconds: float) -> bool:
        """Someone waits, or the engine has stopped telling its figures."""
        certain = max(patience_seconds, CERTAIN_SECONDS)
        longest = max((now - since for since in self._clients.values()), default=0.0)
        return self._busy > 0 or longest >= certain or now - self._fed_at >= certain


def _requests(reading: Reading) -> int:
    return sum(int(reading.figures.get(name) or 0) for name in ("requests_running", "requests_waiting"))
