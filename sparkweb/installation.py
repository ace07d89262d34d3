"""The data folder: where things lie, and what is made once at the first start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

FOLDERS = ("run", "redis", "logs", "agent", "secrets")


def data_dir_prepare(data_dir: Path) -> Path:
    """Make the data folder and its parts, readable by their owner alone."""
    for folder in (data_dir, *(data_dir / name for name in FOLDERS)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    return data_dir


def _once(path: Path, make: str) -> str:
    """Return what `path` holds, after writing `make` there if nothing did."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(make + "\n")
        file.flush()
        os.fsync(file.fileno())
    return make


def secret_key_read(data_dir: Path) -> str:
    """Return the key that signs sessions, made at the first start (256 bits)."""
    return _once(data_dir_prepare(data_dir) / "secret_key", secrets.token_urlsafe(32))


def installation_read(data_dir: Path) -> str:
    """Return the owner label of our containers, 8 hex digits, made at the first start."""
    return _once(data_dir_prepare(data_dir) / "installation", secrets.token_hex(4))
