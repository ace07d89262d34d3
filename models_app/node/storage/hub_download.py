"""Fetches a repository into a Hugging Face cache, and goes on where an earlier try was cut.

The library begins a file anew when its process died (its partial files carry a
random name), so this is our own, in the library's layout and under its locks:
tests/models/test_storage_hub_contract.py holds the two together. Runs in the child
process of models_app/node/storage/hub_child.py.
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from models_app.node.storage.hf_cache import PARTIAL_SUFFIX, repo_folder
from models_app.node.storage.space import room_require
from sparkweb.adapters.hub import Hub, HubAway, HubFile, HubListing, HubTrouble

PARALLEL = 4
TRIES = 6
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
HASH_CHUNK_BYTES = 1 << 20
LOCK_LOOK_SECONDS = 0.5


class Cancelled(Exception):
    """Another file failed for good, so this one ends too."""


@dataclass(frozen=True)
class Wish:
    """What to fetch. `patterns`: only files that match one of these; none means all of them."""

    repo_type: str
    repo: str
    revision: str
    patterns: list[str] = field(default_factory=list)


@dataclass
class Progress:
    """How far it is; `done_bytes` counts what was here already."""

    total_bytes: int | None = None
    done_bytes: int = 0
    message: str = "Asking the hub"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.lock:
            self.done_bytes += count

    def say(self, message: str) -> None:
        with self.lock:
            self.message = message


def wanted_files(listing: HubListing, patterns: list[str]) -> list[HubFile]:
    """The files that match one of the patterns, as the library reads them (`folder/` is all below)."""
    if not patterns:
        return listing.files
    each = [pattern + "*" if pattern.endswith("/") else pattern for pattern in patterns]
    return [file for file in listing.files if any(fnmatch.fnmatch(file.path, pattern) for pattern in each)]


class Download:
    """One repository on its way into one cache."""

    def __init__(
        self,
        hub_folder: Path,
        wish: Wish,
        make_hub: Callable[[], Hub],
        progress: Progress,
        reserve_bytes: int = 0,
        pause: Callable[[float], Any] = time.sleep,
        opened: Callable[[Path], BinaryIO] = lambda path: path.open("r+b" if path.exists() else "x+b"),
    ) -> None:
        self._hub_folder = hub_folder
        self._folder = hub_folder / repo_folder(wish.repo_type, wish.repo)
        self._wish = wish
        self._make_hub = make_hub
        self._progress = progress
        self._reserve_bytes = reserve_bytes
        self._pause = pause
        self._opened = opened
        self._failed = threading.Event()
        self._local = threading.local()

    def run(self) -> str:
        """Fetch what is missing. Returns the commit. Raises HubTrouble, DiskShort, OSError."""
        wish = self._wish
        listing = self._patiently(lambda: self._hub().listing(wish.repo_type, wish.repo, wish.revision))
        files = wanted_files(listing, wish.patterns)
        if not files:
            raise HubTrouble("nothing_matches", f"No file of {wish.repo} matches {', '.join(wish.patterns)}")
        self._measure(files)
        once = {file.etag: file for file in files}
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="hub") as pool:
            jobs = [pool.submit(self._one, listing.commit, file) for file in once.values()]
        errors = [error for job in jobs if (error := job.exception())]
        if errors:
            raise next((error for error in errors if not isinstance(error, Cancelled)), errors[0])
        for file in files:
            self._link(listing.commit, file)
        if wish.revision != listing.commit:
            self._ref(listing.commit)
        return listing.commit

    def _hub(self) -> Hub:
        """A hub connection of this thread."""
        if not hasattr(self._local, "hub"):
            self._local.hub = self._make_hub()
        hub: Hub = self._local.hub
        return hub

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        for attempt in range(TRIES):
            try:
                return ask()
            except HubAway as away:
                if attempt == TRIES - 1:
                    raise
                self._wait(attempt, away)
        raise AssertionError("unreachable")

    def _wait(self, attempt: int, away: HubAway) -> None:
        self._progress.say(f"Tries again: {away}")
        self._pause(min(PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS))

    def _measure(self, files: list[HubFile]) -> None:
        """Know the sizes and what is here, and that the rest fits. Raises DiskShort."""
        sizes = {file.etag: file.size_bytes for file in files}
        here = sum(min(self._here(etag), size) for etag, size in sizes.items())
        total = sum(sizes.values())
        room_require(self._hub_folder, total - here, self._reserve_bytes, self._wish.repo)
        with self._progress.lock:
            self._progress.total_bytes, self._progress.done_bytes = total, here
        self._progress.say(f"Downloading {_count(len(files))}")

    def _here(self, etag: str) -> int:
        for name in (etag, etag + PARTIAL_SUFFIX):
            try:
                return (self._folder / "blobs" / name).stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def _one(self, commit: str, file: HubFile) -> None:
        try:
            blob = self._folder / "blobs" / file.etag
            if not blob.exists():
                blob.parent.mkdir(parents=True, exist_ok=True)
                with self._locked(file.etag):
                    if not blob.exists():
                        self._fetch(commit, file, blob)
        except BaseException:
            self._failed.set()
            raise

    @contextmanager
    def _locked(self, etag: str) -> Iterator[None]:
        """Hold the library's lock of a blob: an engine may be downloading the same model."""
        path = self._hub_folder / ".locks" / self._folder.name / f"{etag}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._progress.say("Another program downloads a file of this; waiting for it")
                    self._check()
                    self._pause(LOCK_LOOK_SECONDS)
            yield

    def _check(self) -> None:
        if self._failed.is_set():
            raise Cancelled

    def _fetch(self, commit: str, file: HubFile, blob: Path) -> None:
        partial = blob.with_name(file.etag + PARTIAL_SUFFIX)
        tries = 0
        while True:
            before = partial.stat().st_size if partial.exists() else 0
            try:
                self._append(commit, file, partial)
                break
            except HubAway as away:
                tries = 1 if partial.exists() and partial.stat().st_size > before else tries + 1
                if tries >= TRIES:
                    raise
                self._wait(tries - 1, away)
        partial.replace(blob)

    def _append(self, commit: str, file: HubFile, partial: Path) -> None:
        """Add what is missing to a partial file, and check the whole. Raises HubAway, HubTrouble, OSError."""
        with self._opened(partial) as out:
            digest, have = self._read_again(out, file)
            if have < file.size_bytes:
                start, chunks = self._hub().bytes_from(
                    self._wish.repo_type, self._wish.repo, commit, file, have
                )
                if start != have:  # a server without ranges
                    self._forget(out, have)
                    digest, have = _digest(file), 0
                for chunk in chunks:
                    self._check()
                    out.write(chunk)
                    digest.update(chunk)
                    have += len(chunk)
                    self._progress.add(len(chunk))
            if have < file.size_bytes:
                raise HubAway(f"{file.path} ended early")
            out.flush()
            os.fsync(out.fileno())
            if have > file.size_bytes or digest.hexdigest() != file.etag:
                self._forget(out, have)
                raise HubTrouble(
                    "hash_mismatch", f"{file.path} is not what the hub says it is; start it again"
                )

    def _read_again(self, out: BinaryIO, file: HubFile) -> tuple[Any, int]:
        """The digest and length of what an earlier try left."""
        digest, have = _digest(file), 0
        while chunk := out.read(HASH_CHUNK_BYTES):
            self._check()
            digest.update(chunk)
            have += len(chunk)
        if have > file.size_bytes:
            self._forget(out, file.size_bytes)
            digest, have = _digest(file), 0
        return digest, have

    def _forget(self, out: BinaryIO, counted: int) -> None:
        out.seek(0)
        out.truncate()
        self._progress.add(-counted)

    def _link(self, commit: str, file: HubFile) -> None:
        path = self._folder / "snapshots" / commit / file.path
        blob = self._folder / "blobs" / file.etag
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(blob, path.parent)
        if path.is_symlink() and path.readlink() == Path(target):
            return
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def _ref(self, commit: str) -> None:
        """Point the branch at the commit, once all of it is here."""
        path = self._folder / "refs" / self._wish.revision
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.sparkweb")
        fresh.write_text(commit)
        fresh.replace(path)


def _digest(file: HubFile) -> Any:
    """A large file's etag is its sha256, a small one's the git blob id: sha1 with a header."""
    if len(file.etag) == 64:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"
