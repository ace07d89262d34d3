"""Taking a container that somebody else started under watch, and giving it back."""

from __future__ import annotations

import json
from dataclasses import replace

import structlog

from models_app.node.adopted import Adopted, AdoptionRefused, AdoptOrder, probe_chosen
from models_app.node.facts import Facts
from models_app.node.identity import INSTALLATION
from models_app.node.observer import Observer
from models_app.node.tracked import RUNNING_STATES
from sparkweb.adapters import engine_http
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import DockerTrouble, EngineUnavailable
from sparkweb.adapters.docker_types import ListedContainer

log = structlog.get_logger(__name__)

ASK_SECONDS = 2.0
PORTS_ASKED = 4
NAMES_READ = 200


class Adoptions:
    """All adoptions of one node. Any number of threads may call."""

    def __init__(self, engine: DockerEngine, facts: Facts, observer: Observer, adopted: Adopted) -> None:
        self._engine = engine
        self._facts = facts
        self._observer = observer
        self._adopted = adopted

    def adopt(self, order: AdoptOrder) -> None:
        """Watch a container for a member, if it serves the member's definition.

        Why not is told as the refusal of a start. A second call for the same member changes nothing.
        """
        if not self._facts.fence(order.launch, order.generation):
            log.info("adoption dropped: a newer generation was seen", member=order.member)
            return
        known = self._adopted.container_of(order.member)
        try:
            if known is not None and any(one.id == known for one in self._engine.containers()):
                return
            found = self._found(order)
            probe = probe_chosen(order, self._asked(order, found))
            self._adopted.add(found.id, replace(order.identity, probe=probe))
        except EngineUnavailable as trouble:
            log.warning("container not adopted yet", member=order.member, reason=str(trouble))
        except DockerTrouble as trouble:
            if known is not None:
                self._adopted.drop(known)
            self._facts.refused(order.identity, trouble.code, str(trouble))
        finally:
            self._observer.look_now()

    def release(self, launch: str, member: str, generation: int) -> None:
        """Leave a member's container alone. It goes on as it is."""
        if not self._facts.fence(launch, generation):
            log.info("release dropped: a newer generation was seen", member=member)
        elif container_id := self._adopted.container_of(member):
            self._adopted.drop(container_id)
            self._observer.look_now()

    def _found(self, order: AdoptOrder) -> ListedContainer:
        found = next((one for one in self._engine.containers() if one.id == order.container_id), None)
        if found is None:
            raise AdoptionRefused(f"There is no container {order.container_id[:12]} on this node any more.")
        if INSTALLATION in found.labels:
            raise AdoptionRefused(f"{found.name} was started by SparkWeb; its own launch looks after it.")
        if found.state not in RUNNING_STATES:
            raise AdoptionRefused(f"{found.name} does not run: it is {found.state}.")
        return found

    def _asked(self, order: AdoptOrder, found: ListedContainer) -> dict[int, list[str] | None]:
        """What /v1/models lists on each of its ports, the definition's first; four are asked."""
        ports = sorted(found.host_ports, key=lambda port: port != order.probe.port)
        return {port: models_listed(order.probe.host, port) for port in ports[:PORTS_ASKED]}


def models_listed(host: str, port: int) -> list[str] | None:
    """The names in a server's /v1/models; None where it gives no such list within two seconds."""
    try:
        status, body = engine_http.ask(host, port, "/v1/models", ASK_SECONDS)
        if status != 200:
            return None
        return [str(model["id"]) for model in json.loads(body)["data"][:NAMES_READ]]
    except (*engine_http.HTTP_ERRORS, ValueError, KeyError, TypeError):
        return None
