"""One agent's container part on a real engine, with its journal on disk and streams in memory."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models_app.agent import NodeModels
from models_app.engines.spec import ContainerSpec, PortSpec, ProbeSpec
from models_app.node.adopted import Adopted
from models_app.node.log_archive import LogArchive
from models_app.node.script_place import ScriptPlace
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.node_link.journal import Journal
from sparkweb.streams import StreamsDown
from tests.support.images import STANDIN
from tests.support.stack import wait_for


class MemoryStreams:
    """Streams as lists; `down` makes every append fail as without Redis."""

    def __init__(self) -> None:
        self.entries: dict[str, list[dict[str, Any]]] = {}
        self.down = False

    def append(self, stream: str, data: Mapping[str, Any], maxlen: int | None = None) -> str:
        if self.down:
            raise StreamsDown("Redis is away")
        entries = self.entries.setdefault(stream, [])
        entries.append(dict(data))
        return f"{len(entries)}-0"


class Node:
    """NodeModels with what a test wants to ask of it."""

    def __init__(
        self,
        docker_host: str,
        folder: Path,
        installation: str,
        name: str = "spark-1",
        archive: LogArchive | None = None,
    ) -> None:
        self.name = name
        self.installation = installation
        self.secrets = folder / "secrets"
        self.secrets.mkdir(exist_ok=True)
        self.streams = MemoryStreams()
        self.journal = Journal(folder / f"{name}.sqlite3")
        self.engine = DockerEngine(docker_host)
        self.scripts = ScriptPlace(folder / "scripts", folder / f"{name}-runs")
        self.scripts.root.mkdir(exist_ok=True)
        self.adopted_file = folder / f"{name}-adopted.json"
        self.models = NodeModels(
            self.engine,
            self.journal,
            self.streams,
            name,
            installation,
            self.secrets,
            self.scripts,
            Adopted(self.adopted_file),
            archive,
        )
        self.models.start()

    def close(self) -> None:
        self.models.close()
        self.journal.close()

    def spec(self, port: int, **fields: Any) -> ContainerSpec:
        """A spec of the stand-in; `env` scripts it."""
        member = fields.pop("member", uuid.uuid4().hex[:16])
        defaults: dict[str, Any] = {
            "launch": uuid.uuid4().hex[:16],
            "member": member,
            "generation": 1,
            "installation": self.installation,
            "node": self.name,
            "slug": "standin",
            "name": f"sparkweb-test-{member}",
            "image": STANDIN,
            "command": ["vllm", "serve", "test/model", "--served-model-name", "standin", "--port", "8000"],
            "ports": [PortSpec(8000, port)],
            "probe": ProbeSpec("openai", port, model="standin"),
        }
        return ContainerSpec(**{**defaults, **fields})

    def start(self, spec: ContainerSpec) -> ContainerSpec:
        """As the command arrives: through JSON, returning when the start is through."""
        self.models.container_start(json.loads(json.dumps(spec.to_json())))
        return spec

    def start_in_background(self, spec: ContainerSpec) -> threading.Thread:
        thread = threading.Thread(target=self.start, args=[spec])
        thread.start()
        return thread

    def stop(self, spec: ContainerSpec, timeout_seconds: int = 10, generation: int = 2) -> None:
        self.models.container_stop(spec.launch, spec.member, generation, timeout_seconds)

    def facts(self, spec: ContainerSpec, verb: str = "") -> list[tuple[str, dict[str, Any]]]:
        """What the journal holds about a member, oldest first."""
        told = [json.loads(fact.payload) for fact in self.journal.unacknowledged()]
        return [
            (fact["verb"], fact["data"])
            for fact in told
            if fact["data"].get("member") == spec.member and verb in ("", fact["verb"])
        ]

    def wait_fact(self, spec: ContainerSpec, verb: str, seconds: float = 60.0) -> dict[str, Any]:
        found = wait_for(lambda: self.facts(spec, verb), f"fact {verb}", seconds)
        return found[-1][1]  # type: ignore[no-any-return]

    def acknowledge_all(self) -> None:
        self.journal.acknowledge(self.journal.last_sequence)

    def entry(self, spec: ContainerSpec) -> dict[str, Any] | None:
        """The member's entry in the report."""
        entries = self.models.launches() or []
        return next((entry for entry in entries if entry["member"] == spec.member), None)

    def wait_entry(
        self, spec: ContainerSpec, condition: Callable[[dict[str, Any]], Any], seconds: float = 60.0
    ) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            entry = self.entry(spec)
            return entry if entry and condition(entry) else None

        return wait_for(seen, "the report's entry", seconds)  # type: ignore[no-any-return]

    def wait_ready(self, spec: ContainerSpec) -> dict[str, Any]:
        return self.wait_entry(spec, lambda entry: (entry["probe"] or {}).get("ready"))

    def log(self, spec: ContainerSpec) -> list[dict[str, Any]]:
        """The entries of the member's log stream."""
        return list(self.streams.entries.get(f"log:{self.name}:{spec.member}", []))

    def log_lines(self, spec: ContainerSpec) -> list[str]:
        return [line for entry in self.log(spec) for line in entry.get("lines", [])]
