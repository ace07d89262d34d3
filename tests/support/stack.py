"""The whole product as an owner runs it: `manage.py up` in a data folder of its own.

    with Stack(folder, docker_host=…) as stack:
        stack.api("POST", "/api/launches/", {"definition": "standin"})

Everything is real but the machine's GPU (the NVML stand-in) and the engine's
image. Waiting is for conditions, with a limit, never for a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import psutil

from tests.support.ports import free_port

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct horse battery"
UP_SECONDS = 120.0
# A busy machine is slow; what never comes true costs a minute, and only when it fails.
PATIENCE_SECONDS = 60.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30.0, every: float = 0.05) -> Any:
    """Return the first true value of `condition`; fail with `what` after `seconds`, a minute at least."""
    seconds = max(seconds, PATIENCE_SECONDS)
    deadline = time.monotonic() + seconds
    value = None
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {value!r}")


class Stack:
    """One `manage.py up` with its children."""

    def __init__(self, folder: Path, *, docker_host: str, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.docker_host = docker_host
        self.process: subprocess.Popen[bytes] | None = None
        self.key = ""
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = keep | {
            "SPARKWEB_DATA_DIR": str(folder / "data"),
            "SPARKWEB_PORT": str(self.port),
            "SPARKWEB_NODE": "spark-1",
            "SPARKWEB_ADMIN_PASSWORD": PASSWORD,
            "SPARKWEB_STATIC_ROOT": str(REPOSITORY / "staticfiles"),
            "SPARKWEB_MEMORY_RESERVE_GB": "1",
            "SPARKWEB_DISK_RESERVE_GB": "0",
            "SPARKWEB_TRANSCRIPTS": str(folder / "claude" / "projects"),  # not those of who runs the tests
            "DOCKER_HOST": docker_host,
            **environment,
        }

    # Life ----------------------------------------------------------------------

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self.containers_remove()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self.answers, f"/health answers\n{self.log()[-3000:]}", UP_SECONDS)
        if not self.key:
            scopes = ["--scope", "read", "--scope", "operate", "--scope", "admin"]
            self.key = self.manage("create_api_key", "admin", *scopes).strip()

    def stop(self) -> float:
        """End `up` as Ctrl-C does; returns the seconds that it took."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - began

    def kill(self) -> None:
        """A power cut for `up` and all its children."""
        if self.process is None:
            return
        for child in [*self.children(), psutil.Process(self.process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait(60)

    def children(self) -> list[psutil.Process]:
        if self.process is None or self.process.poll() is not None:
            return []
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        """The child process `web`, `control`, `agent`, `archive` or `redis`, once there is one."""

        def find() -> psutil.Process | None:
            for process in psutil.Process(self.process.pid).children():  # type: ignore[union-attr]
                with contextlib.suppress(psutil.Error):
                    words = process.cmdline()
                    if name in words or (name == "redis" and words and "redis-server" in words[0]):
                        return process
            return None

        return wait_for(find, f"a child process {name}")  # type: ignore[no-any-return]

    def log(self) -> str:
        path = self.folder / "up.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # Talking to it --------------------------------------------------------------

    def answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"up ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        try:
            return self.call("GET", "/health", key="")[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, data: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        """Return status and decoded answer of one HTTP call."""
        request = urllib.request.Request(self.url + path, method=method)
        secret = self.key if key is None else key
        if secret:
            request.add_header("Authorization", f"Bearer {secret}")
        body = None
        if data is not None:
            request.add_header("Content-Type", "application/json")
            body = json.dumps(data).encode()
        try:
            with urllib.request.urlopen(request, body, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode(errors="replace")

    def get(self, path: str) -> Any:
        status, answer = self.call("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    # What owners do -------------------------------------------------------------

    def import_standin(self, slug: str = "standin", *, image: str, **environment: str) -> int:
        """Import one definition whose engine is the stand-in; returns its port."""
        port = free_port()
        source = self.folder / f"{slug}.yaml"
        entry = {
            "name": slug.title(),
            "engine": "vllm",
            "port": port,
            "model_id": "test/model",
            "image": image,
            "estimated_memory_gb": 1,
            # No GPU here, and no right to raise the limit of locked memory.
            "settings": {"gpus": "none", "ulimit_memlock": None, "ulimit_stack": None, "env": environment},
        }
        source.write_text(json.dumps({"models": {slug: entry}}))
        self.manage("import_models", str(source))
        return port

    def launches(self) -> list[dict[str, Any]]:
        return self.get("/api/launches/")["results"]  # type: ignore[no-any-return]

    def launch(self, uid: str) -> dict[str, Any]:
        return self.get(f"/api/launches/{uid}/")  # type: ignore[no-any-return]

    def member(self, uid: str) -> dict[str, Any]:
        """The container of a launch's newest attempt."""
        return self.get(f"/api/launches/{uid}/members/")["results"][0]  # type: ignore[no-any-return]

    def launch_start(self, slug: str = "standin") -> str:
        status, answer = self.call("POST", "/api/launches/", {"definition": slug})
        assert status in (200, 202), (status, answer, self.log()[-2000:])
        return answer["uid"]  # type: ignore[no-any-return]

    def wait_state(self, uid: str, *states: str, seconds: float = 30.0) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            try:
                launch = self.launch(uid)
            except (OSError, AssertionError):
                return None
            return launch if launch["state"] in states else None

        try:
            return wait_for(seen, f"launch in {states}", seconds)  # type: ignore[no-any-return]
        except AssertionError as error:
            with contextlib.suppress(Exception):
                error.add_note(json.dumps(self.launch(uid), indent=1)[:3000])
            error.add_note(self.log()[-3000:])
            raise

    def wait_online(self, seconds: float = 30.0) -> None:
        def online() -> bool:
            status, answer = self.call("GET", "/api/nodes/")
            return status == 200 and any(node["status"] == "online" for node in answer["results"])

        wait_for(online, "the node is online", seconds)

    # Behind its back ------------------------------------------------------------

    @property
    def installation(self) -> str:
        return (self.folder / "data" / "installation").read_text().strip()

    def containers(self) -> list[Any]:
        client = docker.DockerClient(base_url=self.docker_host, timeout=30)
        try:
            return client.containers.list(
                all=True,
                filters={"label": f"sparkweb.installation={self.installation}"},
                ignore_removed=True,
            )
        finally:
            client.close()

    def containers_remove(self) -> None:
        with contextlib.suppress(OSError):
            for container in self.containers():
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True)
