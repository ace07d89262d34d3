"""The three areas of a node's storage: how each is listed, and how something of it is deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models_app.node.storage.budget import Budget
from models_app.node.storage.hf_cache import NotDeletable, NotListed, hf_delete, hf_scan
from models_app.node.storage.ollama_servers import OllamaServers
from models_app.node.storage.ollama_store import ollama_delete, ollama_scan
from models_app.node.storage.scanner import Area, Found
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_images import ListedImage


class Areas:
    """Where the node keeps weights and images. `delete` goes by a listed key, never by a path."""

    def __init__(self, engine: DockerEngine, servers: OllamaServers, hf_cache: Path, ollama: Path) -> None:
        self._engine = engine
        self._servers = servers
        self._hub = hf_cache / "hub"
        self._ollama = ollama

    def all(self) -> list[Area]:
        return [
            Area("hf", self._hf, lambda: self._hub),
            Area("ollama", self._ollama_found, lambda: self._ollama),
            Area("images", self._images, self._images_folder),
        ]

    def delete(self, key: str) -> int:
        """Delete one entry; the bytes freed. Raises NotListed, NotDeletable, OSError, DockerTrouble."""
        if key.startswith("hf:"):
            return hf_delete(self._hub, key)
        if key.startswith("ollama:"):
            return ollama_delete(self._ollama, key)
        if key.startswith("ollama-server:"):
            self._servers.delete(key)
            return 0
        if key.startswith("image:"):
            return self._image_delete(key.removeprefix("image:"))
        raise NotListed(f"{key} is no entry of a listing")

    def _hf(self) -> Found:
        scan = hf_scan(self._hub, Budget())
        return Found(scan.entries, scan.total_bytes, scan.stopped)

    def _ollama_found(self) -> Found:
        scan = ollama_scan(self._ollama, Budget())
        known = {str(entry["name"]) for entry in scan.entries}
        held = self._servers.entries(known)
        total = scan.total_bytes + sum(entry["bytes"] for entry in held)
        return Found([*scan.entries, *held], total, scan.stopped)

    def _images(self) -> Found:
        images, total = self._engine.images()
        return Found([_image_entry(image) for image in images], total)

    def _images_folder(self) -> Path | None:
        folder = self._engine.images_folder()
        return Path(folder) if folder else None

    def _image_delete(self, image_id: str) -> int:
        images, _ = self._engine.images()
        image = next((one for one in images if one.id == image_id), None)
        if image is None:
            raise NotListed(f"This node has no image {image_id[:19]}")
        if image.containers:
            raise NotDeletable(
                f"{image.name} is used by the container {image.containers[0]}: remove that first"
            )
        for name in image.tags or [image.id]:
            self._engine.image_remove(name)
        return image.own_bytes


def _image_entry(image: ListedImage) -> dict[str, Any]:
    others = len(image.tags) - 1
    return {
        "key": f"image:{image.id}",
        "kind": "image",
        "name": image.name,
        "bytes": image.bytes,
        "partial_bytes": 0,
        "used_at": None,
        "incomplete": "",
        "note": f"{others} more tags." if others > 1 else "1 more tag." if others == 1 else "",
        "revisions": [],
        "tags": image.tags[:20],
        "own_bytes": image.own_bytes,
        "created_at": image.created_at,
        "containers": image.containers[:20],
    }
