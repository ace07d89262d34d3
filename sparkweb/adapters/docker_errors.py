"""What can go wrong with Docker, in our words. Each says what is wrong and what to do.

`code` is the word that travels to control as the code of a refused start.
"""

from __future__ import annotations

from collections.abc import Iterator

import requests


class DockerTrouble(Exception):
    """Any trouble with Docker; the subclasses say which."""

    code = "create_failed"


class EngineUnavailable(DockerTrouble):
    """Nothing can be asked of the engine right now; what runs there is unknown."""

    code = "docker_down"


class EngineMissing(EngineUnavailable):
    """There is no socket: Docker is not installed, not started, or DOCKER_HOST is wrong."""

    code = "docker_missing"


class EngineDenied(EngineUnavailable):
    """The socket is there, and this user may not use it."""

    code = "docker_denied"


class EngineDown(EngineUnavailable):
    """The socket is there and nobody answers, or not in time."""


class ContainerMissing(DockerTrouble):
    """No container of that id or name."""


class ContainerBusy(DockerTrouble):
    """The container is in a state, such as being removed, that forbids this right now."""


class ImageMissing(DockerTrouble):
    """The image is not on this node."""

    code = "image_missing"


class PullFailed(DockerTrouble):
    """The image could not be fetched."""

    code = "pull_failed"


class PullCancelled(DockerTrouble):
    """Somebody stopped the pull."""

    code = "pull_failed"


class PortInUse(DockerTrouble):
    """Somebody else listens on a port that was asked for; the sentence names it if it can be seen."""

    code = "port_in_use"


class NameTaken(DockerTrouble):
    """Another container has the name."""

    code = "name_taken"


class GpuMissing(DockerTrouble):
    """GPUs were asked for, and the engine can give none."""

    code = "gpu_missing"


class MountMissing(DockerTrouble):
    """A path of the node that should be mounted does not exist."""

    code = "mount_missing"


class CreateFailed(DockerTrouble):
    """Docker refused to create or start the container for another reason, which it gave."""


def refusal(status_code: int, said: str, image: str = "") -> DockerTrouble:
    """Our error for one that the engine answered with, by its HTTP status and its words.

    Docker tells most of these apart in words alone; they are those of 20.10 to 29.
    """
    if "No such image" in said or (status_code == 404 and "manifest unknown" in said):
        return ImageMissing(f"Image {image or said} is not on this node ({said}).")
    if "invalid reference format" in said:
        return ImageMissing(f"{image!r} is no image name ({said}).")
    if status_code == 404:
        return ContainerMissing(said)
    if "is already in use by container" in said:
        return NameTaken(f"{said} Remove or rename that container.")
    if "port is already allocated" in said or "address already in use" in said:
        return PortInUse(f"Docker could not publish a port: {said}")
    if "could not select device driver" in said or "nvidia-container-cli" in said or "libnvidia-ml" in said:
        return GpuMissing(
            f"GPUs were requested and Docker has none to give ({said}). Install the NVIDIA Container "
            "Toolkit, or turn GPUs off in the definition."
        )
    if "bind source path does not exist" in said:
        return MountMissing(f"{said}. Create that folder on the node, or correct the mount.")
    if status_code == 409:
        return ContainerBusy(said)
    return CreateFailed(f"Docker refused: {said}")


def unavailable(error: BaseException, base_url: str, timeout_seconds: int) -> EngineUnavailable:
    """Our error for an engine that did not answer, by what is behind `error`."""
    causes = list(_causes(error))
    if any(isinstance(cause, FileNotFoundError) for cause in causes):
        return EngineMissing(
            f"There is no Docker socket at {base_url}. Install Docker, start it "
            "(sudo systemctl start docker), or set DOCKER_HOST."
        )
    if any(isinstance(cause, PermissionError) for cause in causes):
        return EngineDenied(
            f"This user may not use the Docker socket {base_url}. Add it to the docker group "
            "(sudo usermod -aG docker $USER), log in again and restart SparkWeb."
        )
    if any(isinstance(cause, requests.exceptions.Timeout | TimeoutError) for cause in causes):
        return EngineDown(f"Docker at {base_url} did not answer within {timeout_seconds} s; it may hang.")
    if any(isinstance(cause, OSError) and cause.errno for cause in causes):
        return EngineDown(f"Nobody answers at {base_url}. Start Docker: sudo systemctl start docker.")
    return EngineDown(f"Docker at {base_url} cannot be used: {error}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that is behind it: requests and urllib3 hide the OSError in arguments."""
    while error is not None:
        yield error
        for inner in (part for part in error.args if isinstance(part, BaseException)):
            yield from _causes(inner)
        error = error.__cause__ or error.__context__
