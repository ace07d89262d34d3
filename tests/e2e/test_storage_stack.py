"""Weights through the whole product: asked for, agent killed half way, there, listed, deleted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import Hub, etag_of
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.docker
WEIGHTS = os.urandom(400_000)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as one:
        one.add("org/model", {"model.safetensors": WEIGHTS, "config.json": b"{}"})
        yield one


@pytest.fixture
def stack(docker_host: str, tmp_path: Path, hub: Hub) -> Iterator[Stack]:
    places = {"SPARKWEB_HF_CACHE": str(tmp_path / "hf"), "SPARKWEB_OLLAMA_MODELS": str(tmp_path / "ollama")}
    with Stack(tmp_path, docker_host=docker_host, HF_ENDPOINT=hub.endpoint, **places) as stack:
        yield stack


def test_a_download_survives_its_agent_and_is_deleted_again(stack: Stack, hub: Hub, tmp_path: Path) -> None:
    def job(uid: str) -> dict[str, Any]:
        found: dict[str, Any] = stack.get(f"/api/storage-jobs/{uid}")
        return found

    def items() -> list[dict[str, Any]]:
        listed = stack.get("/api/nodes/spark-1/storage")["items"]
        return [item for item in listed if item["kind"] == "hf_model"]

    stack.wait_online()
    hub.stall.set()
    status, made = stack.call("POST", "/api/storage-jobs", {"kind": "hf_download", "repo": "org/model"})
    assert status == 202, made
    wait_for(lambda: job(made["uid"])["state"] == "running" and job(made["uid"])["done_bytes"], "it runs", 60)
    partial = tmp_path / "hf/hub/models--org--model/blobs" / f"{etag_of(WEIGHTS)}.incomplete"
    wait_for(lambda: partial.exists() and partial.stat().st_size > 0, "bytes are on the disk", 60)
    stack.child("agent").kill()
    hub.stall.clear()
    ended = wait_for(
        lambda: (found := job(made["uid"]))["live"] is False and found, "the next agent ends it", 90
    )
    assert (ended["state"], ended["done_bytes"]) == ("done", len(WEIGHTS) + 2)
    (item,) = wait_for(items, "it is listed", 60)
    assert (item["name"], item["size_bytes"], item["incomplete"]) == ("org/model", len(WEIGHTS) + 2, "")
    status, _ = stack.call("POST", "/api/nodes/spark-1/storage/delete", {"key": item["key"]})
    assert status == 202
    wait_for(lambda: not items(), "it is gone from the listing", 60)
    assert not (tmp_path / "hf/hub/models--org--model").exists()
