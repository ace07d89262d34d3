"""Images of an engine as its JSON tells them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ListedImage:
    """One image. `own_bytes` is what only this one needs: layers may be shared with others."""

    id: str
    tags: list[str]
    digests: list[str]
    bytes: int
    own_bytes: int
    created_at: float | None
    containers: list[str]

    @property
    def name(self) -> str:
        """Its first tag, else where it came from, else the start of its id."""
        if self.tags:
            return self.tags[0]
        origin = self.digests[0].partition("@")[0] if self.digests else ""
        return f"{origin or 'untagged'} {self.id.removeprefix('sha256:')[:12]}"


def images_listed(usage: Mapping[str, Any], containers: list[Mapping[str, Any]]) -> list[ListedImage]:
    """The images of a disk usage answer, with the names of the containers made from each.

    Source: Docker Engine API, GET /system/df and GET /containers/json.
    """
    users: dict[str, list[str]] = {}
    for container in containers:
        name = str((container.get("Names") or ["/?"])[0]).lstrip("/")
        users.setdefault(str(container.get("ImageID")), []).append(name)
    return [_listed(entry, users.get(str(entry["Id"]), [])) for entry in usage.get("Images") or []]


def _listed(entry: Mapping[str, Any], containers: list[str]) -> ListedImage:
    size, shared = int(entry.get("Size") or 0), int(entry.get("SharedSize") or 0)
    return ListedImage(
        id=str(entry["Id"]),
        tags=[tag for tag in entry.get("RepoTags") or [] if tag != "<none>:<none>"],
        digests=[one for one in entry.get("RepoDigests") or [] if not one.startswith("<none>")],
        bytes=size,
        own_bytes=size - shared if shared > 0 else size,
        created_at=float(entry["Created"]) if entry.get("Created") else None,
        containers=sorted(containers),
    )
