"""What a `docker pull` says of itself, summed over its layers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_READY = ("Already exists", "Pull complete")
_FETCHED = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")


@dataclass
class _Layer:
    status: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None


@dataclass
class PullProgress:
    """The state of one pull, fed with the engine's messages.

    `total_bytes` stays None until the size of every layer that must be fetched is
    known: the engine tells a layer's size when its download begins, three at a time.
    """

    _layers: dict[str, _Layer] = field(default_factory=dict)
    error: str | None = None
    finished: bool = False

    def feed(self, message: dict[str, Any]) -> None:
        """Take one message of the engine's pull stream (Docker Engine API, POST /images/create)."""
        if message.get("error"):
            self.error = str(message["error"])
        status = str(message.get("status", ""))
        if status.startswith("Status: "):
            self.finished = True
        name = message.get("id")
        if name and not status.startswith("Pulling from"):
            self._feed_layer(self._layers.setdefault(str(name), _Layer()), status, message)

    @staticmethod
    def _feed_layer(layer: _Layer, status: str, message: dict[str, Any]) -> None:
        detail = message.get("progressDetail") or {}
        layer.status = status
        if status == "Downloading":
            layer.done_bytes = int(detail.get("current") or 0)
            total = int(detail.get("total") or 0)
            layer.total_bytes = total if total > 0 else None
        elif status == "Already exists":
            layer.total_bytes = layer.done_bytes = 0
        elif status in _FETCHED and layer.total_bytes is not None:
            layer.done_bytes = layer.total_bytes

    @property
    def done_bytes(self) -> int:
        """Bytes fetched so far; layers that were here already count nothing."""
        return sum(layer.done_bytes for layer in self._layers.values())

    @property
    def total_bytes(self) -> int | None:
        """Bytes to fetch in all, None while that is unknown."""
        totals = [layer.total_bytes for layer in self._layers.values()]
        known = [total for total in totals if total is not None]
        return sum(known) if known and len(known) == len(totals) else None

    @property
    def missing_bytes(self) -> int:
        """Bytes still to be fetched of the layers whose size is known; unpacked they need more."""
        return sum(
            (layer.total_bytes or 0) - layer.done_bytes
            for layer in self._layers.values()
            if layer.total_bytes
        )

    @property
    def message(self) -> str:
        """Such as "3 of 9 layers"."""
        ready = sum(layer.status in _READY for layer in self._layers.values())
        return f"{ready} of {len(self._layers)} layers" if self._layers else "asking the registry"
