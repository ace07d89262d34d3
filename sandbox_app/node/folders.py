"""The tool folders of this node, each by the digest of its tar, as web handed it over once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import threading
import time
from pathlib import Path
from typing import Protocol

from sandbox_app.node.seccomp import SECCOMP_FILE, profile_text
from sparkweb.node_link.http_client import AnswerTooLarge, WebAnswer, WebBytes

TAR_MOST_BYTES = 32 * 2**20
FILES_MOST = 500
TARGET = "/node/tool-folder/"
KEEP_SECONDS = 30 * 86400


class FolderMissing(Exception):
    """The folder of a digest cannot be had, or is not what its digest says."""


class Web(Protocol):
    """The part of WebClient that the sandbox needs."""

    def post(self, target: str, body: bytes) -> WebAnswer: ...

    def fetch(self, target: str, body: bytes, most_bytes: int) -> WebBytes: ...


class ToolFolders:
    """Folders below `root`, named by digest. Any thread may ask; each is fetched once."""

    def __init__(self, root: Path, web: Web) -> None:
        self._root = root
        self._web = web
        self._lock = threading.Lock()

    def folder(self, digest: str) -> Path:
        """Where the folder of this digest lies. Raises FolderMissing, WebUnreachable."""
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise FolderMissing(f"{digest[:80]!r} is no digest of a tool's folder")
        place = self._root / digest
        if place.is_dir():
            os.utime(place)
            return place
        with self._lock:
            if not place.is_dir():
                self._fetch(digest, place)
        return place

    def forget(self) -> None:
        """Remove what was not used for a month; while no container has any of it mounted."""
        for place in self._root.glob("*") if self._root.is_dir() else ():
            if time.time() - place.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(place, ignore_errors=True)

    def _fetch(self, digest: str, place: Path) -> None:
        try:
            answer = self._web.fetch(TARGET, json.dumps({"digest": digest}).encode(), TAR_MOST_BYTES)
        except AnswerTooLarge as error:
            raise FolderMissing(f"the tool's folder {digest[:12]} is too large: {error}") from error
        if answer.status != 200:
            raise FolderMissing(f"web does not give the tool's folder {digest[:12]} ({answer.status})")
        if hashlib.sha256(answer.data).hexdigest() != digest:
            raise FolderMissing(f"the tool's folder {digest[:12]} that web gave is another")
        draft = self._root / f".{digest}.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            folder_unpack(answer.data, draft)
            draft.rename(place)
        except (OSError, tarfile.TarError) as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise FolderMissing(f"the tool's folder {digest[:12]} cannot be unpacked: {error}") from error


def folder_unpack(tar: bytes, place: Path) -> None:
    """Write the regular files of a tar below `place`, readable to all. Raises FolderMissing for others."""
    place.mkdir(parents=True, mode=0o755)
    place.chmod(0o755)
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as members:
        for number, member in enumerate(members):
            path = Path(member.name)
            if number >= FILES_MOST or path.is_absolute() or ".." in path.parts:
                raise FolderMissing(
                    f"the tool's folder has too many files, or {member.name[:80]!r} leaves it"
                )
            target = place / path
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True, mode=0o755)
                continue
            source = members.extractfile(member) if member.isreg() else None
            if source is None:
                raise FolderMissing(f"{member.name[:80]!r} in the tool's folder is no regular file")
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            target.write_bytes(source.read())
            target.chmod(0o755 if member.mode & 0o111 else 0o644)
    for folder in [path for path in place.rglob("*") if path.is_dir()]:
        folder.chmod(0o755)


def inside_place(root: Path) -> Path:
    """A copy of what runs inside (sandbox_app/inside), by its digest, where the engine can mount it.

    Our own folder may be replaced by an update while containers wait with it.
    """
    source = Path(__file__).resolve().parent.parent / "inside"
    files = sorted(source.glob("*.py"))
    digest = hashlib.sha256(profile_text().encode())
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    place = root / f"inside-{digest.hexdigest()[:16]}"
    if not place.is_dir():
        draft = root / f".inside.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o755)
        draft.chmod(0o755)
        for path in files:
            (draft / path.name).write_bytes(path.read_bytes())
            (draft / path.name).chmod(0o644)
        (draft / SECCOMP_FILE).write_text(profile_text())
        draft.rename(place)
    return place
