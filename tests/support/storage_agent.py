"""One node's storage jobs as a process of its own, to be killed: folder, hub and subject are arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from models_app.node.storage.areas import Areas
from models_app.node.storage.jobs import Place, StorageJobs
from models_app.node.storage.ollama_servers import OllamaServers
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.node_link.journal import Journal


def jobs_make(folder: Path, endpoint: str, journal: Journal, reserve_bytes: int = 0) -> StorageJobs:
    """Storage jobs whose cache, secrets and Ollama folder lie in `folder`; its Docker does not exist."""
    place = Place(folder / "hf", endpoint, folder / "secrets", folder / "ollama", reserve_bytes)
    engine = DockerEngine(f"unix://{folder}/no-docker.sock")
    servers = OllamaServers(list, "http://127.0.0.1:1")
    areas = Areas(engine, servers, place.hf_cache, place.ollama)
    return StorageJobs(engine, journal, areas, servers, place, lambda _: None)


def main() -> None:
    folder, endpoint, subject = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    jobs = jobs_make(folder, endpoint, Journal(folder / "killed.sqlite3"))
    jobs.run("a" * 16, 1, "hf_download", subject)


if __name__ == "__main__":
    main()
