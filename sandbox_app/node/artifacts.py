"""What a run leaves: files out of its container, kept on the node until web has stored them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
import re
import secrets
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from sandbox_app.node.folders import Web
from sparkweb.node_link.http_client import WebUnreachable

log = structlog.get_logger(__name__)

TARGET = "/node/tool-artifacts/"
PIECE_BYTES = 4 * 2**20
RETRY_SECONDS = 5.0
RETRY_MOST_SECONDS = 300.0
KEEP_SECONDS = 86400.0
# What web will not take later either; a key that is renewed, or a disk that has room again, changes the rest.
NEVER_TAKEN = (400, 404, 410, 413)
IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


class Collector:
    """Takes a container's artifacts as they come: headers and data."""

    def __init__(self, folder: Path, run: str, most: int, most_bytes: int) -> None:
        self._folder = folder
        self._run = run
        self._most = most
        self._left_bytes = most_bytes
        self._file: BinaryIO | None = None
        self._names: set[str] = set()
        self._entry: dict[str, Any] = {}
        self.entries: list[dict[str, Any]] = []

    def begin(self, header: bytes) -> None:
        """A file follows."""
        self.finish()
        name = artifact_name(str(json.loads(header).get("name", "")), self._names)
        if len(self.entries) >= self._most:
            return
        path = self._folder / secrets.token_hex(8)
        self._entry = {"name": name, "path": path, "size_bytes": 0, "hash": hashlib.sha256(), "first": b""}
        try:
            self._file = path.open("wb")
        except OSError as error:
            self._give_up(error)

    def data(self, data: bytes) -> None:
        """Some bytes of it."""
        if self._file is None:
            return
        data = data[: self._left_bytes]
        self._left_bytes -= len(data)
        try:
            self._file.write(data)
        except OSError as error:
            self._give_up(error)
            return
        self._entry["size_bytes"] += len(data)
        self._entry["hash"].update(data)
        self._entry["first"] = (self._entry["first"] + data[:16])[:16]

    def finish(self) -> None:
        """No more of the present file."""
        if self._file is None:
            return
        entry = self._entry
        media_type = media_type_of(entry["name"], entry["first"])
        kind = "image" if media_type in (*IMAGES.values(), "image/webp") else "file"
        try:
            self._file.close()
            self._file = None
            self.add(
                kind, entry["name"], media_type, entry["path"], entry["size_bytes"], entry["hash"].hexdigest()
            )
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """A full disk of the node costs the file, not the run."""
        log.warning("a file of a run is not kept", run=self._run, name=self._entry["name"], reason=str(error))
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
        with contextlib.suppress(OSError):
            self._entry["path"].unlink(missing_ok=True)

    def add(self, kind: str, name: str, media_type: str, path: Path, size_bytes: int, sha256: str) -> None:
        """An artifact whose bytes are in a file already."""
        header = {
            "run": self._run,
            "kind": kind,
            "name": name,
            "media_type": media_type,
            "size_bytes": size_bytes,
            "sha256": sha256,
        }
        path.with_suffix(".json").write_text(json.dumps(header))
        self.entries.append(header)

    def told(self) -> list[dict[str, Any]]:
        """As they stand in the end of the run."""
        return [{key: value for key, value in entry.items() if key != "run"} for entry in self.entries]


def artifact_name(text: str, taken: set[str]) -> str:
    """A name that can be shown and stored: no folders, no control characters, each once."""
    name = re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "�", text)
    name = name.replace("/", "_").strip(". ")[:160] or "file"
    stem, dot, suffix = name.rpartition(".")
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{stem}-{number}.{suffix}" if dot and stem else f"{name}-{number}"
    taken.add(unique)
    return unique


def media_type_of(name: str, first: bytes) -> str:
    """By its first bytes for pictures, else by its name; never HTML or SVG, which a browser would run."""
    for magic, media_type in IMAGES.items():
        if first.startswith(magic):
            return media_type
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    harmless = ("text/plain", "text/csv", "application/json", "application/pdf", "application/zip")
    if guessed in harmless:
        return guessed
    return "text/plain" if guessed.startswith("text/") else "application/octet-stream"


class Uploads:
    """Sends what lies in a folder to web, piece by piece, for as long as it takes. One thread."""

    def __init__(self, folder: Path, web: Web) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._web = web
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sandbox-artifacts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        pause = RETRY_SECONDS
        while not self._closed:
            self._wake.clear()
            done = self.send_all()
            pause = RETRY_SECONDS if done else min(pause * 2, RETRY_MOST_SECONDS)
            self._wake.wait(None if done else pause)

    def send_all(self) -> bool:
        """Send what waits; whether nothing is left. One that web does not take now holds up no other."""
        done = True
        for described in sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
            try:
                done = self._send(described) and done
            except WebUnreachable as error:
                log.info("artifacts wait", reason=str(error))
                return False
            except (OSError, ValueError) as error:
                log.info("an artifact waits", reason=str(error))
                done = False
        return done

    def _send(self, described: Path) -> bool:
        """One artifact whole; True also when web will never take it."""
        header, path = json.loads(described.read_text()), described.with_suffix("")
        if not path.exists() or time.time() - path.stat().st_mtime > KEEP_SECONDS:
            return _drop(described, path)
        offset = 0
        with path.open("rb") as file:
            while not self._closed:
                file.seek(offset)
                piece = file.read(PIECE_BYTES)
                last = offset + len(piece) >= header["size_bytes"]
                line = json.dumps({**header, "offset": offset, "last": last}).encode()
                answer = self._web.post(TARGET, line + b"\n" + piece)
                if answer.status == 409:
                    offset = int(json.loads(answer.text)["offset"])
                elif answer.status == 201:
                    return _drop(described, path)
                elif answer.status != 200:
                    log.warning("web does not take an artifact", status=answer.status, said=answer.text[:200])
                    return answer.status in NEVER_TAKEN and _drop(described, path)
                else:
                    offset += len(piece)
                if offset >= header["size_bytes"] and (last or answer.status == 409):
                    return _drop(described, path)
        return False


def _drop(described: Path, path: Path) -> bool:
    path.unlink(missing_ok=True)
    described.unlink(missing_ok=True)
    return True
