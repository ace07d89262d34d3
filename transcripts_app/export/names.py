"""Names of files, made of what transcripts say: hostile until they are made safe. No Django here."""

from __future__ import annotations

import hashlib
import re

PART_BYTES = 120
_BAD = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")


def safe_part(part: str) -> str:
    """Return a name of one level that any file system takes and that leads nowhere else."""
    raw = part.encode(errors="replace").decode()
    name = _BAD.sub("_", raw.replace("/", "_")).strip(" ")
    name = name.rstrip(". ") or "_"
    if name.startswith("~") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) > PART_BYTES:
        _, dot, end = name.rpartition(".")
        end = f".{end}" if dot and len(end) <= 10 else ""
        digest = hashlib.sha256(part.encode(errors="replace")).hexdigest()[:12]
        name = f"{name.encode()[: PART_BYTES - 30].decode(errors='ignore')}-{digest}{end}"
    return name


def safe_path(path: str) -> str:
    """Return a path of a source as a path inside an export."""
    return "/".join(safe_part(part) for part in path.split("/") if part not in ("", ".", "..")) or "_"


class Names:
    """Names that are given once each, also where upper and lower case are the same."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def once(self, name: str) -> str:
        """Return the name, with a number before its ending where it was given before."""
        stem, dot, end = name.rpartition(".")
        if not dot or "/" in end:
            stem, end = name, ""
        number, one = 1, name
        while one.casefold() in self._given:
            number += 1
            one = f"{stem}~{number}{dot if end else ''}{end}"
        self._given.add(one.casefold())
        return one
