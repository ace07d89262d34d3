"""What memory a node has left for a model, from its newest report. Pure.

On unified memory (GB10) and where nothing runs on a GPU the measure is the
host's MemAvailable; on discrete cards the free memory of each card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GIB = 2**30


@dataclass(frozen=True)
class Card:
    """One discrete GPU, in bytes."""

    index: int
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Room:
    """Memory of a node in bytes; None where it was not reported.

    `unified` is whether engines compute on a GPU that shares the host's memory;
    `cards` are discrete GPUs (empty: the host's memory is the measure). `free` is
    MemFree, `reclaimable` the page cache that the kernel would give back.
    """

    available_bytes: int | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    reclaimable_bytes: int | None = None
    unified: bool = False
    cards: tuple[Card, ...] = ()

    @property
    def has_gpu(self) -> bool:
        return self.unified or bool(self.cards)

    def cards_used(self, wanted: int) -> tuple[Card, ...]:
        """The cards that an engine takes which splits a model over `wanted` of them: the first ones."""
        return self.cards[: max(1, wanted)]


def room_of(report: Mapping[str, Any] | None, *, uses_gpu: bool = True) -> Room:
    """Read a report; without one, nothing is known. `uses_gpu` False: it computes on the CPU alone."""
    host, gpu = (report or {}).get("host") or {}, (report or {}).get("gpu") or {}
    on_gpu = uses_gpu and gpu.get("status") == "ok"
    return Room(
        available_bytes=host.get("memory_available_bytes"),
        total_bytes=host.get("memory_total_bytes"),
        free_bytes=host.get("memory_free_bytes"),
        reclaimable_bytes=host.get("memory_reclaimable_bytes"),
        unified=on_gpu and gpu.get("unified_memory") is True,
        cards=_cards(report or {}) if on_gpu and gpu.get("unified_memory") is False else (),
    )


def _cards(report: Mapping[str, Any]) -> tuple[Card, ...]:
    return tuple(
        Card(
            row.get("index", place),
            row["memory_total_bytes"],
            row["memory_total_bytes"] - row["memory_used_bytes"],
        )
        for place, row in enumerate(report.get("gpus") or [])
        if row.get("memory_total_bytes") is not None and row.get("memory_used_bytes") is not None
    )
