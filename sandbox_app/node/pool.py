"""Containers that wait, hardened and with their interpreter up: one pool for each policy and tool.

A container is taken once and never comes back. Pools fill in the background, with pauses that grow
while creating fails and a rest after five failures; they are emptied when memory is short.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from sandbox_app.job import Policy
from sandbox_app.node.container import SandboxContainer, StartFailed
from sandbox_app.node.rush import Rush

log = structlog.get_logger(__name__)

FILLERS = 2
LOOK_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 60.0
BREAK_AFTER = 5
BROKEN_SECONDS = 300.0
UNUSED_SECONDS = 1800.0
POOLS_MOST = 12
# What a waiting container costs at most, by flavour; measured by bench/sandbox.py.
IDLE_BYTES = {"plain": 24 * 2**20, "data": 110 * 2**20}


@dataclass(frozen=True)
class PoolKey:
    """All that a waiting container was made for."""

    policy: Policy
    tool: str
    tool_digest: str


def pool_key_read(data: Any) -> PoolKey | None:
    """From `{"tool", "tool_digest", "policy": {…}}`; None for what another version says."""
    try:
        policy = {**data["policy"], "egress": tuple(data["policy"].get("egress", ()))}
        return PoolKey(Policy(**policy), str(data["tool"]), str(data["tool_digest"]))
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


@dataclass
class _Pool:
    key: PoolKey
    asked_at: float
    asked_for: bool = False
    ready: list[SandboxContainer] = field(default_factory=list)
    filling: int = 0
    failures: int = 0
    next_try_at: float = 0.0
    message: str = ""


class Pools:
    """All pools of a node. Any thread may call.

    `launch` makes a waiting container, `discard` takes one back that nobody wants; `sizes` says how
    many wait by flavour; `is_short` whether memory is; `memory` is the file that tells the next agent
    which pools there were. Filling waits for runs that have just begun.
    """

    def __init__(
        self,
        launch: Callable[[PoolKey, Callable[[], bool]], SandboxContainer],
        discard: Callable[[SandboxContainer], None],
        digest_of: Callable[[str], str],
        sizes: dict[str, int],
        is_short: Callable[[int], bool],
        rush: Rush,
        memory: Path,
    ) -> None:
        self._launch = launch
        self._discard = discard
        self._digest_of = digest_of
        self._sizes = sizes
        self._is_short = is_short
        self._rush = rush
        self._memory = memory
        self._remembered = ""
        self._pools: dict[PoolKey, _Pool] = {}
        self._lock = threading.Condition()
        self._closed = False
        self._paused = False
        self._fillers = ThreadPoolExecutor(FILLERS, "sandbox-fill")

    def start(self) -> None:
        """Begin to fill what an earlier agent kept filled."""
        with contextlib.suppress(OSError, ValueError):
            for one in json.loads(self._memory.read_text()):
                if key := pool_key_read(one):
                    self._pool(key)
        threading.Thread(target=self._tend_loop, name="sandbox-pools", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        self._fillers.shutdown(wait=False, cancel_futures=True)
        self._drain(list(self._pools.values()))

    def take(self, key: PoolKey) -> SandboxContainer | None:
        """A waiting container of exactly this kind, or None. From now on such containers are kept ready."""
        with self._lock:
            pool = self._pool(key)
            pool.asked_at = time.monotonic()
            dead = []
            taken = None
            while pool.ready and taken is None:
                one = pool.ready.pop(0)
                if one.is_alive:
                    taken = one
                else:
                    dead.append(one)
            self._lock.notify_all()
        for one in dead:
            self._discard(one)
        return taken

    def want(self, keys: list[PoolKey]) -> None:
        """Keep exactly these ready, used or not, beside those in use."""
        with self._lock:
            for pool in self._pools.values():
                pool.asked_for = pool.key in keys
            for key in keys:
                self._pool(key).asked_for = True
            self._lock.notify_all()

    def containers(self) -> list[SandboxContainer]:
        """All that wait."""
        with self._lock:
            return [one for pool in self._pools.values() for one in pool.ready]

    def section(self) -> list[dict[str, Any]]:
        """The report's `pools`."""
        with self._lock:
            return [
                {
                    "policy": pool.key.policy.key(),
                    "tool": pool.key.tool,
                    "image": pool.key.policy.image,
                    "flavour": pool.key.policy.flavour,
                    "ready": len(pool.ready),
                    "wanted": self._wanted(pool),
                    "status": self._status(pool),
                    "message": pool.message or None,
                }
                for pool in self._pools.values()
            ]

    # Within --------------------------------------------------------------------

    def _pool(self, key: PoolKey) -> _Pool:
        if key not in self._pools:
            self._pools[key] = _Pool(key, time.monotonic())
        return self._pools[key]

    def _wanted(self, pool: _Pool) -> int:
        return self._sizes.get(pool.key.policy.flavour, 0)

    def _status(self, pool: _Pool) -> str:
        if self._paused:
            return "paused"
        if pool.failures >= BREAK_AFTER:
            return "broken"
        return "ok" if len(pool.ready) >= self._wanted(pool) else "filling"

    def _tend_loop(self) -> None:
        while True:
            with self._lock:
                if self._closed:
                    return
            try:
                self.tend()
            except Exception:
                log.exception("the pools could not be tended")
            with self._lock:
                if not self._closed:
                    self._lock.wait(LOOK_SECONDS)

    def tend(self) -> None:
        """Look after every pool once: empty what is not wanted, fill what is."""
        idle = IDLE_BYTES["plain"]
        paused = self._is_short(0 if not self._paused else 4 * idle)
        with self._lock:
            self._paused = paused
            gone = list(self._pools.values()) if paused else self._unused()
        self._drain(gone)
        self._stale_drop()
        self._remember()
        if not paused:
            with self._lock:
                for pool in self._pools.values():
                    self._fill(pool)

    def _remember(self) -> None:
        """Write down which pools there are, for the agent that comes after."""
        with self._lock:
            keys = [asdict(pool.key) for pool in self._pools.values()]
        text = json.dumps(keys)
        if text != self._remembered:
            with contextlib.suppress(OSError):
                self._memory.write_text(text)
                self._remembered = text

    def _unused(self) -> list[_Pool]:
        """Pools to give up: long unused, or too many."""
        now = time.monotonic()
        by_use = sorted(self._pools.values(), key=lambda pool: (pool.asked_for, pool.asked_at), reverse=True)
        unused = [
            pool
            for number, pool in enumerate(by_use)
            if number >= POOLS_MOST or (not pool.asked_for and now - pool.asked_at > UNUSED_SECONDS)
        ]
        for pool in unused:
            self._pools.pop(pool.key, None)
        return unused

    def _drain(self, pools: list[_Pool]) -> None:
        with self._lock:
            gone = [one for pool in pools for one in pool.ready]
            for pool in pools:
                pool.ready = []
        for one in gone:
            self._discard(one)

    def _stale_drop(self) -> None:
        """Give up containers that died, and those whose image has been built anew."""
        dropped = []
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            image = self._digest_of(pool.key.policy.image)
            with self._lock:
                stale = [one for one in pool.ready if not one.is_alive or (image and one.image != image)]
                pool.ready = [one for one in pool.ready if one not in stale]
            dropped += stale
        for one in dropped:
            self._discard(one)

    def _fill(self, pool: _Pool) -> None:
        if time.monotonic() < pool.next_try_at or self._closed:
            return
        missing = self._wanted(pool) - len(pool.ready) - pool.filling
        if pool.failures:
            missing = min(missing, 1 - pool.filling)
        for _ in range(max(0, missing)):
            if self._is_short(IDLE_BYTES.get(pool.key.policy.flavour, 0) * (1 + pool.filling)):
                return
            pool.filling += 1
            self._fillers.submit(self._fill_one, pool)

    def _fill_one(self, pool: _Pool) -> None:
        self._rush.wait()
        try:
            one = self._launch(pool.key, lambda: self._closed)
        except StartFailed as trouble:
            self._failed(pool, str(trouble))
            return
        except Exception as error:
            self._failed(pool, str(error))
            log.exception("a container of a pool could not be made")
            return
        with self._lock:
            pool.filling -= 1
            pool.failures, pool.message, pool.next_try_at = 0, "", 0.0
            kept = not self._closed and not self._paused and self._pools.get(pool.key) is pool
            if kept:
                pool.ready.append(one)
        if not kept:
            self._discard(one)

    def _failed(self, pool: _Pool, message: str) -> None:
        with self._lock:
            pool.filling -= 1
            pool.failures += 1
            pool.message = message
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (pool.failures - 1), MOST_PAUSE_SECONDS)
            pool.next_try_at = time.monotonic() + (BROKEN_SECONDS if pool.failures >= BREAK_AFTER else pause)
        log.warning("a pool is not filled", tool=pool.key.tool, reason=message, failures=pool.failures)
