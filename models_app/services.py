"""Start, stop and restart models; keep the catalogue. Every change is audited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from django.db import IntegrityError, transaction

from metrics_app.models import Node
from models_app.attempts import attempt_again, attempt_begin, members_stop, port_refusal
from models_app.catalogue import Catalogue, CatalogueEntry, CatalogueError, catalogue_dump, catalogue_parse
from models_app.changes import FieldChange, field_changes
from models_app.conditions import Free, memory_free
from models_app.definition_changes import change_note, picture, stored_picture
from models_app.definition_checks import settings_check
from models_app.exceptions import CatalogueInvalid, LaunchRefused
from models_app.fit import Fit
from models_app.foreign import restart_refuse, stop_confirmed
from models_app.members import launches_of_node
from models_app.memory import memory_fit, memory_note, short_refusal
from models_app.models import (
    CatalogueDefaults,
    Desired,
    Launch,
    LaunchMember,
    LaunchState,
    ModelDefinition,
)
from models_app.models_changes import ChangeKind
from models_app.placement import nodes_chosen
from models_app.planning import with_overlay
from models_app.preflights import preflight_require
from models_app.start_checks import start_check
from models_app.storage_room import launch_storage_check
from models_app.transitions import event_add, launch_move
from models_app.weights import weights_ask_everywhere
from sparkweb.accounts.actor import Actor, audit


def launch_create(
    *,
    definition: ModelDefinition,
    node: Node,
    actor: Actor,
    force_reason: str = "",
    followers: Sequence[Node] = (),
    overlay: dict[str, Any] | None = None,
    corrects: str = "",
) -> tuple[Launch, bool]:
    """Ask for a definition to run on a node, and on `followers` too if its model lies on several.

    `overlay` holds settings of this launch alone (None takes one back), `corrects`
    names the failed launch that they correct.
    Without `followers` they are chosen where there is no choice. Returns the
    launch, and False if it was live already on one of them. Committed before it
    returns; the nodes are nudged on commit. Raises LaunchRefused:
    definition_disabled, engine_single_node, nodes_wanted, settings_invalid,
    node_offline, being_deleted, port_in_use; and unless there is a `force_reason`:
    memory_short, disk_short, preflight_failed, preflight_busy.
    """
    if live := launch_live(definition, node):
        return live, False
    nodes = nodes_chosen(definition, node, followers)
    for one in nodes:
        if live := launch_live(definition, one):
            return live, False
    planned = with_overlay(definition, overlay or {})
    start_check(planned, nodes)
    for one in nodes:
        launch_storage_check(planned, one, forced=bool(force_reason))
    found = [memory_fit(planned, one) for one in nodes]
    short = [one for one in found if not one.can_start]
    if short and not force_reason:
        raise short_refusal(definition, short[0])
    if len(nodes) > 1 and not force_reason:
        preflight_require(definition=planned, nodes=nodes, actor=actor)
    own = {"settings_overlay": overlay or {}, "corrects": corrects}
    free = memory_free(nodes)
    try:
        return _launch_write(definition, nodes, actor, force_reason, found[0], free, own), True
    except IntegrityError:
        for one in nodes:
            if live := launch_live(definition, one):
                return live, False
        raise port_refusal(definition, nodes) from None


def launch_live(definition: ModelDefinition, node: Node) -> Launch | None:
    """Return the launch of a definition on a node, at whatever rank, that has not ended."""
    return launches_of_node(node).filter(definition=definition, live=True).first()


@transaction.atomic
def _launch_write(
    definition: ModelDefinition,
    nodes: Sequence[Node],
    actor: Actor,
    force_reason: str,
    found: Fit,
    free: Free,
    own: dict[str, Any],
) -> Launch:
    launch = launch_row_make(definition, nodes[0], actor, found, force_reason, own=own)
    attempt_begin(launch, free, nodes)
    return launch


def launch_row_make(
    definition: ModelDefinition,
    node: Node,
    actor: Actor,
    found: Fit,
    force_reason: str = "",
    waits_for: str = "",
    own: dict[str, Any] | None = None,
) -> Launch:
    """Write the wish alone, with audit and timeline; its first attempt is begun by the caller.

    `own`: settings_overlay and corrects, as launch_create has them.
    """
    launch = Launch.objects.create(
        definition=definition,
        definition_slug=definition.slug,
        engine=definition.engine,
        node=node,
        node_name=node.name,
        requested_by=actor.user,
        forced_reason=force_reason[:300],
        waits_for=waits_for[:300],
        **(own or {}),
    )
    memory_note(launch, found)
    audit(actor, "launch_start", launch, launch=launch.uid, force_reason=force_reason, **(own or {}))
    forced = f", forced: {force_reason}" if force_reason else ""
    event_add(launch, "requested", f"Start requested by {actor.label}{forced}", "", launch.state, actor.label)
    if found.verdict == "tight":
        event_add(launch, "memory", found.sentence.capitalize())
    return launch


def launch_stop(*, launch: Launch, actor: Actor, confirm: str = "") -> Launch:
    """Ask for a launch to end. A launch that ended already stays as it is.

    A launch whose container never came to be (waiting for its next attempt)
    is stopped at once. Raises LaunchRefused confirm_foreign for an adopted one,
    unless `confirm` names its container.
    """
    stop_confirmed(launch, confirm)
    return _launch_end(launch, actor, "launch_stop", "Stop", restart=False)


def launch_restart(*, launch: Launch, actor: Actor) -> Launch:
    """Ask for a new attempt of a live launch: stop its containers, then start again.

    Raises LaunchRefused `not_live` for a launch that ended: start it anew; and
    `adopted_foreign` for a container that somebody else started.
    """
    restart_refuse(launch)
    if not launch.live:
        raise LaunchRefused(f"{launch} has ended; start it instead", "not_live")
    return _launch_end(launch, actor, "launch_restart", "Restart", restart=True)


@transaction.atomic
def _launch_end(launch: Launch, actor: Actor, action: str, word: str, *, restart: bool) -> Launch:
    asked = Launch.objects.filter(pk=launch.pk, live=True)
    if not restart:
        asked = asked.exclude(desired=Desired.STOPPED)
    launch.refresh_from_db()
    changed = asked.filter(generation=launch.generation).update(
        generation=launch.generation + 1,
        desired=Desired.RUNNING if restart else Desired.STOPPED,
        restart_wanted=restart,
        retry_at=None,
    )
    if not changed:
        return launch
    launch.refresh_from_db()
    audit(actor, action, launch, launch=launch.uid)
    members = list(LaunchMember.objects.filter(attempt__launch=launch, live=True))
    if not members and not restart:
        launch_move(launch, LaunchState.STOPPED, message=f"Stopped by {actor.label}", actor_label=actor.label)
    elif not members:
        attempt_again(launch, f"Restart requested by {actor.label}")
    else:
        if not launch_move(
            launch,
            LaunchState.STOPPING,
            message=f"{word} requested by {actor.label}",
            actor_label=actor.label,
        ):
            event_add(launch, "requested", f"{word} requested by {actor.label}", actor_label=actor.label)
        members_stop(launch, members)
    return launch


# The catalogue ------------------------------------------------------------------

ENTRY_FIELDS = [f.name for f in fields(CatalogueEntry)]


@dataclass
class ImportResult:
    """Slugs by what the import did, or would do, with them."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImportLine:
    """One model of a file: new, updated or unchanged, and what would differ."""

    slug: str
    name: str
    verdict: str
    fields: list[FieldChange]


def catalogue_import(
    *, text: bytes, filename: str, actor: Actor, only: set[str] | None = None
) -> ImportResult:
    """Take over a models.yaml whole, or not at all. What it does not name stays as it is.

    `only` names the models to take over; their problems are those of the whole file.
    Raises CatalogueInvalid with every problem by file, line and key.
    """
    catalogue = _parsed(text, filename, only)
    with transaction.atomic():
        known = {row.slug: row for row in ModelDefinition.objects.all()}
        _places_give(catalogue, known)
        result = _import_verdicts(catalogue, known)
        for entry in catalogue.entries:
            if entry.slug not in result.unchanged:
                _entry_store(known.get(entry.slug) or ModelDefinition(), entry, actor)
        _head_store(catalogue)
        audit(actor, "catalogue_import", filename, created=result.created, updated=result.updated)
    return result


def catalogue_preview(*, text: bytes, filename: str, only: set[str] | None = None) -> ImportResult:
    """Say what catalogue_import would do, and do nothing. Raises CatalogueInvalid."""
    catalogue = _parsed(text, filename, only)
    known = {row.slug: row for row in ModelDefinition.objects.all()}
    _places_give(catalogue, known)
    return _import_verdicts(catalogue, known)


def catalogue_lines(*, text: bytes, filename: str) -> list[ImportLine]:
    """Say of each model of a file what an import would do with it. Raises CatalogueInvalid."""
    catalogue = _parsed(text, filename)
    known = {row.slug: row for row in ModelDefinition.objects.all()}
    _places_give(catalogue, known)
    lines = []
    for entry in catalogue.entries:
        row = known.get(entry.slug)
        fresh = ModelDefinition(**{name: getattr(entry, name) for name in ENTRY_FIELDS})
        differs = field_changes(picture(row) if row else None, picture(fresh))
        lines.append(ImportLine(entry.slug, entry.name, _entry_verdict(row, entry), differs))
    return lines


def _places_give(catalogue: Catalogue, known: dict[str, ModelDefinition]) -> None:
    """Keep the file's order where it names every definition; else new ones come after those there are."""
    if known.keys() <= {entry.slug for entry in catalogue.entries}:
        return
    place = max(row.position for row in known.values())
    for entry in catalogue.entries:
        if entry.slug in known:
            entry.position = known[entry.slug].position
        else:
            entry.position = place = place + 1


def _import_verdicts(catalogue: Catalogue, known: dict[str, ModelDefinition]) -> ImportResult:
    result = ImportResult()
    for entry in catalogue.entries:
        getattr(result, _entry_verdict(known.get(entry.slug), entry)).append(entry.slug)
    return result


def _head_store(catalogue: Catalogue) -> None:
    """Keep what stands beside the models; a file without defaults leaves those there are."""
    if "/defaults" in catalogue.key_order or not CatalogueDefaults.objects.exists():
        CatalogueDefaults.objects.update_or_create(
            pk=1,
            defaults={
                "schema_version": catalogue.schema_version,
                "defaults": catalogue.defaults,
                "extra": catalogue.extra,
                "key_order": catalogue.key_order,
            },
        )


def catalogue_export(slugs: Sequence[str] = ()) -> bytes:
    """Return all definitions, or those of `slugs`, as a models.yaml, keys in the order of their file."""
    head = CatalogueDefaults.objects.first() or CatalogueDefaults()
    rows = ModelDefinition.objects.order_by("position", "slug")
    entries = [
        CatalogueEntry(**{name: getattr(row, name) for name in ENTRY_FIELDS})
        for row in rows
        if not slugs or row.slug in slugs
    ]
    return catalogue_dump(
        Catalogue(
            entries=entries,
            schema_version=head.schema_version,
            defaults=head.defaults,
            extra=head.extra,
            key_order=head.key_order,
        )
    )


def _parsed(text: bytes, filename: str, only: set[str] | None = None) -> Catalogue:
    try:
        catalogue = catalogue_parse(text, filename)
    except CatalogueError as error:
        raise CatalogueInvalid([str(problem) for problem in error.problems]) from error
    if only is not None:
        catalogue.entries = [entry for entry in catalogue.entries if entry.slug in only]
    return catalogue


def _entry_verdict(row: ModelDefinition | None, entry: CatalogueEntry) -> str:
    if row is None:
        return "created"
    same = all(getattr(row, name) == getattr(entry, name) for name in ENTRY_FIELDS)
    return "unchanged" if same else "updated"


def _entry_store(row: ModelDefinition, entry: CatalogueEntry, actor: Actor) -> None:
    before = stored_picture(row)
    for name in ENTRY_FIELDS:
        setattr(row, name, getattr(entry, name))
    row.save()
    change_note(row, before, ChangeKind.IMPORTED, actor)


@transaction.atomic
def definition_save(
    *, definition: ModelDefinition, actor: Actor, kind: str = ChangeKind.EDITED
) -> ModelDefinition:
    """Store a new or edited definition. Raises ValidationError with a sentence for each field.

    A running launch keeps the settings that it was started with.
    """
    created = definition.pk is None
    if created:
        last = ModelDefinition.objects.order_by("-position").first()
        definition.position = last.position + 1 if last else 0
    definition.full_clean()
    settings_check(definition)
    before = stored_picture(definition)
    definition.save()
    is_birth = created and kind == ChangeKind.EDITED
    change_note(definition, before, ChangeKind.CREATED if is_birth else kind, actor)
    audit(actor, "definition_create" if created else "definition_edit", definition.slug)
    transaction.on_commit(lambda: weights_ask_everywhere(definition))
    return definition


@transaction.atomic
def definition_delete(*, definition: ModelDefinition, actor: Actor) -> None:
    """Delete a definition; its launch history stays. Raises LaunchRefused definition_in_use while it runs."""
    live = Launch.objects.filter(definition=definition, live=True).first()
    if live:
        raise LaunchRefused(
            f"{definition.name} is {live.state} on {live.node_name}; stop it first", "definition_in_use"
        )
    change_note(definition, stored_picture(definition), ChangeKind.DELETED, actor)
    audit(actor, "definition_delete", definition.slug)
    definition.delete()
