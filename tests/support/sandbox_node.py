"""One node's sandbox on a real engine, its journal on disk, its streams in memory, and web as a stand-in."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox_app.job import Job, Policy, SessionJob, arguments_digest
from sandbox_app.node.sandbox import NodeSandbox, SandboxSettings
from sandbox_app.node.workspaces import Workspaces
from sparkweb.adapters.docker_sandbox import SandboxEngine
from sparkweb.node_link.http_client import WebAnswer, WebBytes, WebUnreachable
from sparkweb.node_link.journal import Journal
from tests.support.node import MemoryStreams
from tests.support.sandbox_image import TAG
from tests.support.stack import wait_for

EXEC = """
import json, sys
exec(compile(json.load(sys.stdin)["arguments"]["code"], "<code>", "exec"), globals())
"""
"""A tool that runs Python given as `code`, in its own globals."""

SHELL = """
cat > /dev/null
echo from bash
echo '{"result": {"n": 1}}' >&3
exit 3
"""


class StandInWeb:
    """What a node asks of web: tool folders, arguments; it takes artifacts in pieces. `down` is no web."""

    def __init__(self) -> None:
        self.folders: dict[str, bytes] = {}
        self.arguments: dict[str, Any] = {}
        self.artifacts: dict[tuple[str, str], bytes] = {}
        self.headers: list[dict[str, Any]] = []
        self.down = False

    def fetch(self, target: str, body: bytes, most_bytes: int) -> WebBytes:
        if self.down:
            raise WebUnreachable("web is away")
        question = json.loads(body)
        if target == "/node/tool-folder/":
            tar = self.folders.get(question["digest"])
            return WebBytes(200, tar) if tar else WebBytes(404, b"")
        return WebBytes(200, json.dumps(self.arguments[question["run"]]).encode())

    def post(self, target: str, body: bytes) -> WebAnswer:
        if self.down:
            raise WebUnreachable("web is away")
        assert target == "/node/tool-artifacts/"
        line, _, data = body.partition(b"\n")
        header = json.loads(line)
        key = (header["run"], header["name"])
        held = self.artifacts.setdefault(key, b"")
        if header["offset"] != len(held):
            return WebAnswer(409, json.dumps({"offset": len(held)}))
        self.artifacts[key] = held + data
        if header["last"]:
            assert hashlib.sha256(self.artifacts[key]).hexdigest() == header["sha256"]
            self.headers.append(header)
        return WebAnswer(200, "{}")


def tool_tar(files: dict[str, str]) -> bytes:
    """A tool's folder as web hands it over."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


class SandboxNode:
    """NodeSandbox with what a test wants to ask of it."""

    def __init__(
        self, docker_host: str, folder: Path, installation: str, image: str = TAG, **settings: Any
    ) -> None:
        self.folder = folder
        self.installation = installation
        self.image = image
        self.web = StandInWeb()
        self.streams = MemoryStreams()
        self.journal = Journal(folder / "journal.sqlite3")
        self.engine = SandboxEngine(docker_host)
        self.workspaces = Workspaces(folder / "workspaces", 0)
        chosen = {"pool": 0, "data_pool": 0, "reserve_bytes": 0, **settings}
        self.sandbox = NodeSandbox(
            self.engine,
            self.journal,
            self.streams,
            lambda: self.web,
            folder / "sandbox",
            "spark-1",
            installation,
            SandboxSettings(image, **chosen),
            self.workspaces,
        )
        self.tool = self.tool_add({"TOOL.md": "x", "run.py": EXEC, "run.sh": SHELL})
        self.workspaces.start()
        self.sandbox.start()

    def close(self) -> None:
        self.sandbox.close()
        for uid in self.workspaces.listed():
            self.workspaces.close(uid)
        self.journal.close()

    def tool_add(self, files: dict[str, str]) -> str:
        """A tool's folder that web has; its digest."""
        tar = tool_tar(files)
        digest = hashlib.sha256(tar).hexdigest()
        self.web.folders[digest] = tar
        return digest

    def job(self, code: str = "print(1)", program: str = "run.py", **fields: Any) -> Job:
        """A job of the tool; fields of the policy may be named as well."""
        named = set(fields) & set(Policy.__dataclass_fields__)
        of_policy = {key: fields.pop(key) for key in named}
        of_policy.setdefault("timeout_seconds", 300)  # a busy machine is slow; few tests are about time
        arguments = fields.pop("arguments", {"code": code})
        job = Job(
            run=uuid.uuid4().hex[:16],
            generation=1,
            installation=self.installation,
            node="spark-1",
            tool="exec",
            tool_digest=self.tool,
            runner="container",
            program=program,
            policy=Policy(**{"image": self.image, **of_policy}),
            arguments=arguments,
            arguments_digest=arguments_digest(arguments or {}),
        )
        return replace(job, **fields)

    def send(self, job: Job) -> Job:
        """As the nudge arrives: through JSON."""
        self.sandbox.run(json.loads(json.dumps(job.to_json())))
        return job

    def do(self, code: str = "print(1)", program: str = "run.py", **fields: Any) -> dict[str, Any]:
        """Send a job and wait for its end."""
        return self.wait_end(self.send(self.job(code, program, **fields)))

    def facts(self, run: str, verb: str) -> list[dict[str, Any]]:
        """What the journal holds about a run, oldest first."""
        told = [json.loads(fact.payload) for fact in self.journal.unacknowledged(limit=1000)]
        return [one["data"] for one in told if one["verb"] == verb and one["data"].get("run") == run]

    def session_facts(self, session: str, verb: str) -> list[dict[str, Any]]:
        """What the journal holds about a session."""
        told = [json.loads(fact.payload) for fact in self.journal.unacknowledged(limit=1000)]
        return [one["data"] for one in told if one["verb"] == verb and one["data"].get("session") == session]

    def wait_end(self, job: Job, seconds: float = 120.0) -> dict[str, Any]:
        """The end of a run once it is told on its stream; the journal has the same."""

        def ended() -> dict[str, Any] | None:
            entries = self.stream(job.run)
            return entries[-1]["ending"] if entries and entries[-1]["kind"] == "end" else None

        ending: dict[str, Any] = wait_for(ended, f"the end of {job.run}", seconds)
        assert self.facts(job.run, "tool_run_ended") == [json.loads(json.dumps(ending))]
        return ending

    def stream(self, run: str) -> list[dict[str, Any]]:
        return list(self.streams.entries.get(f"tool:spark-1:{run}", []))

    def containers(self) -> list[str]:
        """Names of all labelled containers of this installation."""
        return [name for _, name, _ in self.engine.labelled({"sparkweb.installation": self.installation})]

    def wait_clean(self, seconds: float = 60.0) -> None:
        """Until no container is left."""
        wait_for(lambda: not self.containers(), "no container left", seconds)


def session_job(**fields: Any) -> SessionJob:
    """A session of its own."""
    made = {"uid": str(uuid.uuid4()), "size_bytes": 64 * 2**20, "inodes": 1024, "idle_seconds": 300}
    return SessionJob(**{**made, **fields})
