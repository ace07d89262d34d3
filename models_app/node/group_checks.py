"""What a node finds out before a model is laid over it and others: link, echoes, image, weights, ports."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sparkweb import __version__
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import DockerTrouble, ImageMissing, PortInUse
from sparkweb.adapters.docker_types import PublishedPort
from sparkweb.adapters.fabric import Echo, echo, fabric_read

ECHO_SIZE_UNKNOWN = 84
PEERS_MOST = 16


def group_check(
    engine: DockerEngine,
    question: dict[str, Any],
    read: Callable[[], dict[str, Any]] = fabric_read,
    send: Callable[..., Echo] = echo,
) -> dict[str, Any]:
    """Answer a question of control's about this node (docs/architecture.md, "Preflight").

    `links` and `has_devices` as in the report, `link` the one with the node's
    fabric address (None: there is none); echoes have the size of its MTU and are
    not fragmented.
    """
    clock = time.time()
    told = read()
    address = str(question.get("address") or "")
    link = next((one for one in told["links"] if address in one["addresses"]), None)
    size = (link or {}).get("mtu") or ECHO_SIZE_UNKNOWN
    return {
        "check": question.get("check"),
        "clock": clock,
        "version": __version__,
        **told,
        "link": link,
        "echoes": _echoes(question.get("peers") or {}, address, size, send),
        "revision": weights_revision(question.get("weights")),
        **_image(engine, str(question.get("image") or "")),
        "ports": _ports_taken(engine, question.get("ports") or []),
    }


def _echoes(
    peers: dict[str, str], address: str, size: int, send: Callable[..., Echo]
) -> dict[str, dict[str, Any]]:
    asked = list(peers.items())[:PEERS_MOST]
    with ThreadPoolExecutor(max_workers=max(len(asked), 1)) as threads:
        found = threads.map(lambda peer: send(peer[1], address, size=size), asked)
        return {name: {**one.to_json(), "size": size} for (name, _), one in zip(asked, found, strict=True)}


def _image(engine: DockerEngine, image: str) -> dict[str, Any]:
    try:
        return {"image_digest": engine.image_digest(image), "docker": None}
    except ImageMissing:
        return {"image_digest": None, "docker": None}
    except DockerTrouble as trouble:
        return {"image_digest": None, "docker": str(trouble)}


def _ports_taken(engine: DockerEngine, ports: list[list[Any]]) -> list[str]:
    taken = []
    for address, port in ports:
        try:
            engine.ports_check([PublishedPort(int(port), int(port), str(address))])
        except PortInUse as trouble:
            taken.append(str(trouble))
        except DockerTrouble:
            break  # the image says so already
    return taken


def weights_revision(weights: Any) -> str | None:
    """The commit of a model in the Hugging Face cache; None if it is not there whole.

    `weights` is {cache, model, revision}, None for a model that lies in the image.
    Source: huggingface_hub's cache layout (refs name commits, snapshots hold them).
    """
    if not isinstance(weights, dict):
        return None
    folder = Path(str(weights["cache"])) / "hub" / f"models--{str(weights['model']).replace('/', '--')}"
    revision = str(weights.get("revision") or "main")
    try:
        reference = folder / "refs" / revision
        commit = reference.read_text().strip() if reference.is_file() else revision
        snapshot = folder / "snapshots" / commit
        is_whole = snapshot.is_dir() and any(snapshot.iterdir())
        return commit if is_whole and not any((folder / "blobs").glob("*.incomplete")) else None
    except OSError:
        return None
