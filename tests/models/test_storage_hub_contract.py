"""Our downloader and scan against the real huggingface_hub: same layout, same locks, same figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models_app.node.storage.budget import Budget
from models_app.node.storage.hf_cache import hf_delete, hf_scan
from models_app.node.storage.hub_child import download
from models_app.node.storage.hub_download import Progress
from tests.support.hub import Hub

FILES = {
    "config.json": b'{"a": 1}',
    "model.safetensors": os.urandom(100_000),
    "onnx/x.onnx": os.urandom(3_000),
}
LIBRARY = """
import json, os, sys
from huggingface_hub import scan_cache_dir, snapshot_download
wish = json.loads(sys.argv[1])
path = snapshot_download("org/model", local_files_only=wish["offline"], etag_timeout=60)
found = {}
for place, _, names in os.walk(path):
    for name in names:
        full = os.path.join(place, name)
        found[os.path.relpath(full, path)] = os.path.getsize(full)
scan = scan_cache_dir()
def told(v):
    return [v.commit_hash, v.size_on_disk, sorted(v.refs)]
repos = [[r.repo_id, r.repo_type, r.size_on_disk, sorted(map(told, r.revisions))] for r in scan.repos]
print(json.dumps({"files": found, "repos": repos, "warnings": [str(w) for w in scan.warnings]}))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as one:
        yield one


def library(hub: Hub, cache: Path, *, offline: bool) -> dict[str, Any]:
    """What the library has after asking for the model, in a process of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, json.dumps({"offline": offline})],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ours(hub: Hub, cache: Path) -> dict[str, Any]:
    wish = {"repo_type": "model", "repo": "org/model", "revision": "main", "patterns": []}
    node = {"endpoint": hub.endpoint, "cache": str(cache), "token_file": None, "reserve_bytes": 0}
    return download({**wish, **node}, Progress())


def figures(cache: Path) -> list[Any]:
    """Our scan in the library's words."""
    return [
        [
            entry["name"],
            "model",
            entry["bytes"],
            sorted([row["commit"], row["bytes"], row["refs"]] for row in entry["revisions"]),
        ]
        for entry in hf_scan(cache / "hub", Budget()).entries
    ]


def test_the_library_finds_what_we_downloaded(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    assert ours(hub, tmp_path)["outcome"] == "done"
    seen = library(hub, tmp_path, offline=True)
    assert seen["files"] == {path: len(content) for path, content in FILES.items()}
    assert seen["warnings"] == []
    assert seen["repos"] == figures(tmp_path)


def test_online_the_library_fetches_none_of_it_again(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    ours(hub, tmp_path)
    hub.requests.clear()
    library(hub, tmp_path, offline=False)
    assert hub.file_requests() == []


def test_we_find_what_the_library_downloaded_and_delete_as_it_lies(hub: Hub, tmp_path: Path) -> None:
    commit = hub.add("org/model", FILES)
    seen = library(hub, tmp_path, offline=False)
    assert seen["repos"] == figures(tmp_path)
    hub.requests.clear()
    assert ours(hub, tmp_path)["outcome"] == "done"
    assert hub.file_requests() == []
    hf_delete(tmp_path / "hub", f"hf:models--org--model@{commit}")
    assert hf_scan(tmp_path / "hub", Budget()).entries == []
