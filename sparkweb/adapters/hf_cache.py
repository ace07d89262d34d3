"""What the Hugging Face cache of this node holds of a repository, complete or on its way.

Layout (huggingface_hub, "Manage the cache"): `hub/models--org--name/blobs/` has one file
for each content, named by its hash; while it is fetched the name ends in `.incomplete`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

INCOMPLETE = ".incomplete"


@dataclass(frozen=True)
class Blob:
    """One content: the hash it is named by, bytes there, and when it last changed (epoch seconds)."""

    name: str
    size_bytes: int
    changed_at: float
    is_complete: bool


def repository_folder(cache: Path, repository: str) -> Path:
    """Where the cache keeps a repository such as `org/name`."""
    return cache / "hub" / ("models--" + repository.replace("/", "--"))


def blobs_of(cache: Path, repository: str) -> list[Blob]:
    """Everything of a repository that is there; nothing where there is no such folder, or no right to read.

    Of a file on its way only the part that was written counts, also where its
    whole length was set aside at the beginning.
    """
    found = []
    try:
        with os.scandir(repository_folder(cache, repository) / "blobs") as entries:
            for entry in entries:
                known = entry.stat(follow_symlinks=False)
                on_its_way = entry.name.endswith(INCOMPLETE)
                size = min(known.st_size, known.st_blocks * 512) if on_its_way else known.st_size
                # Some versions write `<hash>.<random>.incomplete`.
                found.append(Blob(entry.name.partition(".")[0], size, known.st_mtime, not on_its_way))
    except OSError:
        return []
    return found
