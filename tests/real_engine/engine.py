"""An engine in a container, asked from outside: the stand-in or the real vLLM."""

from __future__ import annotations

import http.client
import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker

from tests.support.stack import free_port

KEY = "contract-key"
NAME = "contract"
MAX_MODEL_LEN = 512
METRIC = re.compile(r"^(\w+:\w+)\{(.*)\} (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Kind:
    """Which engine: its image, the model inside, and what its container needs."""

    name: str
    image: str
    model: str
    load_seconds: float
    environment: dict[str, str]


@dataclass(frozen=True)
class Answer:
    status: int
    type: str
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


class Engine:
    """One running container of a kind, published on a free port of 127.0.0.1.

    `before_ready` holds what GET /health said until it said 200: an HTTP status,
    or `None` where nobody answered.
    """

    def __init__(self, kind: Kind, docker_host: str, *arguments: str) -> None:
        self.kind = kind
        self.port = free_port()
        self.client = docker.DockerClient(base_url=docker_host, timeout=60)
        self.before_ready: list[int | None] = []
        command = ["vllm", "serve", kind.model, "--served-model-name", NAME, "--host", "0.0.0.0"]
        command += ["--port", "8000", "--max-model-len", str(MAX_MODEL_LEN), "--api-key", KEY, *arguments]
        self.container = self.client.containers.run(
            kind.image,
            command,
            name=f"contract-{kind.name}-{uuid.uuid4().hex[:8]}",
            detach=True,
            init=True,
            shm_size="256m",
            environment=kind.environment,
            ports={"8000/tcp": ("127.0.0.1", self.port)},
        )

    def wait_ready(self) -> None:
        """Wait until /health says 200; fails when the container ends, or loads longer than its kind may."""
        deadline = time.monotonic() + self.kind.load_seconds
        while (status := self._health()) != 200:
            self.before_ready.append(status)
            self.container.reload()
            assert self.container.status == "running", "\n".join(self.log()[-20:])
            assert time.monotonic() < deadline, f"not ready after {self.kind.load_seconds:g} s"
            time.sleep(0.1)

    def wait_end(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return int(self.container.wait(timeout=self.kind.load_seconds)["StatusCode"])

    def stop(self) -> int:
        """Send SIGTERM, as a stop does, and return the exit code."""
        self.container.stop(timeout=30)
        return self.wait_end()

    def remove(self) -> None:
        self.container.remove(force=True)
        self.client.close()

    def log(self) -> list[str]:
        text = self.container.logs(stdout=True, stderr=True).decode(errors="replace")
        return re.split(r"[\r\n]+", text)

    # Over HTTP ------------------------------------------------------------------

    def ask(self, method: str, path: str, data: Any = None, key: str = KEY) -> Answer:
        connection = self._send(method, path, data, key)
        try:
            answer = connection.getresponse()
            kind = answer.headers.get("content-type", "")
            return Answer(answer.status, kind, answer.read().decode())
        finally:
            connection.close()

    def chat(self, **fields: Any) -> Answer:
        return self.ask("POST", "/v1/chat/completions", chat_request(**fields))

    def chat_stream(self, **fields: Any) -> Iterator[str]:
        """The data of each server-sent event; closing the iterator hangs up."""
        connection = self._send("POST", "/v1/chat/completions", chat_request(stream=True, **fields), KEY)
        try:
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            for line in answer:
                if line.startswith(b"data: "):
                    yield line.removeprefix(b"data: ").decode().rstrip("\n")
        finally:
            connection.close()

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Each sample of vLLM's own metrics: name, then labels, then value."""
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for line in self.ask("GET", "/metrics").body.splitlines():
            if match := METRIC.match(line):
                labels = tuple(sorted(LABEL.findall(match[2])))
                found.setdefault(match[1], {})[labels] = float(match[3])
        return found

    def metric(self, name: str, **labels: str) -> float:
        """The value of the one sample that has these labels."""
        samples = self.metrics()[f"vllm:{name}"]
        (value,) = (value for held, value in samples.items() if labels.items() <= dict(held).items())
        return value

    def _send(self, method: str, path: str, data: Any, key: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = None
        if data is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(data).encode()
        connection.request(method, path, body, headers)
        return connection

    def _health(self) -> int | None:
        try:
            return self.ask("GET", "/health").status
        except (OSError, http.client.HTTPException):
            return None


def chat_request(said: str = "one two three four five", **fields: Any) -> dict[str, Any]:
    return {"model": NAME, "temperature": 0, "messages": [{"role": "user", "content": said}], **fields}


def shape(value: Any) -> Any:
    """What is where, without the values: {"id": "text", "created": "number", "choices": []}."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    if value is None or isinstance(value, bool):
        return value
    return "text" if isinstance(value, str) else "number"
