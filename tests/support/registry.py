"""An image registry over loopback HTTP, read only, that can be slow, stuck or broken.

    with Registry() as registry:
        image = registry.add("demo", layers=3, layer_bytes=1_000_000)
        docker pull <image>      # "127.0.0.1:PORT/demo:latest"

Docker takes 127.0.0.0/8 for an insecure registry without being told. Speaks what a
pull needs of the Docker Registry HTTP API V2 (Docker image manifest, schema 2).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.support.images import root_tree

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_PIECE_BYTES = 16384


class Registry:
    """`bytes_per_second` slows each layer down; `stall` set makes layers stop half way."""

    def __init__(self, bytes_per_second: int | None = None) -> None:
        self.bytes_per_second = bytes_per_second
        self.stall = threading.Event()
        self.broken = False
        self.reached_half = threading.Event()
        self.client_left = threading.Event()
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, layers: int = 2, layer_bytes: int = 300_000) -> str:
        """Publish an image of busybox and further layers of random bytes; its reference."""
        trees = [root_tree({})]
        trees += [root_tree({f"models/part{number}": os.urandom(layer_bytes)}) for number in range(1, layers)]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["sleep", "300"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tree) for tree in trees]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._store(_CONFIG, json.dumps(config).encode()),
            "layers": [self._store(_LAYER, tree) for tree in trees],
        }
        body = json.dumps(manifest).encode()
        self.manifests[f"/v2/{name}/manifests/latest"] = body
        self.manifests[f"/v2/{name}/manifests/{_digest(body)}"] = body
        return f"{self.address}/{name}:latest"

    def close(self) -> None:
        self.stall.clear()
        self._server.shutdown()
        self._server.server_close()

    def _store(self, kind: str, content: bytes) -> dict[str, Any]:
        self.blobs[_digest(content)] = content
        return {"mediaType": kind, "size": len(content), "digest": _digest(content)}

    def __enter__(self) -> Registry:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _handler_of(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if registry.broken:
                self._answer(500, b'{"errors":[{"code":"UNKNOWN","message":"the disk is on fire"}]}')
            elif self.path == "/v2/":
                self._answer(200, b"{}")
            elif self.path in registry.manifests:
                self._answer(200, registry.manifests[self.path], _MANIFEST)
            elif "/blobs/" in self.path:
                self._blob(registry.blobs[self.path.rpartition("/")[2]])
            else:
                self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

        do_HEAD = do_GET

        def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if kind == _MANIFEST:
                self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _blob(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                for start in range(0, len(content), _PIECE_BYTES):
                    self._pace(start, len(content))
                    self.wfile.write(content[start : start + _PIECE_BYTES])
            except OSError:
                registry.client_left.set()

        def _pace(self, sent: int, total: int) -> None:
            if sent >= total // 2:
                registry.reached_half.set()
                while registry.stall.is_set() and not self._client_hung_up():
                    time.sleep(0.02)
            if registry.bytes_per_second:
                time.sleep(_PIECE_BYTES / registry.bytes_per_second)

        def _client_hung_up(self) -> bool:
            self.connection.settimeout(0.01)
            try:
                if self.connection.recv(1) == b"":
                    raise ConnectionResetError("the client left")
            except TimeoutError:
                return False
            finally:
                self.connection.settimeout(None)
            return True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
