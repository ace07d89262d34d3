"""Ollama servers of a node: what they hold beyond the folder, and deleting through them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from models_app.node.ollama import is_listed
from models_app.node.storage.hf_cache import NotDeletable, NotListed
from sparkweb.adapters import engine_http

Address = tuple[str, int]
ASK_SECONDS = 3.0
DELETE_SECONDS = 60.0


def address_of(url: str) -> Address:
    """Host and port of an http URL."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


class OllamaServers:
    """Those that our launches run, as `launched` names them, and the node's own, if it answers."""

    def __init__(self, launched: Callable[[], list[Address]], own_url: str) -> None:
        self._launched = launched
        self._own = address_of(own_url)

    def addresses(self) -> list[Address]:
        """All that may answer, ours first."""
        return list(dict.fromkeys([*self._launched(), self._own]))

    def answering(self) -> Address | None:
        """The first that answers; None if there is none."""
        return next((address for address in self.addresses() if self._models(address) is not None), None)

    def entries(self, known: set[str]) -> list[dict[str, Any]]:
        """Entries for the models that servers hold and the folder does not (names in `known`)."""
        found: dict[str, dict[str, Any]] = {}
        for address in self.addresses():
            for model in self._models(address) or []:
                name = str(model.get("name") or "")
                if name and not is_listed(name, [*known, *found]):
                    found[name] = _entry(name, model, address)
        return list(found.values())

    def delete(self, key: str) -> None:
        """Delete a model that only a server holds. Raises NotListed, NotDeletable."""
        name = key.removeprefix("ollama-server:")
        for host, port in self.addresses():
            if name not in [model.get("name") for model in self._models((host, port)) or []]:
                continue
            status, body = engine_http.send(
                host, port, "DELETE", "/api/delete", {"model": name}, DELETE_SECONDS
            )
            if status != 200:
                raise NotDeletable(
                    f"The Ollama server at {host}:{port} refused: {body[:300].decode(errors='replace')}"
                )
            return
        raise NotListed(f"No Ollama server that answers holds {name}")

    def _models(self, address: Address) -> list[dict[str, Any]] | None:
        """What a server lists; None if it does not answer as Ollama does."""
        try:
            status, body = engine_http.get(*address, "/api/tags", ASK_SECONDS)
            rows = json.loads(body)["models"] if status == 200 else None
        except (*engine_http.HTTP_ERRORS, ValueError, KeyError, TypeError):
            return None
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def _entry(name: str, model: dict[str, Any], address: Address) -> dict[str, Any]:
    size = model.get("size")
    return {
        "key": f"ollama-server:{name}",
        "kind": "ollama",
        "name": name,
        "bytes": size if isinstance(size, int) else 0,
        "partial_bytes": 0,
        "used_at": _seconds(model.get("modified_at")),
        "incomplete": "",
        "note": f"Held by the Ollama server at {address[0]}:{address[1]}.",
        "revisions": [],
    }


def _seconds(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
