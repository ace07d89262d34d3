"""The Docker engine of this node, typed. The only module that imports `docker`.

    engine = DockerEngine("unix:///var/run/docker.sock")
    engine.status()            # never raises
    engine.containers()        # raises DockerTrouble, with a sentence

Every call has a time limit. Nothing here retries, and nothing knows what a model is.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import docker
import docker.auth
import docker.errors
import docker.utils
import requests
import urllib3.exceptions
from docker.types import CancellableStream

from sparkweb.adapters.docker_create import create_arguments
from sparkweb.adapters.docker_errors import (
    DockerTrouble,
    EngineUnavailable,
    PortInUse,
    PullCancelled,
    PullFailed,
    refusal,
    unavailable,
)
from sparkweb.adapters.docker_images import ListedImage, images_listed
from sparkweb.adapters.docker_logs import LogDecoder, LogFramesBroken, LogLine
from sparkweb.adapters.docker_pull import PullProgress
from sparkweb.adapters.docker_types import (
    ContainerOrder,
    EngineStatus,
    Inspection,
    ListedContainer,
    PublishedPort,
    inspection,
    listed_container,
    unix_time,
)
from sparkweb.adapters.ports import port_is_taken, port_listener

QUICK_SECONDS = 3
PATIENT_SECONDS = 120
# A registry, or a container, that says nothing for so long is given up or asked again.
SILENCE_SECONDS = 600
_CHUNK_BYTES = 65536


class LogStream:
    """Lines of one container as they come; iterate in one thread, close() from any.

    Each item is the list of lines that arrived together. The end comes when the
    container ends, the engine goes away, or nothing was said for ten minutes:
    who needs to know which looks at the container.
    """

    def __init__(self, response: requests.Response) -> None:
        self._bytes = _cancellable(response)
        self._decoder = LogDecoder()

    def __iter__(self) -> Iterator[list[LogLine]]:
        with contextlib.suppress(urllib3.exceptions.HTTPError, LogFramesBroken):
            for chunk in self._bytes:
                yield list(self._decoder.feed(chunk))
        yield list(self._decoder.finish())

    def close(self) -> None:
        _close(self._bytes)


class DockerEngine:
    """One engine, named by a DOCKER_HOST. Safe for threads."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._clients: dict[int, docker.APIClient] = {}
        self._lock = threading.Lock()

    # ---- the engine itself ----

    def status(self) -> EngineStatus:
        """Whether the engine answers, within QUICK_SECONDS; never raises."""
        try:
            facts = self._call(QUICK_SECONDS, lambda api: api.info())
        except EngineUnavailable as trouble:
            status = {"docker_missing": "missing", "docker_denied": "denied"}.get(trouble.code, "down")
            return EngineStatus(status, None, str(trouble), None)
        except DockerTrouble as trouble:
            return EngineStatus("down", None, str(trouble), None)
        gpu_runtime = "nvidia" in (facts.get("Runtimes") or {}) or bool(
            shutil.which("nvidia-container-runtime-hook")
        )
        return EngineStatus("ok", str(facts.get("ServerVersion")), None, gpu_runtime)

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    # ---- containers ----

    def containers(self) -> list[ListedContainer]:
        """All containers of this node, running or not, in one call of a few milliseconds."""
        listed = self._call(QUICK_SECONDS, lambda api: api.containers(all=True))
        return [listed_container(entry) for entry in listed]

    def inspect(self, container: str) -> Inspection:
        """One container by id or name. Raises ContainerMissing."""
        return inspection(self._call(QUICK_SECONDS, lambda api: api.inspect_container(container)))

    def create(self, order: ContainerOrder) -> str:
        """Create, do not start; the container's id.

        Raises ImageMissing, NameTaken, MountMissing, CreateFailed, EngineUnavailable.
        """

        def send(api: docker.APIClient) -> str:
            return str(api.create_container(**create_arguments(api, order))["Id"])

        return str(self._call(PATIENT_SECONDS, send, order))

    def start(self, container: str, order: ContainerOrder | None = None) -> None:
        """Start a created or exited container; already running is fine.

        `order` lets the error name the port, its holder or the mount.
        Raises PortInUse, GpuMissing, MountMissing, CreateFailed, ContainerMissing, EngineUnavailable.
        """
        self._call(PATIENT_SECONDS, lambda api: api.start(container), order)

    def stop(self, container: str, timeout_seconds: int) -> None:
        """SIGTERM, and SIGKILL after the timeout. Returns when it has ended; not running is fine."""
        self._call(PATIENT_SECONDS, lambda api: api.stop(container, timeout=timeout_seconds))

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal. Raises ContainerBusy when it does not run."""
        self._call(PATIENT_SECONDS, lambda api: api.kill(container, signal))

    def remove(self, container: str, force: bool = False) -> None:
        """Remove it with its anonymous volumes. Raises ContainerBusy when it runs or is being removed."""
        self._call(PATIENT_SECONDS, lambda api: api.remove_container(container, v=True, force=force))

    # ---- ports ----

    def ports_check(self, ports: list[PublishedPort]) -> None:
        """Raise PortInUse, naming the holder, when one of these cannot be published."""
        if not ports:
            return
        held = {port: entry.name for entry in self.containers() for port in entry.host_ports}
        for port in ports:
            if port.host in held:
                raise PortInUse(_port_sentence(port, f"container {held[port.host]}"))
            if port_is_taken(port.address, port.host):
                raise PortInUse(_port_sentence(port, port_listener(port.address, port.host)))

    # ---- images ----

    def image_digest(self, image: str) -> str:
        """Its registry digest, or its id when it came from no registry. Raises ImageMissing."""
        facts = self._call(QUICK_SECONDS, lambda api: api.inspect_image(image), image)
        digests = facts.get("RepoDigests") or []
        return str(digests[0]).partition("@")[2] if digests else str(facts["Id"])

    def image_words(self, image: str) -> tuple[list[str], list[str]]:
        """An image's own entrypoint and arguments. Raises ImageMissing."""
        config = self._call(QUICK_SECONDS, lambda api: api.inspect_image(image), image)["Config"] or {}
        return list(config.get("Entrypoint") or []), list(config.get("Cmd") or [])

    def images(self) -> tuple[list[ListedImage], int]:
        """All images with the containers of each, and the bytes of all, shared layers counted once."""

        def send(api: docker.APIClient) -> tuple[list[ListedImage], int]:
            usage = api.df()
            return images_listed(usage, api.containers(all=True)), int(usage.get("LayersSize") or 0)

        listed: tuple[list[ListedImage], int] = self._call(PATIENT_SECONDS, send)
        return listed

    def images_folder(self) -> str:
        """Where the engine keeps its images, on the engine's machine."""
        return str(self._call(QUICK_SECONDS, lambda api: api.info()).get("DockerRootDir") or "")

    def image_remove(self, name: str) -> None:
        """Remove a tag, and the image with its last one. Raises ImageMissing, ContainerBusy (in use)."""
        self._call(PATIENT_SECONDS, lambda api: api.remove_image(name), name)

    def pull(
        self,
        image: str,
        on_progress: Callable[[PullProgress], None],
        on_begin: Callable[[Callable[[], None]], None],
    ) -> None:
        """Fetch an image, telling the progress at each message of the engine.

        `on_begin` is given a function that ends the pull from another thread; pull
        then raises PullCancelled. Raises PullFailed with the registry's words, also
        when the registry is silent for SILENCE_SECONDS.
        """
        cancelled = threading.Event()
        progress = PullProgress()
        response = self._call(PATIENT_SECONDS, lambda api: _pull_request(api, image), image)
        stream = _cancellable(response)

        def cancel() -> None:
            cancelled.set()
            _close(stream)

        on_begin(cancel)
        try:
            for message in _json_lines(stream):
                progress.feed(message)
                on_progress(progress)
        except urllib3.exceptions.ReadTimeoutError:
            progress.error = f"the registry said nothing for {SILENCE_SECONDS} s"
        finally:
            _close(stream)
        if cancelled.is_set():
            raise PullCancelled(f"the pull of {image} was stopped")
        if progress.error or not progress.finished:
            raise PullFailed(_pull_sentence(image, progress.error or "Docker closed the connection"))

    # ---- logs ----

    def logs_follow(self, container: str, tail: int, since: str | None = None) -> LogStream:
        """Follow a container's output: its last `tail` lines, then all new ones.

        `since` (RFC 3339, as in LogLine.at) leaves out what is older; a line at
        exactly that time is sent again.
        """
        return LogStream(self._logs(container, tail, since, follow=True, read_seconds=SILENCE_SECONDS))

    def logs_read(self, container: str, tail: int, since: str | None = None) -> LogStream:
        """A container's output until now: its last `tail` lines, of those since a time (as above)."""
        return LogStream(self._logs(container, tail, since, follow=False, read_seconds=PATIENT_SECONDS))

    def log_tail(self, container: str, lines: int, limit_bytes: int) -> list[str]:
        """The last lines, without timestamps, oldest first, at most `limit_bytes` as UTF-8."""
        response = self._logs(container, lines, None, follow=False, read_seconds=QUICK_SECONDS)
        kept: list[str] = []
        size = 0
        stream = LogStream(response)
        for batch in stream:
            for line in batch:
                kept.append(line.text)
                size += len(line.text.encode()) + 1
                while size > limit_bytes and kept:
                    size -= len(kept.pop(0).encode()) + 1
        stream.close()
        return kept

    def _logs(
        self, container: str, tail: int, since: str | None, follow: bool, read_seconds: int
    ) -> requests.Response:
        options = {
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "follow": int(follow),
            "tail": tail,
            "since": unix_time(since) if since else 0,
        }

        def send(api: docker.APIClient) -> requests.Response:
            path = f"{api.base_url}/v{api.api_version}/containers/{container}/logs"
            response = api.get(path, params=options, stream=True, timeout=(QUICK_SECONDS, read_seconds))
            _raise_for_status(response)
            return response

        response: requests.Response = self._call(QUICK_SECONDS, send)
        return response

    # ---- calls and their errors ----

    def _call(
        self, timeout: int, send: Callable[[docker.APIClient], Any], about: ContainerOrder | str | None = None
    ) -> Any:
        try:
            return self._sent(timeout, send)
        except docker.errors.APIError as error:
            raise self._translated(error, about) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise unavailable(error, self.base_url, timeout) from error

    def _sent(self, timeout: int, send: Callable[[docker.APIClient], Any]) -> Any:
        try:
            return send(self._client(timeout))
        except ValueError as error:
            # urllib3 looked at a pooled connection that another thread had closed; it was not used yet.
            if "file descriptor" not in str(error):
                raise
            return send(self._client(timeout))

    def _client(self, timeout: int) -> docker.APIClient:
        with self._lock:
            if timeout not in self._clients:
                # "auto" asks the engine for its version, so this fails while it is away;
                # Docker 29 refuses the versions that older engines need.
                self._clients[timeout] = docker.APIClient(self.base_url, version="auto", timeout=timeout)
            return self._clients[timeout]

    def _translated(self, error: docker.errors.APIError, about: ContainerOrder | str | None) -> DockerTrouble:
        said = str(error.explanation or error).strip()
        image = about.image if isinstance(about, ContainerOrder) else str(about or "")
        status = error.response.status_code if error.response is not None else 500
        trouble = refusal(status, said, image)
        if isinstance(trouble, PortInUse) and isinstance(about, ContainerOrder):
            return self._port_trouble(about, trouble)
        return trouble

    def _port_trouble(self, order: ContainerOrder, trouble: PortInUse) -> PortInUse:
        with contextlib.suppress(EngineUnavailable):
            try:
                self.ports_check(order.ports)
            except PortInUse as named:
                return named
        return trouble


def _port_sentence(port: PublishedPort, holder: str) -> str:
    return f"Port {port.host} on {port.address} is in use by {holder}. Stop that, or choose another port."


def _pull_sentence(image: str, said: str) -> str:
    return (
        f"Image {image} could not be pulled: {said}. Check its name and that this node reaches the registry "
        "(docker login for a private one)."
    )


def _pull_request(api: docker.APIClient, image: str) -> requests.Response:
    repository, tag = docker.utils.parse_repository_tag(image)
    registry, _ = docker.auth.resolve_repository_name(repository)
    header = docker.auth.get_config_header(api, registry)
    response = api.post(
        f"{api.base_url}/v{api.api_version}/images/create",
        params={"fromImage": repository, "tag": tag or "latest"},
        headers={"X-Registry-Auth": header} if header else {},
        stream=True,
        timeout=(QUICK_SECONDS, SILENCE_SECONDS),
    )
    try:
        _raise_for_status(response)
    except docker.errors.APIError as error:
        raise PullFailed(_pull_sentence(image, str(error.explanation))) from error
    return response


def _raise_for_status(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


def _cancellable(response: requests.Response) -> CancellableStream:
    return CancellableStream(response.raw.stream(_CHUNK_BYTES), response)


def _close(stream: CancellableStream) -> None:
    # Closing what has ended, or is being closed by another thread, finds no socket.
    with contextlib.suppress(OSError, AttributeError):
        stream.close()


def _json_lines(chunks: CancellableStream) -> Iterator[dict[str, Any]]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
