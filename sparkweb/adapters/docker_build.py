"""Building an image on this node's Docker engine, with what it says on the way.

Works with the classic builder, which every Docker and Podman offers over its API.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
import urllib3.exceptions
from docker.types import CancellableStream

from sparkweb.adapters.docker_errors import DockerTrouble, unavailable

CONNECT_SECONDS = 3
# A step that downloads packages over a slow line says something more often than this.
SILENCE_SECONDS = 900
NETWORKS = ("default", "host")
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_BUILT = re.compile(r"Successfully built ([0-9a-f]+)")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class BuildFailed(DockerTrouble):
    """The build ended without an image; the sentence has the builder's last words."""

    code = "build_failed"


class BuildCancelled(DockerTrouble):
    """Somebody stopped the build."""

    code = "build_cancelled"


class BuildProgress:
    """The state of one build, fed with the engine's messages (Docker Engine API, POST /build)."""

    def __init__(self) -> None:
        self.step = 0
        self.steps = 0
        self.message = ""
        self.lines: list[str] = []
        self.error = ""
        self.image = ""

    def feed(self, message: dict[str, Any]) -> None:
        if message.get("error"):
            self.error = _words(str(message["error"]))
        if isinstance(found := (message.get("aux") or {}).get("ID"), str):
            self.image = found
        for line in str(message.get("stream") or message.get("status") or "").splitlines():
            if words := _words(line):
                self._line(words)

    def _line(self, words: str) -> None:
        if found := _STEP.match(words):
            self.step, self.steps = int(found[1]), int(found[2])
        elif (built := _BUILT.match(words)) and not self.image:
            self.image = built[1]
        self.message = words[:200]
        self.lines = [*self.lines[-199:], words[:500]]


def _words(text: str) -> str:
    return _CONTROL.sub(" ", _ANSI.sub("", text)).strip()


def context_tar(folder: Path) -> bytes:
    """The regular files of `folder`, as the builder wants them: no links, no owners, no times."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tree:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            content = path.read_bytes()
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size, entry.mode = len(content), 0o644
            tree.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def image_build(
    base_url: str,
    tag: str,
    context: bytes,
    arguments: dict[str, str],
    network: str,
    on_progress: Callable[[BuildProgress], None],
    on_begin: Callable[[Callable[[], None]], None],
) -> BuildProgress:
    """Build `tag` from a tar with a Dockerfile, telling the progress at each message.

    `arguments` are the Dockerfile's ARGs, `network` is where its RUN steps are: "default" (Docker's
    bridge) or "host". `on_begin` is given a function that ends the build from another thread.
    Raises BuildFailed, BuildCancelled, EngineUnavailable.
    """
    cancelled, progress = threading.Event(), BuildProgress()
    try:
        with contextlib.closing(docker.APIClient(base_url, version="auto", timeout=CONNECT_SECONDS)) as api:
            stream = _build_begin(api, tag, context, arguments, network)
            on_begin(lambda: _end(cancelled, stream))
            for message in _messages(stream):
                progress.feed(message)
                on_progress(progress)
    except urllib3.exceptions.ReadTimeoutError:
        progress.error = f"the builder said nothing for {SILENCE_SECONDS} s"
    except docker.errors.APIError as error:
        progress.error = _words(str(error.explanation or error))
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise unavailable(error, base_url, CONNECT_SECONDS) from error
    if cancelled.is_set():
        raise BuildCancelled("The build was stopped.")
    if progress.error or not progress.image:
        raise BuildFailed(f"The image was not built: {progress.error or 'Docker closed the connection'}")
    return progress


def _build_begin(
    api: docker.APIClient, tag: str, context: bytes, arguments: dict[str, str], network: str
) -> CancellableStream:
    response = api.post(
        f"{api.base_url}/v{api.api_version}/build",
        params={
            "t": tag,
            "buildargs": json.dumps(arguments),
            "rm": "1",
            "forcerm": "1",
            **({} if network == "default" else {"networkmode": network}),
        },
        data=context,
        headers={"Content-Type": "application/x-tar"},
        stream=True,
        timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
    )
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
    return CancellableStream(response.raw.stream(65536), response)


def _messages(stream: CancellableStream) -> Iterator[dict[str, Any]]:
    rest = b""
    for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip() and isinstance(message := json.loads(line), dict):
                yield message


def _end(cancelled: threading.Event, stream: CancellableStream) -> None:
    cancelled.set()
    with contextlib.suppress(OSError, AttributeError):
        stream.close()
