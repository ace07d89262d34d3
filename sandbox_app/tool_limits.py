"""The `sandbox` block of a TOOL.md: what bounds a run, in Policy's own fields. Pure.

The spelling of before (`timeout`, `memory`, `mount_workspace`, `network`) is read too. What is
not named here does not exist: no key reaches the engine's host configuration by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparkweb.yaml_file import Document, KeyPath, kind_name

MIB = 2**20
SIZE = re.compile(r"(\d{1,6})\s*([kmgt]?)(i?b)?", re.IGNORECASE)
FACTORS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
RUNTIMES = ("", "runc", "runsc", "crun")
FLAVOURS = ("plain", "data")
IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,199}")
# The old sandbox's image: ours takes its place.
OLD_IMAGE = "sandbox-executor:latest"


@dataclass(frozen=True)
class Limit:
    """One number of the policy with its bounds; `size` ones are bytes and may be written as 256m."""

    field: str
    low: int
    high: int
    size: bool = False

    def read(self, value: Any) -> int | None:
        """The number, or None where the value is none or lies outside."""
        number = size_read(value) if self.size else value
        if isinstance(number, bool) or not isinstance(number, int):
            return None
        return number if self.low <= number <= self.high else None

    @property
    def expected(self) -> str:
        """What the key takes, in words."""
        if not self.size:
            return f"a whole number from {self.low} to {self.high}"
        return f"a size such as 256m, from {size_text(self.low)} to {size_text(self.high)}"


# A tiny quota of CPU blocks even the kill of a container (moby/moby#37326), so there is a floor.
LIMITS = {
    "timeout": Limit("timeout_seconds", 1, 3600),
    "memory": Limit("memory_bytes", 16 * MIB, 64 * 2**30, size=True),
    "cpu_percent": Limit("cpu_percent", 10, 12_800),
    "cpu_seconds": Limit("cpu_seconds", 1, 36_000),
    "pids": Limit("pids", 8, 4096),
    "files_open": Limit("files_open", 32, 65_536),
    "file_size": Limit("file_bytes", MIB, 16 * 2**30, size=True),
    "tmp": Limit("tmp_bytes", MIB, 16 * 2**30, size=True),
    "output": Limit("output_bytes", 64 * 2**10, 2**30, size=True),
}
FLAGS = {"read_only": "read_only", "mount_workspace": "workspace", "workspace": "workspace"}
KEYS = ("image", *LIMITS, *FLAGS, "network", "runtime", "flavour")


def size_read(value: Any) -> int | None:
    """Bytes of `256m`, `1 GiB`, `64k` (powers of 1024) or a plain number; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(found[1]) * FACTORS[found[2].lower()] if found else None


def size_text(size_bytes: int) -> str:
    """The shortest whole spelling that size_read takes back: 64k, 256m, 2g."""
    for unit in "tgmk":
        if size_bytes and size_bytes % FACTORS[unit] == 0:
            return f"{size_bytes // FACTORS[unit]}{unit}"
    return str(size_bytes)


def size_words(size_bytes: int) -> str:
    """A size for people: 64 KiB, 256 MiB, 2 GiB."""
    text = size_text(size_bytes)
    return f"{text[:-1]} {text[-1].upper()}iB" if text[-1] in "kmgt" else f"{text} B"


def limits_read(document: Document, block: Any, *, on_host: bool) -> dict[str, Any]:
    """The fields of Policy that a `sandbox` block sets. Notes problems in the document."""
    if block is None:
        return {}
    if not isinstance(block, dict):
        document.complain(("sandbox",), f"expected a mapping, found {kind_name(block)}")
        return {}
    read: dict[str, Any] = {}
    for key, value in block.items():
        path = ("sandbox", key)
        if key not in KEYS:
            document.complain(path, f"there is no such key; a sandbox may have {', '.join(KEYS)}")
        elif key == "network":
            _network(document, path, value, on_host)
        elif problem := _put(read, key, value):
            document.complain(path, f"expected {problem}, found {kind_name(value)}")
    return read


def _put(read: dict[str, Any], key: str, value: Any) -> str | None:
    """Put one key's value into `read`; the words of what was expected where it does not fit."""
    if key in LIMITS:
        number = LIMITS[key].read(value)
        if number is not None:
            read[LIMITS[key].field] = number
        return LIMITS[key].expected if number is None else None
    if key in FLAGS:
        return _flag(read, key, value)
    return WORDS[key](read, value)


def _flag(read: dict[str, Any], key: str, value: Any) -> str | None:
    if not isinstance(value, bool):
        return "true or false"
    if key == "read_only" and not value:
        return "true: a container's own files are never writable; use workspace, or /tmp"
    read[FLAGS[key]] = value
    return None


def _image(read: dict[str, Any], value: Any) -> str | None:
    if not isinstance(value, str) or not (value == "" or IMAGE.fullmatch(value)):
        return "an image such as sparkweb-sandbox:1"
    if value not in ("", OLD_IMAGE):
        read["image"] = value
    return None


def _one_of(field: str, words: tuple[str, ...]) -> Callable[[dict[str, Any], Any], str | None]:
    def put(read: dict[str, Any], value: Any) -> str | None:
        if value not in words:
            return "one of " + ", ".join(filter(None, words))
        read[field] = value
        return None

    return put


WORDS = {"image": _image, "runtime": _one_of("runtime", RUNTIMES), "flavour": _one_of("flavour", FLAVOURS)}


def _network(document: Document, path: KeyPath, value: Any, on_host: bool) -> None:
    if not isinstance(value, bool):
        document.complain(path, f"expected true or false, found {kind_name(value)}")
    elif value and not on_host:
        document.complain(path, "a container has no network; only runners on the host fetch, by `egress`")
