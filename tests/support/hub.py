"""A Hugging Face hub over loopback HTTP that can be cut, slow, gated or wrong.

    with Hub() as hub:
        commit = hub.add("org/model", {"config.json": b"{}", "model.safetensors": weights})
        HF_ENDPOINT=hub.endpoint …

Files of 1 kB and more are large files (LFS). tests/models/test_storage_hub_contract.py lets
the real library download from it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_a_token_of_the_tests"
_LARGE_BYTES = 1000
_PIECE_BYTES = 16384


def etag_of(content: bytes) -> str:
    if len(content) >= _LARGE_BYTES:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """`cut_at`: each file request ends after so many bytes, `cuts` times; `stall` holds files half way."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.refs: dict[tuple[str, str], str] = {}
        self.gated: set[str] = set()
        self.cut_at = 0
        self.cuts = 0
        self.away = 0
        self.ranges = True
        self.stall = threading.Event()
        self.reached_half = threading.Event()
        self.requests: list[tuple[str, str, str | None]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(
        self, repo: str, files: dict[str, bytes], repo_type: str = "model", revision: str = "main"
    ) -> str:
        """Publish a commit; its id."""
        text = json.dumps({path: etag_of(content) for path, content in sorted(files.items())})
        commit = hashlib.sha1(text.encode()).hexdigest()
        name = f"{repo_type}s/{repo}"
        self.repos.setdefault(name, {})[commit] = files
        self.refs[(name, revision)] = commit
        return commit

    def file_requests(self) -> list[tuple[str, str | None]]:
        """Path and Range of each GET of a file."""
        return [(path, given) for verb, path, given in self.requests if verb == "GET" and "/resolve/" in path]

    def cut_now(self) -> bool:
        with self._lock:
            if self.cuts <= 0:
                return False
            self.cuts -= 1
            return True

    def away_now(self) -> bool:
        with self._lock:
            self.away -= 1
            return self.away >= 0

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stall.clear()
        self._server.shutdown()
        self._server.server_close()


def _handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Range")))
            if hub.away_now():
                self._answer(503, b"busy")
            elif path.startswith("/api/"):
                self._api(path.removeprefix("/api/"))
            elif "/resolve/" in path:
                self._resolve(path.strip("/"))
            else:
                self._answer(404, b"{}")

        do_HEAD = do_GET

        def _api(self, path: str) -> None:
            tree = "/tree/" in path
            name, _, revision = path.partition("/tree/" if tree else "/revision/")
            if not self._let_in(name):
                return
            commit = self._commit(name, revision or "main")
            if commit is None:
                return
            if tree:
                leaves = [_leaf(path, content) for path, content in hub.repos[name][commit].items()]
                self._answer(200, json.dumps(leaves).encode())
                return
            rows = [_sibling(path, content) for path, content in hub.repos[name][commit].items()]
            body = {"id": name.partition("/")[2], "sha": commit, "siblings": rows, "private": False}
            self._answer(200, json.dumps(body).encode())

        def _resolve(self, path: str) -> None:
            name, _, rest = path.partition("/resolve/")
            name = name if name.startswith("datasets/") else f"models/{name}"
            revision, _, file = rest.partition("/")
            if not self._let_in(name):
                return
            commit = self._commit(name, revision)
            if commit is None:
                return
            content = hub.repos[name][commit].get(file)
            if content is None:
                self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
                return
            self._file(content, commit)

        def _let_in(self, name: str) -> bool:
            if name not in hub.repos:
                self._answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif name in hub.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                code = 403 if self.headers.get("Authorization") else 401
                self._answer(code, b"{}", {"X-Error-Code": "GatedRepo"})
            else:
                return True
            return False

        def _commit(self, name: str, revision: str) -> str | None:
            commit = hub.refs.get((name, revision), revision)
            if commit in hub.repos[name]:
                return commit
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None

        def _file(self, content: bytes, commit: str) -> None:
            given = self.headers.get("Range")
            start = int(given.removeprefix("bytes=").rstrip("-")) if given and hub.ranges else 0
            headers = {"ETag": f'"{etag_of(content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
            if len(content) >= _LARGE_BYTES:
                headers |= {"X-Linked-Etag": f'"{etag_of(content)}"', "X-Linked-Size": str(len(content))}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._begin(206 if start else 200, len(content) - start, headers)
            if self.command == "HEAD":
                return
            part = content[start:]
            if len(content) >= _LARGE_BYTES and hub.cut_at and hub.cut_now():
                self.wfile.write(part[: hub.cut_at])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
            self._send(part)

        def _send(self, part: bytes) -> None:
            try:
                for place in range(0, len(part), _PIECE_BYTES):
                    if place >= len(part) // 2 and len(part) > _PIECE_BYTES:
                        self.wfile.flush()
                        hub.reached_half.set()
                        while hub.stall.is_set():
                            time.sleep(0.02)
                    self.wfile.write(part[place : place + _PIECE_BYTES])
            except OSError:
                self.close_connection = True

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self._begin(status, len(body), {"Content-Type": "application/json", **(headers or {})})
            if self.command != "HEAD":
                self.wfile.write(body)

        def _begin(self, status: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _sibling(path: str, content: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rfilename": path,
        "size": len(content),
        "blobId": hashlib.sha1(path.encode()).hexdigest(),
    }
    if len(content) >= _LARGE_BYTES:
        return row | {"lfs": {"sha256": etag_of(content), "size": len(content), "pointerSize": 134}}
    return row | {"blobId": etag_of(content)}


def _leaf(path: str, content: bytes) -> dict[str, Any]:
    row = _sibling(path, content)
    leaf: dict[str, Any] = {"type": "file", "path": path, "size": row["size"], "oid": row["blobId"]}
    if large := row.get("lfs"):
        leaf["lfs"] = {"oid": large["sha256"], "size": large["size"], "pointerSize": large["pointerSize"]}
    return leaf
