"""The data folder: where things lie, and what is made once at the first start."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

SOCKET_PATH_LIMIT = 100
FOLDERS = ("run", "redis", "logs", "agent", "secrets")


def data_dir_prepare(data_dir: Path) -> Path:
    """Make the data folder and its parts, readable by their owner alone."""
    for folder in (data_dir, *(data_dir / name for name in FOLDERS)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    return data_dir


def redis_socket(data_dir: Path) -> Path:
    """Return where the private Redis listens: below the data folder, or in /tmp when that path is too long.

    A Unix socket's path has at most 107 bytes; 100 leave room for a suffix.
    """
    path = data_dir / "run" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path("/tmp") / f"sparkweb-{os.getuid()}-{digest}" / "redis.sock"  # noqa: S108


def _once(path: Path, make: str) -> str:
    """Return what `path` holds, after writing `make` there if nothing did.

    Two processes may come at once: the file appears whole or not at all, and the first one counts.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(make + "\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    return path.read_text().strip()


def secret_key_read(data_dir: Path) -> str:
    """Return the key that signs sessions, made at the first start (384 bits)."""
    return _once(data_dir_prepare(data_dir) / "secret_key", secrets.token_urlsafe(48))


def installation_read(data_dir: Path) -> str:
    """Return the owner label of our containers, 8 hex digits, made at the first start."""
    return _once(data_dir_prepare(data_dir) / "installation", secrets.token_hex(4))


def audit_key_read(data_dir: Path) -> bytes:
    """Return the key of the tool audit's chain, made at the first start (256 bits).

    It stands in this file alone: whoever can write the database, and not read the data folder,
    forges nothing.
    """
    return bytes.fromhex(_once(data_dir_prepare(data_dir) / "audit_key", secrets.token_hex(32)))
