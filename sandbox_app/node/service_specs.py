"""The services that SparkWeb can run on a node beside its models, and how each is to be made."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from yarl import URL

from sparkweb import config
from sparkweb.adapters.docker_types import BindMount, ContainerOrder, PublishedPort, ServiceBounds

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "searxng" / "settings.yml"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SEARXNG_PORT_INSIDE = 8080
# Its image begins as root where it is older, and then becomes its own user.
SEARXNG_BOUNDS = ServiceBounds(memory_bytes=2**30, pids=256, capabilities=("CHOWN", "SETGID", "SETUID"))


class ServiceElsewhere(Exception):
    """This node has no use for such a service of its own; the sentence says why."""


@dataclass(frozen=True)
class ServiceSpec:
    """`make` fills the order in, and writes what the container needs; `health` is asked by HTTP."""

    name: str
    image: str
    port: int
    health: str
    make: Callable[[str, dict[str, str]], ContainerOrder]


def service_spec(name: str, folder: Path) -> ServiceSpec:
    """The service of this name with its files in `folder`. Raises KeyError, ServiceElsewhere."""
    return SPECS[name](folder)


def _searxng(folder: Path) -> ServiceSpec:
    url = URL(config.SEARXNG_URL)
    if url.host not in LOOPBACK or url.scheme != "http":
        raise ServiceElsewhere(
            f"This node asks the SearXNG at {config.SEARXNG_URL}. To run one here, set SEARXNG_URL to "
            "http://127.0.0.1:8080 and start the agent again."
        )
    port = url.port or 80

    def make(container: str, labels: dict[str, str]) -> ContainerOrder:
        return ContainerOrder(
            name=container,
            image=config.SEARXNG_IMAGE,
            command=[],
            labels=labels,
            ports=[PublishedPort(SEARXNG_PORT_INSIDE, port, "127.0.0.1")],
            mounts=[BindMount(str(settings_written(folder)), "/etc/searxng/settings.yml", True)],
            service=SEARXNG_BOUNDS,
        )

    return ServiceSpec("searxng", config.SEARXNG_IMAGE, port, "/healthz", make)


def settings_written(folder: Path) -> Path:
    """The shipped settings with a secret of this node, made once; whoever edits the file is not overruled.

    Its folder is the agent's own; the file itself must be readable for the user inside.
    """
    path = folder / "searxng" / "settings.yml"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        yaml = YAML()
        settings = yaml.load(SHIPPED)
        settings["server"]["secret_key"] = secrets.token_hex(32)
        unfinished = path.with_suffix(".new")
        with unfinished.open("w") as file:
            yaml.dump(settings, file)
        unfinished.chmod(0o644)
        unfinished.rename(path)
    return path


SPECS: dict[str, Callable[[Path], ServiceSpec]] = {"searxng": _searxng}
