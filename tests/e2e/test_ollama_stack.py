"""Ollama through the whole product: imported, started, its download shown, its failure told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_images import engine_image, engine_images_build
from tests.support.stack import Stack, free_port, wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def stack(docker_host: str, tmp_path: Path) -> Iterator[Stack]:
    engine_images_build(docker_host)
    models = tmp_path / "ollama"
    models.mkdir()
    with Stack(tmp_path, docker_host=docker_host, SPARKWEB_OLLAMA_MODELS=str(models)) as stack:
        yield stack


def entry(model_id: str, **environment: str) -> dict[str, Any]:
    return {
        "engine": "ollama",
        "port": free_port(),
        "model_id": model_id,
        "image": engine_image("ollama"),
        "settings": {"gpus": "none", "keep_alive": "24h", "env": environment},
    }


def test_download_is_shown_and_a_failure_told(stack: Stack) -> None:
    source = stack.folder / "models.yaml"
    good = entry("qwen3:4b", STANDIN_PULL_SECONDS="4")
    bad = entry("qwen9", STANDIN_PULL_ERROR="pull model manifest: file does not exist")
    source.write_text(json.dumps({"models": {"good": good, "bad": bad}}))
    stack.manage("import_models", str(source))
    stack.wait_online()
    well, ill = stack.launch_start("good"), stack.launch_start("bad")

    def progress() -> dict[str, Any] | None:
        shown = stack.get("/api/models/good")["startup_progress"] or {}
        return shown if shown.get("stage") == "download" and shown["progress_percent"] else None

    assert wait_for(progress, "the download's bytes")["message"] == "Downloading qwen3:4b"
    failed = stack.wait_state(ill, "failed")
    assert failed["failure_code"] == "model_pull_failed"
    assert failed["failure_reason"].startswith("Ollama could not pull qwen9: pull model manifest")
    stack.wait_state(well, "ready")
    wait_for(lambda: len(stack.containers()) == 1, "the server without its model is gone")
    status, _ = stack.call("POST", f"/api/launches/{well}/stop")
    assert status == 202
    stack.wait_state(well, "stopped")
    wait_for(lambda: not stack.containers(), "nothing is left")
