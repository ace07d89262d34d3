"""How far engines are with downloading their weights into the node's Hugging Face cache.

The cache's bytes are counted each second while a container of ours comes up. Of how
much they are a part is asked of the hub, once for a repository and in the background;
while it does not answer that stays unknown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from models_app.node.identity import Identity
from sparkweb.adapters.hf_cache import Blob, blobs_of
from sparkweb.adapters.hf_hub import HubFile, HubSilent

log = structlog.get_logger(__name__)

MOVED_SECONDS = 5.0
# The clock of a file system counts more coarsely than the engine's.
SLACK_SECONDS = 2.0
ASK_AGAIN_SECONDS = 60.0
# Other copies of the same weights, which engines leave alone where there are safetensors.
_OTHER_COPIES = (".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack", ".ot", ".tflite")
_OTHER_FOLDERS = ("original/", "onnx/", "metal/", "flax/")

AskHub = Callable[[str, str], list[HubFile]]


def files_wanted(files: list[HubFile]) -> dict[str, int]:
    """The contents that an engine fetches, with their sizes in bytes; empty where that cannot be told. Pure.

    vLLM, SGLang and TensorRT-LLM take safetensors and leave other copies
    (weight_utils.py, `filter_files_not_needed_for_inference`). A repository without
    safetensors holds several variants: which of them is fetched is not known.
    """
    if not any(file.path.endswith(".safetensors") for file in files):
        return {}
    return {
        file.blob: file.size_bytes
        for file in files
        if not file.path.endswith(_OTHER_COPIES)
        and not file.path.startswith(_OTHER_FOLDERS)
        and not file.path.rpartition("/")[2].startswith("consolidated")
    }


@dataclass
class Download:
    """What is known of one container's download."""

    started_at: float
    done_bytes: int = -1
    total_bytes: int | None = None
    moved_at: float | None = None
    goes_on: bool = False

    def look(self, blobs: list[Blob], wanted: dict[str, int], now: float) -> None:
        """Take over what the cache holds now (`now`: monotonic seconds). Pure but for itself.

        It goes on while bytes come, or a file lies there unfinished that was
        written to since the container began: then it stands still.
        """
        begun = [b for b in blobs if not b.is_complete and b.changed_at >= self.started_at - SLACK_SECONDS]
        done = _bytes_of(blobs, wanted)
        if self.done_bytes >= 0 and done > self.done_bytes:
            self.moved_at = now
        self.done_bytes = done
        self.total_bytes = sum(wanted.values()) or None
        moves = self.moved_at is not None and now - self.moved_at < MOVED_SECONDS
        self.goes_on = done != self.total_bytes and (bool(begun) or moves)


def _bytes_of(blobs: list[Blob], wanted: dict[str, int]) -> int:
    """Bytes that are there: of the files wanted, each once; of all where it is unknown which are."""
    if not wanted:
        return sum(blob.size_bytes for blob in blobs)
    sizes: dict[str, int] = {}
    for blob in blobs:
        sizes[blob.name] = max(blob.size_bytes, sizes.get(blob.name, 0))
    return sum(min(size, sizes.get(name, 0)) for name, size in wanted.items())


@dataclass
class _Answer:
    wanted: dict[str, int] = field(default_factory=dict)
    ask_at: float = 0.0
    asking: bool = False


class WeightDownloads:
    """The downloads of all containers of one node, by container."""

    def __init__(self, cache: Path, ask_hub: AskHub) -> None:
        """`ask_hub(repository, revision)` returns its files, or raises HubSilent."""
        self._cache = cache
        self._ask_hub = ask_hub
        self._downloads: dict[str, Download] = {}
        self._answers: dict[str, _Answer] = {}
        self._lock = threading.Lock()

    def look(self, container_id: str, identity: Identity, started_at: float | None) -> None:
        """Count the bytes of this container's weights, if it has any that come from the hub."""
        repository, _, revision = identity.weights.partition("@")
        if not repository or started_at is None:
            return
        wanted = self._wanted(repository, revision or "main")
        download = self._downloads.get(container_id)
        if download is None or download.started_at != started_at:
            download = self._downloads[container_id] = Download(started_at)
        download.look(blobs_of(self._cache, repository), wanted, time.monotonic())

    def stage(self, container_id: str, identity: Identity) -> dict[str, Any] | None:
        """The report's `stage` while a download goes on; None otherwise."""
        download = self._downloads.get(container_id)
        if download is None or not download.goes_on:
            return None
        return {
            "name": "download",
            "done_bytes": download.done_bytes,
            "total_bytes": download.total_bytes,
            "message": f"Downloading {identity.weights.partition('@')[0]}",
        }

    def forget(self, container_id: str) -> None:
        """The container is ready, or runs no more."""
        self._downloads.pop(container_id, None)

    def _wanted(self, repository: str, revision: str) -> dict[str, int]:
        key, now = f"{repository}@{revision}", time.monotonic()
        with self._lock:
            answer = self._answers.setdefault(key, _Answer())
            if answer.wanted or answer.asking or now < answer.ask_at:
                return answer.wanted
            answer.asking, answer.ask_at = True, now + ASK_AGAIN_SECONDS
        threading.Thread(
            target=self._ask, args=[answer, repository, revision], name="hf-hub", daemon=True
        ).start()
        return {}

    def _ask(self, answer: _Answer, repository: str, revision: str) -> None:
        try:
            answer.wanted = files_wanted(self._ask_hub(repository, revision))
        except HubSilent as silent:
            log.info("size of a model's files is not known", repository=repository, reason=str(silent))
        finally:
            answer.asking = False
