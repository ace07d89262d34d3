"""The Hugging Face hub over HTTP: what a repository holds, and its bytes from any offset on.

Source: huggingface_hub, hf_api.py (`repo_info` with `files_metadata`) and utils/_http.py (error codes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
import urllib3.exceptions

CONNECT_SECONDS = 10
SILENCE_SECONDS = 60
CHUNK_BYTES = 1 << 20
FILES_MOST = 100_000
_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubTrouble(Exception):
    """Something that the hub refuses for good; `code` is a word for programs."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class HubAway(HubTrouble):
    """The hub does not answer, or not as it should right now: worth another try."""

    def __init__(self, sentence: str) -> None:
        super().__init__("hub_unreachable", sentence)


@dataclass(frozen=True)
class HubFile:
    """One file of a commit. `etag` is the sha256 of a large file (64 hex), else its git blob id (40 hex)."""

    path: str
    size_bytes: int
    etag: str


@dataclass(frozen=True)
class HubListing:
    """What a revision holds: its commit (40 hex) and files."""

    commit: str
    files: list[HubFile]


class Hub:
    """One hub with one token. Safe for threads as far as requests' sessions are: use one for each."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "sparkweb"
        # Byte ranges are those of the file, not of a compressed answer.
        self._session.headers["Accept-Encoding"] = "identity"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def listing(self, repo_type: str, repo: str, revision: str) -> HubListing:
        """Return what a revision (branch, tag or commit) holds. Raises HubTrouble, HubAway."""
        address = f"{self.endpoint}/api/{repo_type}s/{repo}/revision/{quote(revision, safe='')}?blobs=true"
        with self._get(address, repo, revision, {}) as answer:
            try:
                return _listing(answer.json())
            except (ValueError, KeyError, TypeError, requests.RequestException) as error:
                raise HubAway(f"{self.endpoint} does not answer as a Hugging Face hub ({error})") from error

    def bytes_from(
        self, repo_type: str, repo: str, commit: str, file: HubFile, offset: int
    ) -> tuple[int, Iterator[bytes]]:
        """Return where the bytes begin (`offset`, or 0 from a server without ranges) and the bytes.

        A redirect to another host does not get the token. Raises HubTrouble, HubAway, also while iterating.
        """
        prefix = "" if repo_type == "model" else f"{repo_type}s/"
        address = f"{self.endpoint}/{prefix}{repo}/resolve/{commit}/{quote(file.path)}"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        answer = self._get(address, repo, commit, headers)
        return (offset if answer.status_code == 206 else 0), self._chunks(answer)

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        with answer:
            try:
                # As it comes: iter_content would wait for a whole chunk, and lose a part of one when cut.
                while chunk := answer.raw.read1(CHUNK_BYTES):
                    yield chunk
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise HubAway(f"the connection to {self.endpoint} broke ({_short(error)})") from error

    def _get(self, address: str, repo: str, revision: str, headers: dict[str, str]) -> requests.Response:
        try:
            answer = self._session.get(
                address, headers=headers, stream=True, timeout=(CONNECT_SECONDS, SILENCE_SECONDS)
            )
        except requests.RequestException as error:
            raise HubAway(f"{self.endpoint} does not answer ({_short(error)})") from error
        if answer.status_code in (200, 206):
            return answer
        with answer:
            raise self._refusal(answer, repo, revision)

    def _refusal(self, answer: requests.Response, repo: str, revision: str) -> HubTrouble:
        status, word = answer.status_code, answer.headers.get("X-Error-Code", "")
        page = f"{self.endpoint}/{repo}"
        if word == "GatedRepo" and not self._token:
            return HubTrouble(
                "token_missing",
                f"{repo} is gated and this node has no token: accept its terms at {page}, then put a token "
                "into the node's secrets folder as the file hf_token",
            )
        if word == "GatedRepo" or status == 403:
            return HubTrouble(
                "gated", f"{repo} is gated and this node's token is not let in: accept its terms at {page}"
            )
        if word == "RevisionNotFound":
            return HubTrouble("revision_not_found", f"{repo} has no revision {revision}")
        if word == "EntryNotFound":
            return HubTrouble("not_found", f"A file of {repo} is not there any more; start it again")
        if status in (401, 404):
            hint = (
                "or this node's token does not see it"
                if self._token
                else "or it is private: it needs hf_token"
            )
            return HubTrouble("not_found", f"There is no {repo} at {self.endpoint}, {hint}")
        if status == 416:
            return HubTrouble(
                "file_changed", f"A file of {repo} is shorter than what is here; start it again"
            )
        return HubAway(f"{self.endpoint} answered {status}")


def _listing(data: dict[str, Any]) -> HubListing:
    commit = str(data["sha"])
    if not _COMMIT.fullmatch(commit):
        raise ValueError("its commit is no commit")
    return HubListing(commit, [_file(entry) for entry in data["siblings"][:FILES_MOST]])


def _file(entry: dict[str, Any]) -> HubFile:
    """One file; its name and hash become paths, so both are held to what they may be."""
    path, large = str(entry["rfilename"]), entry.get("lfs") or {}
    etag = str(large.get("sha256") or entry["blobId"])
    parts = path.split("/")
    if (
        not _ETAG.fullmatch(etag)
        or "\0" in path
        or "\\" in path
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise ValueError(f"it names a file {path!r} that cannot be one")
    return HubFile(path, int(large.get("size") or entry["size"]), etag)


def _short(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
