"""What pages and the API read about models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from metrics_app.selectors import node_snapshots
from models_app.engine_live import EngineFigure, engine_figures
from models_app.log_archive import log_is_whole
from models_app.members import launches_of_node, member_node_name, newest_members
from models_app.models import Launch, LaunchMember, LaunchState, ModelDefinition
from models_app.stage_clock import sighting_of
from models_app.start_stages import STARTING_STATES, StartTimes, start_times
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import Entry, StreamsDown

ATTEMPTS = ("attempts__members__node", "attempts__stages")
COMPAT = {
    **dict.fromkeys((LaunchState.READY, LaunchState.DEGRADED), "running"),
    **dict.fromkeys(STARTING_STATES, "starting"),
}
LOG_LINES_MOST = 1000
ATTENTION_FOR = timedelta(days=1)


@dataclass(frozen=True)
class Progress:
    """How far a start is. Bytes and percent are None where nobody knows them."""

    stage: str
    message: str
    done_bytes: int | None
    total_bytes: int | None
    percent: float | None
    elapsed_seconds: float
    timeout_seconds: int
    times: StartTimes


@dataclass(frozen=True)
class DefinitionCard:
    """A definition with its live or newest launch, for one card or row."""

    definition: ModelDefinition
    launch: Launch | None
    state: str
    compat_status: str
    member: LaunchMember | None
    progress: Progress | None
    actual_memory_bytes: int | None
    start_blocked: str | None
    engine: list[EngineFigure] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return bool(self.launch and self.launch.live)

    @property
    def needs_attention(self) -> bool:
        """Its last launch failed within a day, and nobody has started it since."""
        launch = self.launch
        if launch is None or launch.state not in (LaunchState.FAILED, LaunchState.PARKED):
            return False
        return launch.ended_at is not None and timezone.now() - launch.ended_at < ATTENTION_FOR


def live_on_node(node: Node) -> list[str]:
    """Return the definitions whose launches on a node have not ended."""
    launches = launches_of_node(node).filter(live=True)
    return list(launches.order_by("definition_slug").values_list("definition_slug", flat=True))


def live_across(nodes: Sequence[Node]) -> list[str]:
    """Return the definitions of live launches that lie over two of these nodes or more."""
    members = LaunchMember.objects.filter(
        node__in=[node.pk for node in nodes], live=True, attempt__launch__live=True
    )
    counted = members.values("attempt__launch__definition_slug", "attempt__launch")
    over = counted.annotate(places=Count("node", distinct=True)).filter(places__gte=2)
    return sorted({row["attempt__launch__definition_slug"] for row in over})


def compat_status(state: str) -> str:
    """Return running, starting, stopped or not_created, as older clients know it."""
    return "not_created" if state == "not_created" else COMPAT.get(LaunchState(state), "stopped")


def definition_cards(node: Node | None = None) -> list[DefinitionCard]:
    """Return every definition with its live or newest launch (on `node`, or on any), in catalogue order."""
    return [
        definition_card(row, newest, entries, blocked) for row, newest, entries, blocked in _card_rows(node)
    ]


def definition_card_of(definition: ModelDefinition, node: Node | None = None) -> DefinitionCard:
    """Return one definition's card."""
    launches = launches_of_node(node) if node else Launch.objects.all()
    launches = launches.filter(definition=definition).prefetch_related(*ATTEMPTS)
    newest = launches.order_by("-live", "-pk").first()
    entries = _entries(_node_names(newest) if newest else set())
    return definition_card(definition, newest, entries, _blocked(definition, node))


def _card_rows(node: Node | None) -> list[tuple[ModelDefinition, Launch | None, dict[str, Any], str | None]]:
    of_definition = Launch.objects.filter(definition=OuterRef("pk"), **({"node": node} if node else {}))
    newest = of_definition.order_by("-live", "-pk").values("pk")[:1]
    definitions = list(ModelDefinition.objects.annotate(newest=Subquery(newest)))
    if node:
        _followed_take(definitions, node)
    wanted = Launch.objects.filter(pk__in=[row.newest for row in definitions if row.newest])
    launches = {launch.pk: launch for launch in wanted.prefetch_related(*ATTEMPTS)}
    entries = _entries({name for launch in launches.values() if launch.live for name in _node_names(launch)})
    return [(row, launches.get(row.newest), entries, _blocked(row, node)) for row in definitions]


def _followed_take(definitions: list[Any], node: Node) -> None:
    """Where a definition runs on `node` only as another node's follower, take that launch."""
    followed = LaunchMember.objects.filter(node=node, live=True, rank__gt=0)
    pairs = followed.values_list("attempt__launch__definition", "attempt__launch")
    launches = dict(pairs)
    for row in definitions:
        row.newest = launches.get(row.pk, row.newest)


def _node_names(launch: Launch) -> set[str]:
    return {launch.node_name, *map(member_node_name, newest_members(launch))}


def _entries(node_names: set[str]) -> dict[str, Any]:
    """Return the newest observation by member uid of the named nodes."""
    snapshots = node_snapshots(sorted(node_names))
    return {
        entry["member"]: entry
        for snapshot in snapshots.values()
        if snapshot
        for entry in snapshot["report"].get("launches") or []
        if isinstance(entry, dict) and "member" in entry
    }


def _blocked(definition: ModelDefinition, node: Node | None) -> str | None:
    if not definition.enabled:
        return "It is disabled"
    if node and node.status in (NodeStatus.OFFLINE, NodeStatus.NEVER):
        return f"{node} is {node.get_status_display().lower()}"
    return None


def definition_card(
    definition: ModelDefinition, launch: Launch | None, entries: dict[str, Any], blocked: str | None
) -> DefinitionCard:
    """Put one card together from loaded rows."""
    members = newest_members(launch) if launch else []
    seen = [entries[member.uid] for member in members if member.uid in entries]
    held = [entry.get(key) for entry in seen for key in ("memory_bytes", "gpu_memory_bytes")]
    known = [value for value in held if value is not None]
    state = launch.state if launch else "not_created"
    return DefinitionCard(
        definition=definition,
        launch=launch,
        state=state,
        compat_status=compat_status(state),
        member=members[0] if members else None,
        progress=_progress(launch, seen) if launch and launch.state in STARTING_STATES else None,
        actual_memory_bytes=sum(known) if known and launch and launch.live else None,
        start_blocked=blocked,
        engine=engine_figures(_first_engine(seen)) if launch and launch.is_serving else [],
    )


def _first_engine(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((entry["engine"] for entry in entries if entry.get("engine")), None)


def newest_member(launch: Launch) -> LaunchMember | None:
    """Return the member of the newest attempt, of several the one with rank 0."""
    return next(iter(newest_members(launch)), None)


def launch_progress(launch: Launch) -> Progress:
    """Say how far a launch is, from its node's newest report."""
    entries = _entries(_node_names(launch))
    members = newest_members(launch)
    return _progress(launch, [entries[one.uid] for one in members if one.uid in entries])


def _slowest(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The observation whose stage is shown for all members: the first that names one."""
    return next((entry for entry in entries if entry.get("stage")), entries[0] if entries else None)


def _progress(launch: Launch, entries: list[dict[str, Any]]) -> Progress:
    stage = (_slowest(entries) or {}).get("stage") or {}
    sighting = sighting_of(entries)
    name = sighting.stage if sighting else ""
    done, total = stage.get("done_bytes"), stage.get("total_bytes")
    attempts = list(launch.attempts.all())
    since = attempts[0].started_at if attempts else launch.created_at
    return Progress(
        stage=name or launch.state,
        message=stage.get("message") or _waits(launch) or launch.get_state_display(),
        done_bytes=done,
        total_bytes=total,
        percent=round(100 * done / total, 1) if total and done is not None else None,
        elapsed_seconds=round((timezone.now() - since).total_seconds(), 1),
        timeout_seconds=settings.STAGE_LIMIT_SECONDS.get(name, settings.STAGE_LIMIT_SECONDS["load"]),
        times=start_times(launch, name),
    )


def _waits(launch: Launch) -> str:
    return f"Waits for {launch.waits_for}" if launch.waits_for else ""


def launches_filtered(
    *,
    state: str = "",
    definition: str = "",
    node: str = "",
    person: str = "",
    text: str = "",
    since: Any = None,
    until: Any = None,
) -> QuerySet[Launch]:
    """Return launches, newest first, that match every filter given."""
    rows = Launch.objects.select_related("requested_by", "definition", "node").prefetch_related(
        "attempts__members", "attempts__stages"
    )
    if state:
        rows = rows.filter(live=True) if state == "live" else rows.filter(state=state)
    if definition:
        rows = rows.filter(definition_slug=definition)
    if node:
        followed = LaunchMember.objects.filter(node__name=node, rank__gt=0)
        rows = rows.filter(Q(node_name=node) | Q(pk__in=followed.values("attempt__launch")))
    if person:
        rows = rows.filter(requested_by__username=person)
    if text:
        rows = rows.filter(definition_slug__icontains=text) | rows.filter(failure_reason__icontains=text)
    if since:
        rows = rows.filter(created_at__date__gte=since)
    if until:
        rows = rows.filter(created_at__date__lte=until)
    return rows


def log_stream(node_name: str, member_uid: str) -> str:
    return f"log:{node_name}:{member_uid}"


def log_tail(launch: Launch, lines: int) -> list[str]:
    """Return the last lines (at most 1,000) of a launch's newest container, ended or not."""
    member, lines = newest_member(launch), max(1, min(lines, LOG_LINES_MOST))
    if member is None:
        return []
    if member.last_log:
        return member.last_log.splitlines()[-lines:]
    return _stream_tail(log_stream(member_node_name(member), member.uid), lines)


def log_rest(member: LaunchMember, lines: int) -> list[str]:
    """Return the last lines of a container that may be newer than its stored pieces, each with its time.

    Of one that has ended and whose pieces did not come to their end, also those
    without a time that its end brought.
    """
    if log_is_whole(member):
        return []
    found = _stream_tail(log_stream(member_node_name(member), member.uid), lines)
    return found or member.last_log.splitlines()[-lines:]


def _stream_tail(stream: str, lines: int) -> list[str]:
    try:
        items = shared_streams().read({stream: "0"}, count=4000)
    except StreamsDown:
        return []
    found: list[str] = []
    for item in items:
        if isinstance(item, Entry):
            found = [] if item.data.get("reset") else (found + item.data.get("lines", []))[-lines:]
    return found
