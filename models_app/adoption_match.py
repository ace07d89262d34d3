"""Which containers can be adopted, and which definitions they may serve. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

# Docker's own words, "0.0.0.0:8000->8000/tcp", as the node reports them.
_PUBLISHED = re.compile(r":(\d{1,5})->\d{1,5}/tcp$")
RUNNING = ("running", "paused", "restarting")


class Served(Protocol):
    """What is asked of a definition."""

    slug: str
    model_id: str
    port: int
    engine: str
    node_count: int


D = TypeVar("D", bound=Served)


def host_ports(container: Mapping[str, Any]) -> list[int]:
    """Return the TCP ports of the node that a reported container publishes, each once, in order."""
    ports = container.get("ports")
    found = (_PUBLISHED.search(str(text)) for text in (ports if isinstance(ports, list) else []))
    return sorted({int(match[1]) for match in found if match})


def not_adoptable(container: Mapping[str, Any]) -> str:
    """Say why a reported container cannot be adopted; "" if it can."""
    name = container.get("name") or "it"
    if container.get("ours") or container.get("foreign"):
        return f"{name} was started by {'SparkWeb' if container.get('ours') else 'another SparkWeb'}"
    if container.get("adopted"):
        return f"{name} is adopted already"
    if container.get("state") not in RUNNING:
        return f"{name} does not run: it is {container.get('state')}"
    if not host_ports(container):
        return f"{name} publishes no TCP port of its node, so that nobody could ask it anything"
    return ""


def cannot_serve(definition: Served) -> str:
    """Say why no container of somebody else can be this definition; "" if one can."""
    if definition.engine == "script":
        return f"{definition.slug} is a script, and no container"
    if definition.node_count > 1:
        return f"{definition.slug} lies on {definition.node_count} nodes"
    return ""


def definitions_by_likelihood(container: Mapping[str, Any], definitions: Iterable[D]) -> list[tuple[D, bool]]:
    """Return the definitions that a container may serve; first, and True, those whose port it publishes."""
    ports = host_ports(container)
    able = [definition for definition in definitions if not cannot_serve(definition)]
    return sorted(((one, one.port in ports) for one in able), key=lambda pair: not pair[1])
