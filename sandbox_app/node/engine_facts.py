"""What the engine has for the sandbox: images by digest and runtimes, asked in the background."""

from __future__ import annotations

import threading
import time

import structlog

from sparkweb.adapters.docker_errors import DockerTrouble, ImageMissing
from sparkweb.adapters.docker_sandbox import SandboxEngine

log = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0
RUNTIMES_SECONDS = 60.0  # they change when Docker is set up anew, and telling them costs it some 20 ms


class EngineFacts:
    """Remembers the digests of the images that were asked for. Never raises, never waits for the engine."""

    def __init__(self, engine: SandboxEngine, image: str) -> None:
        self._engine = engine
        self._images: dict[str, str | None] = {image: None}
        self._stopped = threading.Event()
        self.runtimes: list[str] = []
        self._runtimes_at = float("-inf")

    def start(self) -> None:
        threading.Thread(target=self._run, name="sandbox-engine", daemon=True).start()

    def close(self) -> None:
        self._stopped.set()

    def offers(self, runtime: str) -> bool:
        """Whether the engine has this OCI runtime; it is asked where it was not yet."""
        if not self.runtimes:
            try:
                self.runtimes = self._engine.runtimes()
            except DockerTrouble as trouble:
                log.info("Docker does not tell its runtimes", reason=str(trouble))
        return runtime in self.runtimes

    def image_digest(self, image: str) -> str:
        """The id of an image, as containers of it name it; "" where it is missing or not known yet."""
        return self._images.setdefault(image, None) or ""

    def _run(self) -> None:
        while True:
            self.look()
            if self._stopped.wait(LOOK_SECONDS):
                return

    def look(self) -> None:
        """Ask the engine once for everything."""
        now = time.monotonic()
        try:
            if now - self._runtimes_at > RUNTIMES_SECONDS:
                self.runtimes, self._runtimes_at = self._engine.runtimes(), now
            for image in list(self._images):
                try:
                    self._images[image] = self._engine.image_id(image)
                except ImageMissing:
                    self._images[image] = ""
        except DockerTrouble as trouble:
            log.debug("the sandbox cannot ask Docker", reason=str(trouble))
            self._images = dict.fromkeys(self._images)
            self._runtimes_at = float("-inf")
