"""Schedules: what should run follows from the clock; what people change holds until the next boundary."""

from __future__ import annotations

from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from metrics_app.models import Node
from models_app.members import launches_of_node
from models_app.models import Desired, Launch, ModelDefinition
from models_app.models_schedules import Cause, Mode, NodeBoot, Schedule, Turn
from models_app.schedule_clock import active_since
from models_app.turns import Step, start_step, stop_step, turn_advance
from sparkweb.accounts.actor import Actor, audit

KEEP_TURNS = 200


def schedule_zone() -> tzinfo:
    """Return the zone of the wall clock that schedules go by: SPARKWEB_TIME_ZONE."""
    return ZoneInfo(settings.TIME_ZONE)


# Turns that follow from the clock -----------------------------------------------


def schedules_round(now: datetime) -> None:
    """Open a turn on each node whose windows began or ended, or that booted, and advance the open ones."""
    scheduled = {*Schedule.objects.values_list("node", flat=True), *_with_windows()}
    boots = dict(NodeBoot.objects.values_list("node", "host_boot"))
    for node in Node.objects.all():
        if node.pk in scheduled:
            schedule_turn(node, now)
        if boots.get(node.pk) != node.host_boot:
            boot_turn(node, now)
    for turn in Turn.objects.filter(ended_at=None).select_related("node").order_by("pk"):
        turn_advance(turn, now)


def _with_windows() -> QuerySet[Turn, int]:
    """Return the nodes that ever had a schedule's turn: the last of theirs may have been deleted since."""
    turns = Turn.objects.filter(cause=Cause.SCHEDULE).order_by()
    return turns.values_list("node", flat=True).distinct()


def active_windows(schedules: list[Schedule], now: datetime) -> dict[int, str]:
    """Return, by schedule, the name of the window that holds now: its revision and when it began."""
    zone = schedule_zone()
    active = {}
    for schedule in schedules:
        if since := active_since(schedule.window, now, zone):
            active[schedule.pk] = f"{schedule.pk}.{schedule.revision}@{since:%Y-%m-%dT%H:%MZ}"
    return active


def schedule_turn(node: Node, now: datetime) -> Turn | None:
    """Open a turn when other windows hold than at the last one. The same clock opens none twice."""
    schedules = list(Schedule.objects.filter(node=node, enabled=True).prefetch_related("definitions"))
    active = active_windows(schedules, now)
    last = Turn.objects.filter(node=node, cause=Cause.SCHEDULE).first()
    before = list(last.active) if last else []
    if sorted(active.values()) == sorted(before):
        return None
    holding = [schedule for schedule in schedules if schedule.pk in active]
    begun = [schedule for schedule in holding if active[schedule.pk] not in before]
    over = [schedule for schedule in schedules if schedule.pk not in active]
    stops = _stops(node, holding, begun, over)
    turn = Turn(
        node=node,
        cause=Cause.SCHEDULE,
        title=_title(begun, over, before),
        active=sorted(active.values()),
        steps=[*(stop_step(launch) for launch in stops), *_starts(begun)],
        drain_minutes=max((schedule.drain_minutes for schedule in begun or over), default=0),
        began_at=now,
    )
    with transaction.atomic():
        Turn.objects.filter(node=node, ended_at=None).update(ended_at=now)
        turn.save()
    return turn


def _stops(node: Node, holding: list[Schedule], begun: list[Schedule], over: list[Schedule]) -> list[Launch]:
    """Return what is to go: what windows that are over had started, and the rest if only a set may run."""
    wanted = {definition.pk for schedule in holding for definition in schedule.definitions.all()}
    going = launches_of_node(node).filter(live=True, desired=Desired.RUNNING, adopted_foreign=False)
    going = going.exclude(definition__in=wanted).exclude(definition__pinned=True)
    if not any(schedule.mode == Mode.EXCLUSIVE for schedule in begun):
        going = going.filter(schedule__in=over)
    return list(going.order_by("pk"))


def _starts(begun: list[Schedule]) -> list[Step]:
    wanted: dict[ModelDefinition, int] = {}
    for schedule in begun:
        for definition in schedule.definitions.all():
            wanted.setdefault(definition, schedule.pk)
    return [start_step(definition, schedule) for definition, schedule in wanted.items()]


def _title(begun: list[Schedule], over: list[Schedule], before: list[str]) -> str:
    if begun:
        return f"schedule {', '.join(schedule.name for schedule in begun)}"[:200]
    held = {int(name.split(".")[0]) for name in before}
    ended = [schedule.name for schedule in over if schedule.pk in held]
    return f"end of schedule {', '.join(ended)}"[:200] if ended else "schedule taken away"


# A boot -------------------------------------------------------------------------


def boot_turn(node: Node, now: datetime) -> Turn | None:
    """Open a turn when a node reports another boot than before: start what is marked for it.

    What ran before comes back by itself and is waited for. While a schedule lets
    only its own set run there, it decides and nothing else is started.
    """
    if not node.host_boot:
        return None
    seen = NodeBoot.objects.filter(node=node).first()
    if seen and seen.host_boot == node.host_boot:
        return None
    definitions = boot_definitions(node) if seen and not _schedule_decides(node, now) else []
    steps = [start_step(definition, None) for definition in definitions]
    with transaction.atomic():
        boot = {"host_boot": node.host_boot, "seen_at": now}
        NodeBoot.objects.update_or_create(node=node, defaults=boot)
        if not steps:
            return None
        return Turn.objects.create(
            node=node, cause=Cause.BOOT, title="start on boot", steps=steps, began_at=now
        )


def boot_definitions(node: Node) -> list[ModelDefinition]:
    """Return what starts when a node boots: marked, enabled, and last run there.

    What never ran is started too where there is only this node.
    """
    only = Node.objects.count() == 1
    found = []
    for definition in ModelDefinition.objects.filter(start_on_boot=True, enabled=True):
        last = Launch.objects.filter(definition=definition).order_by("-pk").first()
        if (last is None and only) or (last is not None and last.node_id == node.pk):
            found.append(definition)
    return found


def _schedule_decides(node: Node, now: datetime) -> bool:
    exclusive = Schedule.objects.filter(node=node, enabled=True, mode=Mode.EXCLUSIVE)
    return bool(active_windows(list(exclusive), now))


# Changes by people --------------------------------------------------------------


@transaction.atomic
def schedule_save(
    *, schedule: Schedule, actor: Actor, definitions: list[ModelDefinition] | None = None
) -> Schedule:
    """Store a new or changed schedule; it takes effect at once, as if its window began now.

    `definitions` None leaves its set. Raises ValidationError.
    """
    created = schedule.pk is None
    schedule.full_clean()
    if not created:
        schedule.revision += 1
    schedule.save()
    if definitions is not None:
        schedule.definitions.set(definitions)
    audit(actor, "schedule_create" if created else "schedule_edit", schedule.name, when=schedule.when)
    return schedule


@transaction.atomic
def schedule_delete(*, schedule: Schedule, actor: Actor) -> None:
    """Delete a schedule; what it started goes on running."""
    audit(actor, "schedule_delete", schedule.name)
    schedule.delete()


def turns_of(node: Node | None = None) -> QuerySet[Turn]:
    """Return turns, newest first."""
    rows = Turn.objects.select_related("node")
    return rows.filter(node=node) if node else rows


def turns_forget() -> int:
    """Delete all but the newest 200 turns of each node; how many rows."""
    gone = 0
    for node in Node.objects.all():
        old = Turn.objects.filter(node=node).values_list("pk", flat=True)[KEEP_TURNS : KEEP_TURNS + 500]
        newest = Turn.objects.filter(node=node, cause=Cause.SCHEDULE).values_list("pk", flat=True)[:1]
        gone += Turn.objects.filter(pk__in=list(old)).exclude(pk__in=list(newest)).delete()[0]
    return gone
