"""Who is connected to the servers inside a container, from its network namespace."""

from __future__ import annotations

from pathlib import Path

_ESTABLISHED, _LISTEN = "01", "0A"
LINES_MOST = 20_000


def clients_of(pid: int, port: int = 0, proc: Path = Path("/proc")) -> set[str]:
    """Addresses of the clients of all servers that process `pid` can see, as the kernel writes them.

    Where `port` itself is listened on there, of that port alone: the process shares
    the host's network then. Else without those that are inside themselves: the ranks
    of an engine stay connected to each other. Empty for a process that is gone, or not
    of this machine. Source: proc(5), /proc/net/tcp.
    """
    rows = [row for name in ("tcp", "tcp6") for row in _rows(proc / str(pid) / "net" / name)]
    listening = {_port(local) for local, _, state in rows if state == _LISTEN}
    joined = {(local, remote) for local, remote, state in rows if state == _ESTABLISHED}
    wanted = f"{port:04X}"
    if wanted in listening:
        return {remote for local, remote in joined if _port(local) == wanted}
    return {remote for local, remote in joined if _port(local) in listening and (remote, local) not in joined}


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def _rows(path: Path) -> list[tuple[str, str, str]]:
    """Local address, remote address and state of each socket."""
    try:
        lines = path.read_text().splitlines()[1:LINES_MOST]
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [(row[1], row[2], row[3]) for row in words if len(row) > 3]
