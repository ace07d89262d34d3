"""Ports for tests: below the range that the kernel gives to outgoing connections.

A port that `bind(0)` names may be taken by somebody's connection before the test's
own program listens there.
"""

from __future__ import annotations

import os
import random
import socket

LOWEST, HIGHEST = 12_000, 32_000
_random = random.Random(os.getpid() ^ random.SystemRandom().getrandbits(32))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    for _ in range(1_000):
        port = _random.randrange(LOWEST, HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port found")
