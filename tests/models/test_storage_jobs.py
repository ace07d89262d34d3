"""Storage jobs on a node: carried out once, cancelled, resumed after the agent's death, told as facts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from models_app.node.storage import agent as storage_agent
from models_app.node.storage.areas import Areas
from models_app.node.storage.jobs import TOGETHER, Place, StorageJobs
from models_app.node.storage.ollama_servers import OllamaServers, address_of
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.node_link.journal import Journal
from tests.support.hub import TOKEN, Hub, etag_of
from tests.support.stack import REPOSITORY, wait_for
from tests.support.storage_agent import jobs_make

WEIGHTS = os.urandom(400_000)
SUBJECT = {"repo_type": "model", "repo": "org/model", "revision": "main", "patterns": []}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as one:
        one.add("org/model", {"model.safetensors": WEIGHTS, "config.json": b"{}"})
        yield one


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    one = Journal(tmp_path / "journal.sqlite3")
    yield one
    one.close()


@pytest.fixture
def jobs(tmp_path: Path, hub: Hub, journal: Journal) -> Iterator[StorageJobs]:
    one = jobs_make(tmp_path, hub.endpoint, journal)
    yield one
    one.close()


def told(journal: Journal) -> list[dict[str, Any]]:
    facts = [json.loads(fact.payload) for fact in journal.unacknowledged()]
    return [fact["data"] for fact in facts if fact["verb"] == "storage_job_ended"]


def in_background(jobs: StorageJobs, uid: str = "a" * 16, generation: int = 1) -> threading.Thread:
    thread = threading.Thread(target=jobs.run, args=[uid, generation, "hf_download", SUBJECT], daemon=True)
    thread.start()
    return thread


def half_way(hub: Hub, jobs: StorageJobs) -> int:
    """Wait until a download has bytes on disk and stands still; how many."""
    assert hub.reached_half.wait(60)
    return int(
        wait_for(lambda: jobs.entries() and (jobs.entries()[0]["done_bytes"] or 0) > 2, "bytes are told", 60)
        and jobs.entries()[0]["done_bytes"]
    )


def partial(folder: Path) -> Path:
    return folder / "hf/hub/models--org--model/blobs" / f"{etag_of(WEIGHTS)}.incomplete"


def test_a_download_is_told_with_its_bytes(hub: Hub, journal: Journal, jobs: StorageJobs) -> None:
    jobs.run("a" * 16, 1, "hf_download", SUBJECT)
    size = len(WEIGHTS) + 2
    whole = {"outcome": "done", "code": "", "reason": "", "done_bytes": size, "total_bytes": size}
    assert told(journal) == [{"job": "a" * 16, "generation": 1, **whole}]
    jobs.run("a" * 16, 1, "hf_download", SUBJECT)  # control asked once more meanwhile
    assert len(told(journal)) == 1


def test_a_second_order_joins_and_older_ones_are_dropped(
    hub: Hub, journal: Journal, jobs: StorageJobs
) -> None:
    hub.stall.set()
    thread = in_background(jobs)
    half_way(hub, jobs)
    jobs.run("a" * 16, 1, "hf_download", SUBJECT)  # returns at once
    assert [entry["kind"] for entry in jobs.entries()] == ["hf_download"]
    hub.stall.clear()
    thread.join(60)
    assert len(hub.file_requests()) == 2
    jobs.cancel("b" * 16, 2)
    jobs.run("b" * 16, 1, "hf_download", SUBJECT)
    assert [(fact["job"][0], fact["outcome"]) for fact in told(journal)] == [
        ("a", "done"),
        ("b", "cancelled"),
    ]


def test_a_cancelled_download_goes_on_later_where_it_was(
    tmp_path: Path, hub: Hub, journal: Journal, jobs: StorageJobs
) -> None:
    hub.stall.set()
    thread = in_background(jobs)
    half_way(hub, jobs)
    wait_for(lambda: partial(tmp_path).stat().st_size > 0, "bytes are on the disk", 60)
    jobs.cancel("a" * 16, 2)
    thread.join(60)
    (fact,) = told(journal)
    assert (fact["outcome"], fact["generation"]) == ("cancelled", 2)
    left = partial(tmp_path).stat().st_size
    hub.stall.clear()
    jobs.run("b" * 16, 1, "hf_download", SUBJECT)
    assert told(journal)[-1]["outcome"] == "done"
    assert f"bytes={left}-" in [given for _, given in hub.file_requests()]


def test_the_download_dies_with_its_agent_and_the_next_goes_on(
    tmp_path: Path, hub: Hub, journal: Journal, jobs: StorageJobs
) -> None:
    hub.stall.set()
    agent = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.support.storage_agent",
            str(tmp_path),
            hub.endpoint,
            json.dumps(SUBJECT),
        ],
        cwd=REPOSITORY,
    )
    assert hub.reached_half.wait(60)
    wait_for(lambda: partial(tmp_path).exists() and partial(tmp_path).stat().st_size > 0, "bytes on disk", 60)
    (child,) = psutil.Process(agent.pid).children()
    agent.kill()
    agent.wait(60)
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child ended", 60)
    left = partial(tmp_path).stat().st_size
    hub.stall.clear()
    jobs.run("a" * 16, 1, "hf_download", SUBJECT)
    assert told(journal)[-1]["outcome"] == "done"
    assert f"bytes={left}-" in [given for _, given in hub.file_requests()]


def test_no_token_in_arguments_or_facts(
    tmp_path: Path, hub: Hub, journal: Journal, jobs: StorageJobs
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "hf_token").write_text(TOKEN)
    hub.gated.add("models/org/model")
    hub.stall.set()
    thread = in_background(jobs)
    half_way(hub, jobs)
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    children = [one for one in alive if "hub_child" in " ".join(one.cmdline())]
    assert children
    assert all(TOKEN not in " ".join([*one.cmdline(), *one.environ().values()]) for one in children)
    hub.stall.clear()
    thread.join(60)
    assert told(journal)[-1]["outcome"] == "done"
    assert TOKEN not in json.dumps(told(journal))


def test_more_than_three_wait(hub: Hub, journal: Journal, jobs: StorageJobs) -> None:
    hub.stall.set()
    threads = [in_background(jobs, str(number) * 16) for number in range(TOGETHER)]
    wait_for(lambda: len(jobs.entries()) == TOGETHER, "three work", 60)
    jobs.run("9" * 16, 1, "hf_download", SUBJECT)
    assert len(jobs.entries()) == TOGETHER
    hub.stall.clear()
    for thread in threads:
        thread.join(60)
    assert {fact["outcome"] for fact in told(journal)} == {"done"}


def test_an_agent_that_ends_tells_nothing_so_that_it_goes_on(
    hub: Hub, journal: Journal, jobs: StorageJobs
) -> None:
    hub.stall.set()
    thread = in_background(jobs)
    half_way(hub, jobs)
    jobs.close()
    thread.join(60)
    assert told(journal) == []


def test_failures_are_told_in_words(tmp_path: Path, hub: Hub, journal: Journal) -> None:
    jobs = jobs_make(tmp_path, hub.endpoint, journal, reserve_bytes=10**18)
    jobs.run("a" * 16, 1, "hf_download", SUBJECT)
    jobs.run("b" * 16, 1, "image_pull", {"image": "busybox"})
    jobs.run("c" * 16, 1, "ollama_pull", {"model": "qwen3:8b"})
    jobs.run("d" * 16, 1, "dance", {})
    jobs.run("e" * 16, 1, "delete", {"key": "hf:models--org--nothing"})
    assert [(fact["outcome"], fact["code"]) for fact in told(journal)] == [
        ("failed", "disk_short"),
        ("failed", "docker_missing"),
        ("failed", "no_server"),
        ("failed", "unknown_kind"),
        ("done", ""),
    ]


def test_what_was_downloaded_is_deleted_by_its_key(
    tmp_path: Path, hub: Hub, journal: Journal, jobs: StorageJobs
) -> None:
    jobs.run("a" * 16, 1, "hf_download", SUBJECT)
    jobs.run("b" * 16, 1, "delete", {"key": "hf:models--org--model"})
    assert told(journal)[-1]["done_bytes"] == len(WEIGHTS) + 2
    assert not (tmp_path / "hf/hub/models--org--model").exists()


# Ollama servers --------------------------------------------------------------------


class FakeOllama:
    """Lists, pulls and deletes models; `total` is what a pull says it needs."""

    def __init__(self) -> None:
        self.models = ["held:latest"]
        self.total = 10
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say({"models": [{"name": name, "size": 7} for name in fake.models]})

            def do_POST(self) -> None:
                name = self._body()["model"]
                fake.models.append(name)
                row = {"status": "pulling", "digest": "sha256:aa", "total": fake.total, "completed": 4}
                self._say(row, {**row, "completed": fake.total}, {"status": "success"})

            def do_DELETE(self) -> None:
                fake.models.remove(self._body()["model"])
                self._say({})

            def _body(self) -> dict[str, Any]:
                return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _say(self, *rows: Any) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    fake = FakeOllama()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def ollama_jobs(folder: Path, journal: Journal, fake: FakeOllama, reserve: int = 0) -> StorageJobs:
    place = Place(folder / "hf", "http://127.0.0.1:1", folder, folder / "ollama", reserve)
    engine = DockerEngine(f"unix://{folder}/no-docker.sock")
    servers = OllamaServers(list, fake.url)
    areas = Areas(engine, servers, place.hf_cache, place.ollama)
    return StorageJobs(engine, journal, areas, servers, place, lambda _: None)


def test_a_model_is_pulled_by_the_server_and_deleted_through_it(
    tmp_path: Path, journal: Journal, ollama: FakeOllama
) -> None:
    jobs = ollama_jobs(tmp_path, journal, ollama)
    jobs.run("a" * 16, 1, "ollama_pull", {"model": "qwen3:8b"})
    assert "qwen3:8b" in ollama.models
    jobs.run("b" * 16, 1, "delete", {"key": "ollama-server:qwen3:8b"})
    assert ollama.models == ["held:latest"]
    assert [(fact["outcome"], fact["done_bytes"]) for fact in told(journal)] == [("done", 10), ("done", 0)]


def test_a_pull_that_cannot_fit_is_refused(tmp_path: Path, journal: Journal, ollama: FakeOllama) -> None:
    jobs = ollama_jobs(tmp_path, journal, ollama, reserve=10**18)
    jobs.run("a" * 16, 1, "ollama_pull", {"model": "qwen3:8b"})
    assert told(journal)[0]["code"] == "disk_short"


def test_servers_tell_what_the_folder_does_not(ollama: FakeOllama) -> None:
    servers = OllamaServers(lambda: [address_of(ollama.url), ("127.0.0.1", 1)], ollama.url)
    assert [entry["key"] for entry in servers.entries(set())] == ["ollama-server:held:latest"]
    assert servers.entries({"held:latest"}) == []


# All of it as the agent has it -----------------------------------------------------


def test_the_listing_is_told_once_and_again_when_asked(tmp_path: Path, journal: Journal) -> None:
    place = Place(tmp_path / "hf", "http://127.0.0.1:1", tmp_path, tmp_path / "ollama", 0)
    engine = DockerEngine(f"unix://{tmp_path}/no-docker.sock")
    node = storage_agent.NodeStorage(engine, journal, place, list, "http://127.0.0.1:1")

    def listings() -> list[dict[str, Any]]:
        facts = [json.loads(fact.payload) for fact in journal.unacknowledged()]
        return [fact["data"] for fact in facts if fact["verb"] == "storage_listed"]

    def settled() -> bool:
        section = node.section()
        return bool(section["scanned_at"]) and not section["scanning"]

    wait_for(lambda: settled() and listings(), "the listing is told", 60)
    node.section()
    assert len(listings()) == 1
    assert listings()[0]["areas"]["images"]["status"] == "missing"
    assert node.section()["areas"] == listings()[0]["areas"]
    journal.acknowledge(journal.last_sequence)
    node.look()
    wait_for(lambda: settled() and listings(), "it is told again", 60)
    node.close()
