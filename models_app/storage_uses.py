"""What of a node's storage definitions and live launches need: by repository, Ollama name and image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from metrics_app.models import Node
from models_app.engines.container import image_chosen
from models_app.engines.inputs import DefinitionData
from models_app.engines.registry import engine_kind
from models_app.models import LaunchMember, ModelDefinition
from models_app.models_storage import StorageItem, StorageKind
from models_app.planning import engine_defaults

Need = tuple[str, str]
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Use:
    """A definition that needs an item; `live` while it runs on the item's node."""

    slug: str
    name: str
    live: bool


def image_reference(name: str) -> str:
    """An image name as Docker lists it: with its tag, without the default registry."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    return short if "@" in short or ":" in short.rpartition("/")[2] else f"{short}:latest"


def ollama_reference(name: str) -> str:
    """An Ollama name with its tag; case does not count."""
    return (name if ":" in name.rpartition("/")[2] else f"{name}:latest").casefold()


def needs(engine: str, model_id: str, image: str, settings: Iterable[Any] = ()) -> set[Need]:
    """What one model needs. Pure. `settings`: values that may name further repositories (a draft model's)."""
    found: set[Need] = {("image", image_reference(image))} if image else set()
    if engine == "ollama":
        return found | {("ollama", ollama_reference(model_id))}
    texts = " ".join(value if isinstance(value, str) else json.dumps(value) for value in settings)
    names = {model_id, model_id.partition(":")[0], *_REPOSITORY.findall(texts)}
    return found | {("hf", name) for name in names if name}


def provides(item: StorageItem) -> set[Need]:
    """What an item is to those who need it. Pure."""
    if item.kind == StorageKind.HF_MODEL:
        return {("hf", item.name)}
    if item.kind == StorageKind.OLLAMA:
        return {("ollama", ollama_reference(item.name))}
    if item.kind == StorageKind.IMAGE:
        return {("image", image_reference(tag)) for tag in item.detail.get("tags") or []}
    return set()


def definition_needs(definition: ModelDefinition) -> set[Need]:
    data = DefinitionData(definition.slug, definition.model_id, definition.port, definition.image)
    defaults = engine_defaults(definition.engine)
    image = image_chosen(engine_kind(definition.engine), data, defaults)
    return needs(definition.engine, definition.model_id, image, definition.settings.values())


def _member_needs(member: LaunchMember) -> set[Need]:
    """What a live member runs with, whatever its definition says by now."""
    launch, spec = member.attempt.launch, member.spec
    model = (spec.get("probe") or {}).get("model") or ""
    return needs(launch.engine, model, member.image, spec.get("command") or [])


def uses_on_node(node: Node) -> dict[Need, list[Use]]:
    """Who needs what: live launches of the node first, then definitions."""
    found: dict[Need, list[Use]] = {}
    members = LaunchMember.objects.filter(node=node, live=True).select_related("attempt__launch__definition")
    live: set[str] = set()
    for member in members:
        launch = member.attempt.launch
        live.add(launch.definition_slug)
        use = Use(launch.definition_slug, str(launch.definition or launch.definition_slug), True)
        both = _member_needs(member) | (definition_needs(launch.definition) if launch.definition else set())
        for need in both:
            found.setdefault(need, []).append(use)
    for definition in ModelDefinition.objects.all():
        if definition.slug not in live:
            for need in definition_needs(definition):
                found.setdefault(need, []).append(Use(definition.slug, definition.name, False))
    return found


def item_uses(item: StorageItem, by_need: dict[Need, list[Use]]) -> list[Use]:
    """The uses of one item, each definition once, live ones first."""
    uses = {use for need in provides(item) for use in by_need.get(need, [])}
    return sorted(uses, key=lambda use: (not use.live, use.slug))
