"""Places where a process can be made to die, for tests of what comes after."""

from __future__ import annotations

import os
import signal

from sparkweb import config


def failpoint(name: str) -> None:
    """End this process as a power cut would, if SPARKWEB_FAILPOINT names this place; else do nothing."""
    if name == config.FAILPOINT:
        os.kill(os.getpid(), signal.SIGKILL)
