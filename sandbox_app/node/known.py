"""Which containers of the sandbox this agent knows, how they are removed, and those that nobody knows.

A name is known before its container is created and until it is gone: so the sweep never
takes what is coming up for a leak.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable

import structlog

from sandbox_app.node.rush import Rush
from sparkweb.adapters.docker_errors import ContainerMissing, DockerTrouble
from sparkweb.adapters.docker_sandbox import SandboxEngine

log = structlog.get_logger(__name__)

INSTALLATION = "sparkweb.installation"
NODE = "sparkweb.node"
SANDBOX = "sparkweb.sandbox"
RUN = "sparkweb.run"
SESSION = "sparkweb.session"
POLICY = "sparkweb.policy"

REMOVERS = 4
SWEEP_SECONDS = 30.0
RETRY_SECONDS = 2.0


class KnownContainers:
    """Names, removal in the background, and the sweep. Any thread may call."""

    def __init__(self, engine: SandboxEngine, installation: str, node_name: str, rush: Rush) -> None:
        self._engine = engine
        self._installation = installation
        self._node_name = node_name
        self._rush = rush
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[str, str, float] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self.leaked = 0
        """How many the last sweep found that belong to nobody."""

    def start(self) -> None:
        """Begin to remove and to sweep; the first sweep is now."""
        for number in range(REMOVERS):
            threading.Thread(target=self._remove_loop, name=f"sandbox-remove-{number}", daemon=True).start()
        threading.Thread(target=self._sweep_loop, name="sandbox-sweep", daemon=True).start()

    def close(self) -> None:
        self._stopped.set()
        for _ in range(REMOVERS):
            self._waiting.put(None)

    def name_make(self) -> str:
        """A name for a container that is about to be made; known from now on."""
        name = f"sparkweb-sbx-{self._installation}-{secrets.token_hex(8)}"
        with self._lock:
            self._names.add(name)
        return name

    def labels(self, kind: str, **more: str) -> dict[str, str]:
        """The labels of one, `kind` being pool, run or session."""
        ours = {INSTALLATION: self._installation, NODE: self._node_name, SANDBOX: kind}
        return ours | {f"sparkweb.{key}": value for key, value in more.items() if value}

    def remove(self, name: str) -> None:
        """Remove a container in the background, for as long as that takes; at the agent's end, now."""
        if self._stopped.is_set():
            self._removed(name)
        else:
            self._waiting.put((name, name, 0.0))

    def remove_now(self, name: str) -> None:
        """Remove a container before returning; one that the engine does not remove now goes later."""
        if self._removed(name):
            with self._lock:
                self._names.discard(name)
        else:
            self.remove(name)

    def _remove_loop(self) -> None:
        while (item := self._waiting.get()) is not None:
            name, reference, at = item
            if (pause := at - time.monotonic()) > 0:
                self._stopped.wait(min(pause, RETRY_SECONDS))
            self._rush.wait()
            if self._removed(reference):
                with self._lock:
                    self._names.discard(name)
            elif not self._stopped.is_set():
                self._waiting.put((name, reference, time.monotonic() + RETRY_SECONDS))

    def _removed(self, reference: str) -> bool:
        try:
            self._engine.sandbox_remove(reference)
        except ContainerMissing:
            return True
        except DockerTrouble as trouble:
            # Each second until Docker answers; who waits for it says so once.
            log.debug("not removed yet", container=reference, reason=str(trouble))
            return False
        return True

    # ---- what belongs to nobody ----

    def _sweep_loop(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            pause = SWEEP_SECONDS if self._tried(self.sweep) else RETRY_SECONDS

    def _tried(self, what: Callable[[], int]) -> bool:
        try:
            what()
        except DockerTrouble as trouble:
            log.debug("the sandbox cannot look for leaks", reason=str(trouble))
            return False
        return True

    def sweep(self) -> int:
        """Remove containers of ours that nobody knows; how many there were. Raises DockerTrouble."""
        with self._lock:
            known = set(self._names)
        found = self._engine.labelled({INSTALLATION: self._installation, NODE: self._node_name})
        strangers = [(id_, name) for id_, name, labels in found if SANDBOX in labels and name not in known]
        with self._lock:
            # One that was made between the two looks is no stranger.
            strangers = [(id_, name) for id_, name in strangers if name not in self._names]
        for id_, name in strangers:
            log.warning("a container of the sandbox belonged to nobody", container=name)
            self._waiting.put((name, id_, 0.0))
        self.leaked = len(strangers)
        return self.leaked
