"""Who listens on a TCP port of this machine."""

from __future__ import annotations

import errno
import socket

import psutil

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104


def port_is_taken(address: str, port: int) -> bool:
    """Whether a listener on `address`:`port` would fail because somebody listens there.

    Only a real listener counts: an address that is not ours or a privileged port
    are left to whoever will bind.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def port_listener(address: str, port: int) -> str:
    """The program that listens on `address`:`port`, as "nginx (process 812)".

    A process of another user is visible to root only; then it is "another program".
    """
    for pid in _listening_pids(address, port):
        try:
            return f"{psutil.Process(pid).name()} (process {pid})"
        except psutil.Error:
            continue
    return "another program, whose name this user may not see"


def _listening_pids(address: str, port: int) -> list[int]:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return []
    return [
        connection.pid
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
        and connection.pid is not None
        and connection.laddr
        and connection.laddr.port == port
        and (connection.laddr.ip in (address, *_WILDCARDS) or address in _WILDCARDS)
    ]
