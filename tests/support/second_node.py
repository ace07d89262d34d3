"""A second node: `manage.py agent` beside a Stack, as it runs on another machine.

    node = SecondNode(stack, "spark-2", redis=server, docker_host=…)
    node.start()

It gets what an owner carries over, read from what `manage.py create_node` prints: key,
settings, and a Redis user with the rights of its agent alone. Nothing of the first
node's folder is in reach; DATABASE_URL names a database that nobody answers for.
"""

from __future__ import annotations

import contextlib
import http.cookiejar
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.support.images import STANDIN
from tests.support.redis import RedisServer
from tests.support.stack import PASSWORD, REPOSITORY, Stack, free_port, wait_for

NO_DATABASE = "postgresql://nobody:x@127.0.0.1:1/none"


class SecondNode:
    """One agent process. `prefix` goes before its command, as `setpriv` does."""

    def __init__(
        self,
        stack: Stack,
        name: str,
        *,
        redis: RedisServer,
        docker_host: str = "",
        prefix: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.stack = stack
        self.name = name
        self.prefix = list(prefix)
        self.folder = stack.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = self.folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.docker_host = docker_host or stack.docker_host
        self._redis = redis
        keep = {word: os.environ[word] for word in ("PATH", "HOME", "LANG") if word in os.environ}
        self.environment = keep | {
            "SPARKWEB_DATA_DIR": str(self.folder / "data"),
            "DOCKER_HOST": self.docker_host,
            "DATABASE_URL": NO_DATABASE,
            "PYTHONUNBUFFERED": "1",
            **self._carried_over(),
            **environment,
        }

    def _carried_over(self) -> dict[str, str]:
        """What `create_node` prints, put where it says."""
        lines = self.stack.manage("create_node", self.name).splitlines()
        key_file = self.folder / "node.key"
        key_file.write_text(lines[1] + "\n")
        key_file.chmod(0o600)
        rule = next(line for line in lines if line.startswith("ACL SETUSER "))
        with self._redis.client() as admin:
            admin.execute_command(*rule.split())
        settings = dict(line.split("=", 1) for line in lines if "=" in line and line[:1].isupper())
        settings.pop("ACL", None)
        user, password = rule.split()[2], rule.split()[4].removeprefix(">")
        return settings | {
            "SPARKWEB_NODE_KEY_FILE": str(key_file),
            "REDIS_URL": self._redis.url_as(user, password),
        }

    def key_renew(self) -> None:
        """Give the node a new key and Redis password; the running agent keeps the old ones."""
        self.environment |= self._carried_over()

    # Life ----------------------------------------------------------------------

    def __enter__(self) -> SecondNode:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "manage.py", "agent"],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, seconds: float = 10.0) -> int:
        """End it as its service manager does; its exit status."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL for the agent and its sampler, as a power cut."""
        if self.process is None or self.process.poll() is not None:
            return
        family = psutil.Process(self.process.pid)
        for one in [*family.children(recursive=True), family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """SIGSTOP: the whole agent stands still, its connections stay open."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.thaw()
        self.kill()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # What SparkWeb says of it -----------------------------------------------------

    def status(self) -> str:
        return str(self.stack.get(f"/api/nodes/{self.name}/")["status"])

    def wait_status(self, status: str, seconds: float = 30.0) -> None:
        try:
            wait_for(lambda: self.status() == status, f"{self.name} is {status}", seconds)
        except AssertionError as error:
            error.add_note(f"{self.name} is {self.status()}\n{self.log()[-3000:]}")
            raise

    def report(self) -> dict[str, Any]:
        """The newest report that control accepted."""
        return self.stack.get(f"/api/nodes/{self.name}/snapshot/")["report"]  # type: ignore[no-any-return]

    def docker(self) -> dict[str, Any]:
        """What the newest report says about Docker: status, version, message. The first may not know."""
        agent = self.report()["agent"] or {}
        return agent.get("docker") or {"status": "unknown", "version": None, "message": ""}

    def wait_docker(self, status: str, seconds: float = 20.0) -> dict[str, Any]:
        try:
            wait_for(lambda: self.docker()["status"] == status, f"Docker is {status}", seconds)
        except AssertionError as error:
            error.add_note(f"{self.docker()}\n{self.log()[-3000:]}")
            raise
        return self.docker()

    def launch_start(self, slug: str) -> str:
        """Start a definition on this node; the launch's uid."""
        status, answer = self.stack.call("POST", "/api/launches/", {"definition": slug, "node": self.name})
        assert status in (200, 202), (status, answer)
        return str(answer["uid"])


def clock_shifted(folder: Path, seconds: int) -> dict[str, str]:
    """The environment in which a process reads another wall time; made in `folder` by gcc."""
    library = folder / "clock_shift.so"
    source = Path(__file__).with_name("clock_shift.c")
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *options, "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT_SECONDS": str(seconds)}


class Browsing:
    """A logged-in admin's browser, without scripts."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.get("/login/")
        self.post("/login/", username="admin", password=PASSWORD)

    def get(self, path: str) -> str:
        """The page's HTML, after redirects. Raises urllib.error.HTTPError."""
        with self.opener.open(self.stack.url + path, timeout=20) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **form: str) -> str:
        """Send a form with its CSRF token, as pages do."""
        fields = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": self.cookie("sparkweb_csrf")})
        with self.opener.open(self.stack.url + path, fields.encode(), timeout=20) as answer:
            return str(answer.read().decode())

    def cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.jar if cookie.name == name), "")

    @property
    def cookies(self) -> str:
        """The Cookie header of this session."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)


def standins_import(stack: Stack, **environments: dict[str, str]) -> dict[str, int]:
    """Import a stand-in for each name, with its script as environment; their ports."""
    ports = {name: free_port() for name in environments}
    models = {
        name: {
            "name": name.title(),
            "engine": "vllm",
            "port": ports[name],
            "model_id": "test/model",
            "image": STANDIN,
            "estimated_memory_gb": 1,
            "settings": {"gpus": "none", "ulimit_memlock": None, "ulimit_stack": None, "env": environment},
        }
        for name, environment in environments.items()
    }
    status, answer = stack.call("POST", "/api/catalogue/", {"models": models})
    assert status == 200, (status, answer)
    return ports


def launch_stopped(stack: Stack, uid: str) -> None:
    """Stop a launch; wait for its end, and until nothing is left of it on the stack's engine."""
    status, answer = stack.call("POST", f"/api/launches/{uid}/stop/")
    assert status == 202, (status, answer)
    stack.wait_state(uid, "stopped")
    wait_for(
        lambda: not [one for one in stack.containers() if one.labels["sparkweb.launch"] == uid],
        "no container of the launch is left",
    )


def events(stack: Stack, uid: str) -> list[str]:
    """The states that a launch moved to, oldest first."""
    rows = stack.get(f"/api/launches/{uid}/events/")["results"]
    return [row["to_state"] for row in reversed(rows) if row["kind"] == "state"]


def log_complaints(folder: Path, *expected: str) -> list[str]:
    """Lines of warnings, errors and tracebacks in all logs below a folder, but for those expected."""
    found = []
    for path in sorted(folder.rglob("*.log")):
        for line in path.read_text(errors="replace").splitlines():
            told = "[info " in line or "[debug " in line  # whatever it quotes
            bad = not told and any(
                word in line.lower() for word in ("warning", "error", "critical", "traceback")
            )
            if bad and not any(word in line for word in expected):
                found.append(f"{path.name}: {line}")
    return found
