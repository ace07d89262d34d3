"""What a log says of an engine's way up, and what the Hugging Face cache says of its download."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models_app.engines.spec import ProbeSpec
from models_app.node.identity import Identity
from models_app.node.stages import Milestone, may_tell_milestone, milestone_of_line
from models_app.node.weights import Download, WeightDownloads, files_wanted
from sparkweb.adapters.hf_cache import Blob, blobs_of
from sparkweb.adapters.hf_hub import HubFile, HubSilent, files_of
from tests.support.stack import wait_for

MINUTES = 60.0


@pytest.mark.parametrize(
    ("line", "stage", "words"),
    [
        # vLLM
        (
            "INFO [gpu_model_runner.py:2602] Starting to load model test/model...",
            "load",
            "Loading the weights",
        ),
        ("Fetching 12 files:  41%|####      | 5/12", "load", "Downloading the model's files: 41 %"),
        (
            "INFO [weight_utils.py:581] Time spent downloading weights for a/b: 17.034664 seconds",
            "load",
            "Model downloaded in 17.034664 s",
        ),
        (
            "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01]",
            "load",
            "Loading the weights: 2 of 4 shards",
        ),
        (
            "INFO [default_loader.py:314] Loading weights took 12.34 seconds",
            "load",
            "Weights loaded in 12.34 s",
        ),
        (
            "INFO [backends.py:548] Using cache directory: /root/.cache/vllm/x for vLLM's torch.compile",
            "compile",
            "Compiling",
        ),
        ("INFO torch.compile takes 41.02 s in total", "compile", "Compiled in 41.02 s"),
        (
            "INFO [kv_cache_utils.py:1316] GPU KV cache size: 21,840 tokens",
            "warmup",
            "KV cache holds 21,840 tokens",
        ),
        (
            "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  33%|###",
            "warmup",
            "Capturing CUDA graphs: 33 %",
        ),
        (
            "INFO [gpu_model_runner.py:3480] Graph capturing finished in 8 secs, took 0.31 GiB",
            "warmup",
            "CUDA graphs captured in 8 s",
        ),
        ("INFO:     Application startup complete.", "warmup", "Started; answers soon"),
        # SGLang
        ("[2026-05-02 16:14:33 TP0] Load weight begin. avail mem=20.67 GB", "load", "Loading the weights"),
        (
            "[2026-05-02 16:14:33] Load weight end. type=Qwen3ForCausalLM, dtype=torch.bfloat16",
            "load",
            "Weights loaded",
        ),
        (
            "[2026-05-02 16:14:33] KV Cache is allocated. #tokens: 41002, K size: 2.1 GB",
            "warmup",
            "KV cache holds 41002 tokens",
        ),
        (
            "[2026-05-02 16:14:33] Capture cuda graph begin. This can take up to several minutes.",
            "warmup",
            "Capturing CUDA graphs",
        ),
        ("Capturing batches (avail_mem=0.00 GB):  25%|##5", "warmup", "Capturing CUDA graphs: 25 %"),
        (
            "[2026-05-02 16:14:33] The server is fired up and ready to roll!",
            "warmup",
            "Started; answers soon",
        ),
        # llama.cpp
        (
            "load_tensors: loading model tensors, this can take a while... (mmap = true)",
            "load",
            "Loading the weights",
        ),
        ("llama_context: constructing llama_context", "load", "Making the KV cache"),
        (
            "common_init_from_params: warming up the model with an empty run - please wait ...",
            "warmup",
            "Warming up",
        ),
        ("main: model loaded", "warmup", "Started; answers soon"),
        # TensorRT-LLM
        ("[TRT-LLM] [I] Prefetching 4.10GB checkpoint files.", "load", "Reading 4.10GB of weights"),
        (
            "Loading safetensors weights in parallel: 100% 6/6 [00:00<00:00]",
            "load",
            "Reading the weights: 100 %",
        ),
        (
            "Loading weights concurrently:  40% 18/45 [00:01<00:00, 35.06it/s]",
            "load",
            "Loading the weights: 40 %",
        ),
        ("[TRT-LLM] [I] [Autotuner] Autotuning process starts ...", "compile", "Tuning kernels"),
        (
            "[TRT-LLM] [I] Creating CUDA graph instances for 11 batch sizes.",
            "warmup",
            "Capturing CUDA graphs",
        ),
        (
            "[TRT-LLM] [I] Run generation only CUDA graph warmup for batch size=64, draft_len=0",
            "warmup",
            "Capturing CUDA graphs: batch size 64",
        ),
    ],
)
def test_milestones(line: str, stage: str, words: str) -> None:
    assert milestone_of_line(line) == Milestone(stage, words)
    assert may_tell_milestone(f"x\n{line}\ny")


@pytest.mark.parametrize("line", ["", 'INFO:     127.0.0.1:5 - "GET /health HTTP/1.1" 200 OK', "x" * 16_000])
def test_other_lines_mark_nothing(line: str) -> None:
    assert milestone_of_line(line) is None


def test_a_milestone_never_takes_the_engine_back() -> None:
    """A draft model is loaded after the main one was compiled."""
    compiled = Milestone("compile", "Compiled in 3 s")
    assert Milestone("load", "Loading the weights").after(compiled) == Milestone(
        "compile", "Loading the weights"
    )
    assert Milestone("warmup", "Warming up").after(compiled) == Milestone("warmup", "Warming up")
    assert compiled.after(None) == compiled


# The download --------------------------------------------------------------------

FILES = [
    HubFile("model-1.safetensors", 1000, "aa"),
    HubFile("config.json", 10, "bb"),
    HubFile("pytorch_model.bin", 5000, "cc"),
    HubFile("original/consolidated.00.pth", 5000, "dd"),
    HubFile("consolidated.safetensors", 5000, "ee"),
]


def test_what_an_engine_fetches() -> None:
    assert files_wanted(FILES) == {"aa": 1000, "bb": 10}
    assert files_wanted([HubFile("m-Q4.gguf", 9, "a"), HubFile("m-Q8.gguf", 9, "b")]) == {}
    assert files_wanted([]) == {}


def blob(name: str, size: int, changed_at: float = 100.0, complete: bool = True) -> Blob:
    return Blob(name, size, changed_at, complete)


def test_bytes_against_what_is_wanted_count_each_file_once_and_no_other() -> None:
    download = Download(started_at=100.0)
    wanted = {"aa": 1000, "bb": 10}
    download.look([blob("bb", 10), blob("aa", 400, complete=False), blob("old", 9999)], wanted, 1.0)
    assert (download.goes_on, download.done_bytes, download.total_bytes) == (True, 410, 1010)
    download.look([blob("bb", 10), blob("aa", 1000), blob("aa", 400, complete=False)], wanted, 2.0)
    assert (download.goes_on, download.done_bytes) == (False, 1010)


def test_without_the_hub_the_size_stays_unknown_and_the_bytes_count() -> None:
    download = Download(started_at=100.0)
    download.look([blob("aa", 400, complete=False)], {}, 1.0)
    assert (download.goes_on, download.done_bytes, download.total_bytes) == (True, 400, None)


def test_what_lies_there_unfinished_from_before_is_no_download() -> None:
    download = Download(started_at=100.0)
    download.look([blob("aa", 400, changed_at=50.0, complete=False)], {"aa": 1000}, 1.0)
    assert not download.goes_on


def test_between_two_files_it_goes_on_and_then_not() -> None:
    download = Download(started_at=100.0)
    download.look([blob("aa", 400)], {}, 1.0)
    assert not download.goes_on
    download.look([blob("aa", 500)], {}, 2.0)
    assert download.goes_on
    download.look([blob("aa", 500)], {}, 2.0 + MINUTES)
    assert not download.goes_on


def test_the_cache_is_read_as_hugging_face_writes_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--org--m" / "blobs"
    folder.mkdir(parents=True)
    (folder / "aa").write_bytes(b"x" * 5000)
    (folder / "bb.incomplete").write_bytes(b"x" * 4096)
    (folder / "cc.1a2b.incomplete").touch()
    os.truncate(folder / "cc.1a2b.incomplete", 10**9)  # set aside, nothing written
    found = {one.name: (one.size_bytes, one.is_complete) for one in blobs_of(tmp_path, "org/m")}
    assert found == {"aa": (5000, True), "bb": (4096, False), "cc": (0, False)}
    assert blobs_of(tmp_path, "org/other") == []


# The hub -------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """Two pages of a repository's tree."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        first = "cursor" not in self.path
        page: Any = (
            [
                {"type": "directory", "path": "x"},
                {
                    "type": "file",
                    "path": "a.safetensors",
                    "size": 3,
                    "oid": "git",
                    "lfs": {"oid": "aa", "size": 1000},
                },
            ]
            if first
            else [
                {"type": "file", "path": "config.json", "size": 10, "oid": "bb"},
                {"type": "file", "path": 3},
            ]
        )
        if "/silent/" in self.path:
            page = {"error": "no such repository"}
        self.send_response(404 if "/missing/" in self.path else 200)
        host = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        if first:
            self.send_header("Link", f'<{host}{self.path}&cursor=2>; rel="next"')
        body = json.dumps(page).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def hub() -> Iterator[http.server.HTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_sizes_are_those_that_the_hub_tells(hub: Any) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    files = files_of(endpoint, "org/m", "v1/x", "secret")
    assert files == [HubFile("a.safetensors", 1000, "aa"), HubFile("config.json", 10, "bb")]
    assert hub.asked[0] == ("/api/models/org/m/tree/v1%2Fx?recursive=true", None)  # no token in clear


@pytest.mark.parametrize("repository", ["org/missing/", "org/silent/"])
def test_a_hub_that_does_not_tell_is_silent(hub: Any, repository: str) -> None:
    with pytest.raises(HubSilent):
        files_of(f"http://127.0.0.1:{hub.server_port}", repository, "main", None)


def test_nobody_at_the_hubs_address_is_silence(free_port: int) -> None:
    with pytest.raises(HubSilent):
        files_of(f"http://127.0.0.1:{free_port}", "org/m", "main", None)


def test_a_container_is_told_apart_while_it_downloads(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def ask(repository: str, revision: str) -> list[HubFile]:
        asked.append((repository, revision))
        return FILES

    folder = tmp_path / "hub" / "models--org--m" / "blobs"
    folder.mkdir(parents=True)
    (folder / "aa.incomplete").write_bytes(b"x" * 400)
    identity = Identity("l", "m", 1, "s", ProbeSpec("none", 0), "org/m@v1")
    downloads = WeightDownloads(tmp_path, ask)

    def stage() -> dict[str, Any]:
        downloads.look("c1", identity, started_at=0.0)
        return downloads.stage("c1", identity) or {}

    wait_for(lambda: stage().get("total_bytes"), "the hub's answer", MINUTES)
    assert stage() == {
        "name": "download",
        "done_bytes": 400,
        "total_bytes": 1010,
        "message": "Downloading org/m",
    }
    assert asked == [("org/m", "v1")]
    (folder / "aa.incomplete").rename(folder / "aa")
    os.truncate(folder / "aa", 1000)
    (folder / "bb").write_bytes(b"x" * 10)
    downloads.look("c1", identity, started_at=0.0)
    assert downloads.stage("c1", identity) is None
    downloads.forget("c1")
    assert downloads.stage("c1", identity) is None


def test_what_comes_from_no_hub_is_not_looked_for(tmp_path: Path) -> None:
    def ask(repository: str, revision: str) -> list[HubFile]:
        raise AssertionError("nobody is to be asked")

    downloads = WeightDownloads(tmp_path, ask)
    identity = Identity("l", "m", 1, "s", ProbeSpec("none", 0))
    downloads.look("c1", identity, started_at=0.0)
    assert downloads.stage("c1", identity) is None
