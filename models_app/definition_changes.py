"""The history of definitions: noted with every change, shown, taken back; and drafts of new ones."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction

from models_app.changes import FieldChange, field_changes
from models_app.exceptions import LaunchRefused
from models_app.models import Launch, LaunchMember, ModelDefinition
from models_app.models_changes import ChangeKind, DefinitionChange
from models_app.planning import engine_defaults
from sparkweb.accounts.actor import Actor

# Where it stands in lists and files is no part of what it is.
_LEFT_OUT = {"id", "slug", "position", "key_order", "created_at", "updated_at"}
FIELDS = [field.name for field in ModelDefinition._meta.concrete_fields if field.name not in _LEFT_OUT]
PORT_MOST = 65535


@dataclass(frozen=True)
class ChangeLine:
    """One change as its page shows it; `can_revert`: there is a picture from before, and it is not now's."""

    change: DefinitionChange
    fields: list[FieldChange]
    can_revert: bool


def picture(definition: ModelDefinition) -> dict[str, Any]:
    """Everything that an owner may set of a definition, as JSON."""
    values = {name: getattr(definition, name) for name in FIELDS}
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def stored_picture(definition: ModelDefinition) -> dict[str, Any] | None:
    """The picture of what the database holds of a definition that is about to be stored; None if nothing."""
    row = ModelDefinition.objects.filter(pk=definition.pk).first() if definition.pk else None
    return picture(row) if row else None


def change_note(definition: ModelDefinition, before: dict[str, Any] | None, kind: str, actor: Actor) -> None:
    """Note in the caller's transaction what was made of `before`; nothing where nothing differs."""
    after = None if kind == ChangeKind.DELETED else picture(definition)
    if before == after:
        return
    DefinitionChange.objects.create(
        definition=definition,
        definition_slug=definition.slug,
        kind=kind,
        actor=actor.user,
        actor_label=actor.label,
        via=actor.via,
        before=before,
        after=after,
    )


def change_lines(changes: list[DefinitionChange], now: dict[str, Any] | None) -> list[ChangeLine]:
    """Changes with what differs; `now` is the definition's picture, None if it is deleted."""
    return [
        ChangeLine(
            change,
            field_changes(change.before, change.after),
            change.before is not None and change.before != now,
        )
        for change in changes
    ]


@transaction.atomic
def definition_revert(*, change: DefinitionChange, actor: Actor) -> ModelDefinition:
    """Make of a definition what it was before a change; a deleted one is there again.

    That is a change of its own. Raises LaunchRefused nothing_before, and
    ValidationError when what it was cannot be stored any more.
    """
    from models_app.services import definition_save  # it notes changes here

    if change.before is None:
        raise LaunchRefused(
            f"{change.definition_slug} did not exist before that change; delete it instead", "nothing_before"
        )
    definition = ModelDefinition.objects.filter(slug=change.definition_slug).first()
    definition = definition or ModelDefinition(slug=change.definition_slug)
    for name in FIELDS:
        if name in change.before:
            setattr(definition, name, _value(name, change.before[name]))
    return definition_save(definition=definition, actor=actor, kind=ChangeKind.REVERTED)


def _value(name: str, value: Any) -> Any:
    is_number = name == "estimated_memory_gb" and value is not None
    return Decimal(str(value)) if is_number else value


# Drafts: definitions that are not stored yet, for the form ------------------------


def draft_of_definition(definition: ModelDefinition) -> ModelDefinition:
    """A copy with a name and a port of its own."""
    draft = ModelDefinition(**{name: getattr(definition, name) for name in FIELDS})
    draft.name = f"{definition.name} copy"[:120]
    draft.slug = _slug_free(f"{definition.slug}-copy")
    draft.port = _port_free(definition.port)
    return draft


def draft_of_launch(launch: Launch) -> ModelDefinition:
    """A definition of what a launch's newest attempt really ran with, its image and every setting named.

    Raises LaunchRefused settings_not_kept for launches from before that was kept.
    """
    attempt = launch.attempts.first()
    if attempt is None or not attempt.ran_with:
        raise LaunchRefused(f"What {launch} ran with was not kept", "settings_not_kept")
    draft = ModelDefinition(
        **{name: _value(name, value) for name, value in attempt.ran_with.items() if name in FIELDS}
    )
    member: LaunchMember | None = attempt.members.first()
    draft.image = member.image if member else draft.image
    draft.name = f"{draft.name} as run"[:120]
    draft.description = f"As launch {launch.uid} ran on {launch.node_name}"
    draft.slug = _slug_free(f"{launch.definition_slug}-as-run")
    draft.port = _port_free(draft.port)
    return draft


def ran_with(definition: ModelDefinition) -> dict[str, Any]:
    """The picture of a definition with the defaults of models.yaml among its settings: what a start uses."""
    defaults = {name: value for name, value in engine_defaults(definition.engine).items() if name != "image"}
    return {**picture(definition), "settings": {**defaults, **definition.settings}}


def _slug_free(wanted: str) -> str:
    taken = set(ModelDefinition.objects.values_list("slug", flat=True))
    names = (f"{wanted[:74]}{ending}" for ending in ("", *(f"-{number}" for number in range(2, 10_000))))
    return next(name for name in names if name not in taken)


def _port_free(after: int) -> int:
    """The next port that no definition has; `after` itself is one's."""
    taken = set(ModelDefinition.objects.values_list("port", flat=True)) | {after}
    above = (port for port in range(after + 1, PORT_MOST + 1) if port not in taken)
    return next(above, after)
