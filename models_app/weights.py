"""Asks nodes what lies in their caches of the defined models, and keeps the answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from models_app.models import ModelDefinition
from models_app.models_memory import NodeWeights
from models_app.node.model_config import config_kept
from models_app.node.weights_look import answer_digest
from sparkweb.node_link import commands

ENGINES_READ = ("vllm", "sglang", "trtllm", "llamacpp", "ollama")
STATUSES = ("ok", "partial", "absent", "invalid")
ASKED_AT_ONCE = 100
BYTES_MOST = 2**50
Reference = tuple[str, str, str]


def reference_of(definition: ModelDefinition) -> Reference:
    """Engine, model id and file that name a definition's weights on any node."""
    file = definition.settings.get("hf_file")
    return definition.engine, definition.model_id, file[:300] if isinstance(file, str) else ""


def weights_refresh() -> int:
    """Ask every online node about all definitions; drop answers about none. How many were asked about."""
    definitions = list(ModelDefinition.objects.filter(engine__in=ENGINES_READ))
    wanted = {reference_of(row) for row in definitions}
    for row in NodeWeights.objects.all():
        if (row.engine, row.model_id, row.file) not in wanted:
            row.delete()
    for node in Node.objects.filter(status=NodeStatus.ONLINE):
        weights_ask(node, wanted)
    return len(wanted)


def weights_ask(node: Node, wanted: Iterable[Reference]) -> None:
    """Nudge a node to say what it has; it answers only what differs from what is known here."""
    known = {(row.engine, row.model_id, row.file): row for row in NodeWeights.objects.filter(node=node)}
    items = [
        {
            "engine": reference[0],
            "model_id": reference[1],
            "file": reference[2],
            "known": answer_digest(known[reference].answer) if reference in known else "",
        }
        for reference in sorted(wanted)
    ]
    for start in range(0, len(items), ASKED_AT_ONCE):
        commands.send(node.name, "models.weights_look", items=items[start : start + ASKED_AT_ONCE])


def weights_ask_everywhere(definition: ModelDefinition) -> None:
    """Ask all online nodes about one definition, which was just saved."""
    if definition.engine in ENGINES_READ:
        for node in Node.objects.filter(status=NodeStatus.ONLINE):
            weights_ask(node, [reference_of(definition)])


def weights_on(definition: ModelDefinition, node: Node) -> dict[str, Any]:
    """A node's newest answer about a definition's weights; {} while there is none."""
    engine, model_id, file = reference_of(definition)
    row = NodeWeights.objects.filter(node=node, engine=engine, model_id=model_id, file=file).first()
    return row.answer if row else {}


def weights_seen(node_name: str, data: dict[str, Any]) -> None:
    """Fact handler: keep a node's answer about a model, of known types and sizes."""
    node = Node.objects.filter(name=node_name).first()
    reference: dict[str, Any] = {
        name: str(data.get(name) or "").replace("\0", "")[:most]
        for name, most in (("engine", 16), ("model_id", 300), ("file", 300))
    }
    if node is None or not reference["model_id"]:
        return
    answer = answer_checked(data.get("answer"))
    NodeWeights.objects.update_or_create(
        node=node,
        **reference,
        defaults={
            "status": answer["status"],
            "weights_bytes": answer["weights_bytes"],
            "answer": answer,
            "seen_at": timezone.now(),
        },
    )


def answer_checked(answer: Any) -> dict[str, Any]:
    """What a node said, reduced to what can be meant: a node is not trusted like the centre."""
    said = answer if isinstance(answer, dict) else {}
    status, size, files = said.get("status"), said.get("weights_bytes"), said.get("files")
    return {
        "status": status if status in STATUSES else "invalid",
        "weights_bytes": size if isinstance(size, int) and 0 <= size < BYTES_MOST else None,
        "files": files if isinstance(files, int) and 0 <= files < 10_000 else 0,
        "kind": said.get("kind") if said.get("kind") in ("safetensors", "gguf") else "",
        "config": config_kept(said.get("config")),
        "message": str(said.get("message") or "").replace("\0", "")[:300],
    }
