"""What pages and lists show of nodes' storage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max

from metrics_app.models import Node
from models_app.models import LaunchMember
from models_app.models_storage import JobKind, NodeStorage, StorageItem, StorageJob, StorageKind
from models_app.storage_uses import Use, image_reference, item_uses, uses_on_node

ENDED_SHOWN = 8
AREAS = (("hf", "Hugging Face"), ("ollama", "Ollama"), ("images", "Images"))


@dataclass(frozen=True)
class ItemRow:
    """One item with who needs it. `used_at` is the later of last read and last start."""

    item: StorageItem
    uses: list[Use]
    used_at: datetime | None
    incomplete: bool

    @property
    def live(self) -> bool:
        return any(use.live for use in self.uses)

    @property
    def containers(self) -> list[str]:
        """Containers made from an image that no definition accounts for."""
        return list(self.item.detail.get("containers") or []) if not self.uses else []

    @property
    def confirm(self) -> str:
        """What a deletion of it is asked with."""
        names = ", ".join(use.name for use in self.uses)
        needed = f"{names} needs it and will have to get it again. " if names else ""
        return f"{needed}{self.item.name} is removed from this node's disk."


@dataclass(frozen=True)
class AreaRow:
    """One area: how it is and how full its disk is, 0 to 100 (None: unknown)."""

    label: str
    told: dict[str, Any]

    @property
    def disk_percent(self) -> float | None:
        free, disk = self.told.get("free_bytes"), self.told.get("disk_bytes")
        return (
            100 * (disk - free) / disk if isinstance(free, int) and isinstance(disk, int) and disk else None
        )

    @property
    def rest_percent(self) -> float:
        """What everything else takes of its disk, 0 to 100."""
        return max(0.0, (self.disk_percent or 0.0) - self.share_percent)

    @property
    def share_percent(self) -> float:
        """What this area takes of its disk, 0 to 100."""
        size, disk = self.told.get("bytes"), self.told.get("disk_bytes")
        return (
            min(100.0, 100 * size / disk) if isinstance(size, int) and isinstance(disk, int) and disk else 0.0
        )


def storage_areas(storage: NodeStorage | None) -> list[AreaRow]:
    """The areas in the order of the page; none before a first listing."""
    told = storage.areas if storage else {}
    return [AreaRow(label, told[name]) for name, label in AREAS if isinstance(told.get(name), dict)]


def storage_rows(node: Node, kind: str = "", order: str = "") -> list[ItemRow]:
    """Items of a node, largest first, or by `name` or (longest unused first) `used`."""
    items = StorageItem.objects.filter(node=node)
    if kind in StorageKind.values:
        items = items.filter(kind=kind)
    by_need, started = uses_on_node(node), _images_started(node)
    rows = [_row(item, item_uses(item, by_need), started) for item in items]
    if order == "name":
        rows.sort(key=lambda row: row.item.name.casefold())
    elif order == "used":
        rows.sort(key=lambda row: row.used_at.timestamp() if row.used_at else 0.0)
    return rows


def _row(item: StorageItem, uses: list[Use], started: dict[str, datetime]) -> ItemRow:
    used = [item.used_at] if item.used_at else []
    if item.kind == StorageKind.IMAGE:
        references = [image_reference(tag) for tag in item.detail.get("tags") or []]
        used += [started[one] for one in references if one in started]
    return ItemRow(item, uses, max(used, default=None), bool(item.incomplete))


def _images_started(node: Node) -> dict[str, datetime]:
    """When each image was last started by a launch: Docker itself does not tell when one was used."""
    rows = LaunchMember.objects.filter(node=node).values("image").annotate(at=Max("attempt__started_at"))
    return {image_reference(row["image"]): row["at"] for row in rows if row["at"]}


def storage_job_rows(node: Node) -> list[StorageJob]:
    """Live jobs of a node, newest first, then the last that ended."""
    jobs = StorageJob.objects.filter(node=node).select_related("requested_by")
    return [*jobs.filter(live=True), *jobs.filter(live=False)[:ENDED_SHOWN]]


def storage_uses_of(node: Node) -> list[str]:
    """What keeps a node from being removed: its storage jobs that are under way."""
    live = StorageJob.objects.filter(node=node, live=True).exclude(kind=JobKind.DELETE)
    return [f"the {job.get_kind_display().lower()} of {job.title}" for job in live]
