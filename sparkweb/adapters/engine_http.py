"""HTTP to engines on this node: a short question, or an answer that comes line by line."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

ANSWER_LIMIT_BYTES = 1_000_000
HTTP_ERRORS = (OSError, http.client.HTTPException)
"""What every function here may raise when the engine does not answer as HTTP servers do."""


def get(host: str, port: int, path: str, timeout_seconds: float) -> tuple[int, bytes]:
    """Status and body (at most 1 MB) of one GET; each step may take `timeout_seconds`. Raises HTTP_ERRORS."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_LIMIT_BYTES)
    finally:
        connection.close()


def ask(
    host: str, port: int, path: str, limit_seconds: float, body: dict[str, Any] | None = None
) -> tuple[int, bytes]:
    """Status and body (at most 1 MB) of one GET, or of one POST of JSON, within `limit_seconds` in all.

    Unlike get() it also ends with a server that drips. Raises HTTP_ERRORS, TimeoutError past the limit.
    """
    connection = http.client.HTTPConnection(host, port, timeout=limit_seconds)
    headers = {"Connection": "close", "Content-Type": "application/json"}
    too_late = threading.Event()
    try:
        connection.connect()
        timer = threading.Timer(limit_seconds, _cut, [connection.sock, too_late])
        timer.daemon = True
        timer.start()
        try:
            method, data = ("GET", None) if body is None else ("POST", json.dumps(body))
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            content = answer.read(ANSWER_LIMIT_BYTES)
        except HTTP_ERRORS:
            if too_late.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        if too_late.is_set():
            raise TimeoutError
        return answer.status, content
    finally:
        connection.close()


def _cut(connected: socket.socket, too_late: threading.Event) -> None:
    too_late.set()
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def send(
    host: str, port: int, method: str, path: str, body: dict[str, Any], timeout_seconds: float
) -> tuple[int, bytes]:
    """Status and body (at most 1 MB) of one request with a JSON body. Raises HTTP_ERRORS."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        headers = {"Connection": "close", "Content-Type": "application/json"}
        connection.request(method, path, body=json.dumps(body), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_LIMIT_BYTES)
    finally:
        connection.close()


class JsonLines:
    """The answer to one POST as the JSON objects of its lines; `with` it in one thread, end() it from any.

    Opening and iterating raise HTTP_ERRORS, also when nothing comes for
    `silence_seconds` and after end(). Lines that are no JSON object are skipped.
    """

    def __init__(self, host: str, port: int, path: str, body: dict[str, Any], silence_seconds: float) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=silence_seconds)
        self._connection.connect()
        # The response takes the socket over; to end it from another thread we keep it in hand.
        self._socket: socket.socket = self._connection.sock
        headers = {"Connection": "close", "Content-Type": "application/json"}
        self._request = (path, json.dumps(body), headers)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        path, body, headers = self._request
        self._connection.request("POST", path, body=body, headers=headers)
        answer = self._connection.getresponse()
        while line := answer.readline(ANSWER_LIMIT_BYTES):
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    yield message

    def end(self) -> None:
        """End the answer: the thread that reads it gets an error or its end at once, and closes it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
