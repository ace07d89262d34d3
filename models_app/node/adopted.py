"""Containers that SparkWeb did not start and was asked to look after.

Nothing is written on such a container: which they are stands in a file of the
agent, so that the next agent knows them too.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from models_app.engines.spec import ProbeSpec
from models_app.node.identity import Identity
from models_app.node.ollama import is_listed
from sparkweb.adapters.docker_errors import DockerTrouble

log = structlog.get_logger(__name__)

NAMES_SHOWN = 5


class AdoptionRefused(DockerTrouble):
    """A container that cannot be adopted, in words."""

    code = "adoption_refused"


@dataclass(frozen=True)
class AdoptOrder:
    """Which container shall belong to which member.

    `names` are those under which its engine may list the model; `probe` is how the
    definition asks, on the definition's own port.
    """

    launch: str
    member: str
    generation: int
    slug: str
    container_id: str
    names: list[str]
    probe: ProbeSpec

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AdoptOrder:
        """Read an order; further keys are for others. Raises KeyError, TypeError."""
        fields = {name: data[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "probe": ProbeSpec(**fields["probe"])})

    @property
    def identity(self) -> Identity:
        return Identity(self.launch, self.member, self.generation, self.slug, self.probe)


def probe_chosen(order: AdoptOrder, answers: Mapping[int, list[str] | None]) -> ProbeSpec:
    """How to ask a container, by what its ports listed (None: no model list came from there). Pure.

    The port that lists the model; else the definition's own port, if nothing there says
    otherwise: it may still load. Raises AdoptionRefused.
    """
    for port, listed in answers.items():
        for name in order.names:
            if listed and _lists(order, name, listed):
                return replace(order.probe, port=port, model=name if order.probe.model else "")
    if order.probe.port in answers and answers[order.probe.port] is None:
        return order.probe
    said = "; ".join(_said(port, listed) for port, listed in answers.items())
    raise AdoptionRefused(
        f"It does not serve {order.slug}: {said or 'it publishes no port of this node'}. "
        f"The definition expects {' or '.join(order.names)}, or port {order.probe.port}."
    )


def _lists(order: AdoptOrder, name: str, listed: list[str]) -> bool:
    return is_listed(name, listed) if order.probe.kind == "ollama" else name in listed


def _said(port: int, listed: list[str] | None) -> str:
    if listed is None:
        return f"port {port} gave no model list"
    return f"port {port} lists {', '.join(listed[:NAMES_SHOWN]) or 'no model'}"


class Adopted:
    """The adopted containers of one node, by id, in a file. Any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known = _read(path)

    def identity(self, container_id: str) -> Identity | None:
        """Whose an adopted container is; None for all others."""
        return self._known.get(container_id)

    def container_of(self, member: str) -> str | None:
        """The id of a member's container."""
        known = self._known
        return next((key for key, identity in known.items() if identity.member == member), None)

    def add(self, container_id: str, identity: Identity) -> None:
        """Remember a container. Raises AdoptionRefused where that cannot be written down."""
        try:
            self._write(lambda known: {**known, container_id: identity})
        except OSError as error:
            raise AdoptionRefused(f"The agent cannot write {self._path}: {error.strerror}.") from error

    def drop(self, container_id: str) -> None:
        """Leave a container alone from now on. One that cannot be unwritten is given back again later."""
        try:
            self._write(
                lambda known: {key: identity for key, identity in known.items() if key != container_id}
            )
        except OSError as error:
            log.warning("adoption not forgotten", container=container_id[:12], reason=str(error))

    def _write(self, change: Callable[[dict[str, Identity]], dict[str, Identity]]) -> None:
        with self._lock:
            known = change(self._known)
            if known == self._known:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps({key: asdict(identity) for key, identity in known.items()}))
            fresh.replace(self._path)
            self._known = known


def _read(path: Path) -> dict[str, Identity]:
    try:
        stored = json.loads(path.read_text())
        return {
            str(key): Identity(**{**fields, "probe": ProbeSpec(**fields["probe"])})
            for key, fields in stored.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("adopted containers not read", path=str(path), reason=str(error))
        return {}
