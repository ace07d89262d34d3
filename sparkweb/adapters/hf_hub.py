"""What the Hugging Face hub says of a repository's files: asked with little patience.

API: GET /api/models/<repository>/tree/<revision>?recursive=true, in pages (huggingface.co, "Hub API
Endpoints"). An entry's content is named by `lfs.oid` (SHA-256) where it is large, else by `oid`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests

TIMEOUT_SECONDS = 4.0
PAGES_MOST = 10
PAGE_LIMIT_BYTES = 4 * 1024 * 1024


class HubSilent(Exception):
    """The hub did not answer, or not with a list of files; the sentence says how."""


@dataclass(frozen=True)
class HubFile:
    """One file of a repository, and the name that the cache gives its content."""

    path: str
    size_bytes: int
    blob: str


def files_of(endpoint: str, repository: str, revision: str, token: str | None) -> list[HubFile]:
    """All files of a revision. Raises HubSilent.

    The token is sent to https alone, and to nobody that the hub redirects to.
    """
    place = f"{quote(repository)}/tree/{quote(revision, safe='')}"
    url = f"{endpoint.rstrip('/')}/api/models/{place}?recursive=true"
    headers = {"Authorization": f"Bearer {token}"} if token and url.startswith("https:") else {}
    files: list[HubFile] = []
    for _ in range(PAGES_MOST):
        entries, following = _page(url, headers)
        files += [file for file in map(_file, entries) if file]
        if not following or urlsplit(following)[:2] != urlsplit(url)[:2]:
            return files
        url = following
    return files


def _page(url: str, headers: dict[str, str]) -> tuple[list[Any], str]:
    try:
        with requests.get(
            url, headers=headers, timeout=TIMEOUT_SECONDS, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code != 200:
                raise HubSilent(f"it answered {answer.status_code}")
            body = answer.raw.read(PAGE_LIMIT_BYTES + 1, decode_content=True)
            following = answer.links.get("next", {}).get("url", "")
        entries = json.loads(body)
    except (requests.exceptions.RequestException, OSError, ValueError) as error:
        raise HubSilent(f"{type(error).__name__}: {error}") from None
    if not isinstance(entries, list):
        raise HubSilent("it answered something that is no list of files")
    return entries, following


def _file(entry: Any) -> HubFile | None:
    if not isinstance(entry, dict) or entry.get("type") != "file":
        return None
    large = entry.get("lfs") or {}
    if not isinstance(large, dict):
        return None
    path = entry.get("path")
    size, blob = large.get("size", entry.get("size")), large.get("oid", entry.get("oid"))
    if isinstance(path, str) and isinstance(blob, str) and type(size) is int and size >= 0:
        return HubFile(path, size, blob)
    return None
