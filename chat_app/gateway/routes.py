"""Which engines answer for which name, read once a second; and which of them a request goes to."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from yarl import URL

from chat_app.gateway.errors import GatewayError
from chat_app.gateway.limits import Limit
from chat_app.gateway.threads import DATABASE, Shared
from models_app.models import SERVING_STATES, Desired, Launch, ModelDefinition
from models_app.selectors import launch_progress

FRESH_SECONDS = 1.0
STALE_SECONDS = 3.0
PREFIXES_KEPT = 20_000
HEAD_CHARACTERS, HEAD_ITEMS = 2000, 4
STICKS_UNTIL = 4  # requests more than on the least busy engine
RETRY_SECONDS = 5
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One engine that answers. `model` is its own name for what clients call `name`."""

    launch: str
    name: str
    model: str
    node: str
    base: URL  # http://host:port
    engine: str
    context: int | None


@dataclass(slots=True)
class Table:
    """All that is known of models at one moment. `starting` holds seconds to go, where they are learned."""

    upstreams: dict[str, list[Upstream]] = field(default_factory=dict)
    starting: dict[str, int | None] = field(default_factory=dict)
    defined: dict[str, str] = field(default_factory=dict)  # name to what stands in the way
    created: dict[str, int] = field(default_factory=dict)

    def only(self, limits: tuple[Limit, ...]) -> Table:
        """Return it without the models that some limit forbids."""
        if not any(limit.models for limit in limits):
            return self
        allowed = {
            name: found for name, found in self.upstreams.items() if all(one.allows(name) for one in limits)
        }
        return replace(self, upstreams=allowed)


class Routes:
    """Picks engines. For one event loop."""

    def __init__(self) -> None:
        self._table, self._at = Table(), -1e9
        self._reads = Shared()
        self.running: Counter[str] = Counter()  # requests under way, by launch
        self._prefixes: dict[bytes, str] = {}

    async def table(self) -> Table:
        """Return what is known, at most some seconds old."""
        age = time.monotonic() - self._at
        if age > STALE_SECONDS:
            await self._reads.result("table", self._read)
        elif age > FRESH_SECONDS:
            DATABASE.spawn(self._reads.result("table", self._read))
        return self._table

    async def _read(self) -> None:
        try:
            self._table = await DATABASE.run(table_read)
        except DatabaseError:
            if self._at < 0:
                raise GatewayError(
                    503, "database_unavailable", "The database does not answer.", retry_after=5
                ) from None
        self._at = time.monotonic()

    async def candidates(self, name: str, body: dict[str, Any]) -> list[Upstream]:
        """Return the engines for a name, best first. Raises GatewayError where none answers."""
        table = await self.table()
        found = table.upstreams.get(name)
        if not found:
            raise _none(table, name)
        if len(found) == 1:
            return found
        prefix = prefix_of(body)
        ordered = sorted(found, key=lambda one: self.running[one.launch])
        liked = self._prefixes.get(prefix)
        for one in ordered:
            if (
                one.launch == liked
                and self.running[one.launch] <= self.running[ordered[0].launch] + STICKS_UNTIL
            ):
                ordered.remove(one)
                ordered.insert(0, one)
                break
        self._prefixes[prefix] = ordered[0].launch
        if len(self._prefixes) > PREFIXES_KEPT:
            del self._prefixes[next(iter(self._prefixes))]
        return ordered


def prefix_of(body: dict[str, Any]) -> bytes:
    """Return a digest of how a conversation begins: an engine that has read it answers sooner."""
    messages = body.get("messages")
    begin = messages[:2] if isinstance(messages, list) else [body.get("prompt"), body.get("input")]
    return hashlib.blake2b(_head(begin).encode(errors="replace"), digest_size=12).digest()


def _head(value: Any, depth: int = 5) -> str:
    """The beginnings of what a JSON value holds: bounded, for a body may have many megabytes."""
    if isinstance(value, str):
        return value[:HEAD_CHARACTERS]
    if depth and isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return "\n".join(_head(one, depth - 1) for one in itertools.islice(inner, HEAD_ITEMS))
    return ""


def table_read() -> Table:
    """Read definitions and live launches from the database."""
    table = Table()
    for definition in ModelDefinition.objects.filter(enabled=True):
        table.defined[definition.slug] = f"{definition.name} is not running. Start it on the page Models."
        table.created[definition.slug] = int(definition.created_at.timestamp())
    launches = Launch.objects.filter(live=True, desired=Desired.RUNNING, definition__isnull=False)
    for launch in launches.select_related("definition", "node").prefetch_related("attempts__members"):
        _launch_take(table, launch)
    return table


def _launch_take(table: Table, launch: Launch) -> None:
    name = launch.definition_slug
    if launch.state not in SERVING_STATES:
        left = launch_progress(launch).times.to_go
        seconds = left.left.median_seconds if left and left.left else None
        table.starting[name] = None if seconds is None else max(1, round(seconds))
        return
    upstream = _upstream(launch)
    if upstream is not None:
        table.upstreams.setdefault(name, []).append(upstream)
    else:
        table.defined[name] = (
            f"{name} runs on {launch.node_name}, which lets only itself in. "
            "Publish it on the fabric link, or run it on the node of this address."
        )


def _upstream(launch: Launch) -> Upstream | None:
    attempts = list(launch.attempts.all())
    members = [member for attempt in attempts[:1] for member in attempt.members.all() if member.live]
    first = min(members, key=lambda member: member.rank, default=None)
    if first is None or launch.definition is None:
        return None
    probe = first.spec.get("probe") or {}
    host = _host(launch, first.spec, first.port)
    if host is None:
        return None
    return Upstream(
        launch=launch.uid,
        name=launch.definition_slug,
        model=probe.get("model") or launch.definition_slug,
        node=launch.node_name,
        base=URL.build(scheme="http", host=host, port=first.port),
        engine=launch.engine,
        context=launch.definition.max_context_length,
    )


def _host(launch: Launch, spec: dict[str, Any], port: int) -> str | None:
    """Where this machine reaches an engine: loopback on its own node, else an address it is published on."""
    if launch.node_name == settings.NODE_NAME:
        return str((spec.get("probe") or {}).get("host") or LOOPBACK)
    addresses = [str(one.get("address")) for one in _dicts(spec.get("ports")) if one.get("host") == port]
    return next((one for one in addresses if one not in (LOOPBACK, "0.0.0.0", "::")), None)  # noqa: S104


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _none(table: Table, name: str) -> GatewayError:
    if name in table.starting:
        seconds = table.starting[name]
        words = f"about {seconds} s to go" if seconds else "how long it takes is not known yet"
        return GatewayError(
            503, "model_loading", f"{name} is starting: {words}.", "model", seconds or RETRY_SECONDS
        )
    if name in table.defined:
        return GatewayError(404, "model_not_found", table.defined[name], "model")
    ready = ", ".join(sorted(table.upstreams)) or "none is running"
    return GatewayError(
        404, "model_not_found", f"There is no model {name[:80]!r} here; ready: {ready}.", "model"
    )
