"""A node's way to web over HTTP or HTTPS, each request signed with the node's key. No Django here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from sparkweb.node_link.http_auth import TIME, proof_headers
from sparkweb.node_link.signatures import Signer

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0


class WebUnreachable(Exception):
    """Web did not answer; try again later."""


class AnswerTooLarge(Exception):
    """Web answered with more than was asked for."""


@dataclass(frozen=True)
class WebAnswer:
    """Status and text of an answer."""

    status: int
    text: str


@dataclass(frozen=True)
class WebBytes:
    """Status and bytes of an answer."""

    status: int
    data: bytes


class WebClient:
    """Sends to web. One thread may use it at a time."""

    def __init__(self, web_url: str, signer: Signer) -> None:
        self._base = web_url.rstrip("/")
        self._path = urlsplit(self._base).path
        self._signer = signer
        self._ahead = 0.0  # web's clock less our own, seconds
        self._session = requests.Session()
        # A proxy for the internet is no way to the machine in the next rack.
        self._session.trust_env = False

    def post(self, target: str, body: bytes) -> WebAnswer:
        """Send `body`; asks again once where web says that our clock is off. Raises WebUnreachable."""
        answer = self._post(target, body)
        told = answer.headers.get(TIME, "")
        if answer.status_code == 401 and told.isdigit():
            self._ahead = int(told) - time.time()
            answer = self._post(target, body)
        return WebAnswer(answer.status_code, answer.text[:500])

    def fetch(self, target: str, body: bytes, most_bytes: int) -> WebBytes:
        """Send `body` and return the bytes of the answer.

        Raises WebUnreachable, and AnswerTooLarge for one of more than `most_bytes`.
        """
        answer = self._post(target, body, stream=True)
        told = answer.headers.get(TIME, "")
        if answer.status_code == 401 and told.isdigit():
            answer.close()
            self._ahead = int(told) - time.time()
            answer = self._post(target, body, stream=True)
        return WebBytes(answer.status_code, _bounded(answer, most_bytes))

    def close(self) -> None:
        self._session.close()

    def _post(self, target: str, body: bytes, stream: bool = False) -> requests.Response:
        path = self._path + target
        headers = proof_headers(self._signer, "POST", path, body, time.time() + self._ahead)
        try:
            return self._session.post(
                self._base + target,
                data=body,
                headers={**headers, "Content-Type": "application/octet-stream"},
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=stream,
            )
        except (requests.exceptions.RequestException, OSError) as error:
            raise WebUnreachable(f"{self._base} does not answer: {type(error).__name__}") from error


def _bounded(answer: requests.Response, most_bytes: int) -> bytes:
    """Read an answer, but not beyond `most_bytes`."""
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in answer.iter_content(65536):
            size += len(piece)
            if size > most_bytes:
                raise AnswerTooLarge(f"web answered with more than {most_bytes} bytes")
            pieces.append(piece)
    except (requests.exceptions.RequestException, OSError) as error:
        raise WebUnreachable(f"the answer broke off: {type(error).__name__}") from error
    finally:
        answer.close()
    return b"".join(pieces)
