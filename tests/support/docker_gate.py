"""A door before a Docker engine's socket, for faults between an agent and a healthy engine.

gate = DockerGate(folder, engine)   # gate.host is the agent's DOCKER_HOST
gate.close()                        # the file system refuses: permission denied
gate.remove()                       # there is no socket
gate.open()

with HeldRequests(folder, engine, "/start") as held:   # a request that never reaches the engine
    held.arrived.wait()
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from pathlib import Path

CHUNK_BYTES = 65536


class DockerGate:
    """A folder with a link to the engine's socket, closed at first; for root see WITHOUT_ROOTS_KEYS."""

    def __init__(self, engine: str) -> None:
        # Not pytest's tmp_path: a Unix socket's path is limited to 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="gate"))
        self.link = self.folder / "docker.sock"
        self.engine = engine.removeprefix("unix://")
        self.host = f"unix://{self.link}"

    def __enter__(self) -> DockerGate:
        self.close()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.folder.chmod(0o700)
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self) -> None:
        """The socket is there, and may be used."""
        self.folder.chmod(0o700)
        if not self.link.is_symlink():
            self.link.symlink_to(self.engine)

    def close(self) -> None:
        """The socket is there, and may not be used."""
        self.open()
        self.folder.chmod(0)

    def remove(self) -> None:
        """There is no socket."""
        self.folder.chmod(0o700)
        self.link.unlink(missing_ok=True)


WITHOUT_ROOTS_KEYS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Command prefix: file permissions count for root too."""


class HeldRequests:
    """Passes everything on to the engine but requests whose path has `word`: those wait until released."""

    def __init__(self, engine: str, word: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="held")) / "docker.sock"
        self.host = f"unix://{self.path}"
        self.arrived = threading.Event()
        self._engine = engine.removeprefix("unix://")
        self._word = word.encode()
        self._released = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> HeldRequests:
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()
        self._listener.close()
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def release(self) -> None:
        """Let through what waits and what comes; what its sender gave up is gone for good."""
        self._released.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
                for source, target, held in ((client, engine, True), (engine, client, False)):
                    threading.Thread(target=self._pass, args=(source, target, held), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, held: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if held and self._word in data.partition(b"\r\n")[0] and not self._released.is_set():
                    self.arrived.set()
                    return  # the connection stays open and says nothing, until its sender ends
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
