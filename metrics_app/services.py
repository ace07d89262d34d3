"""What changes nodes: made by an admin, seen by control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from metrics_app.node_events import changes_note, status_note
from sparkweb import live
from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import NodeKey
from sparkweb.node_link import commands, signatures
from sparkweb.refusal import Refused

USES: list[Callable[[Node], list[str]]] = []
"""Each says what of its app runs on a node; apps add theirs in `ready()`."""


class NodeInUse(Refused):
    """A node that cannot be deleted now."""


@transaction.atomic
def node_create(*, name: str, actor: Actor, **fields: Any) -> tuple[Node, str]:
    """Create a node, or give an existing one a new key. Returns it with the private key as text.

    The private key is not stored here: whoever calls hands it to the node's
    `node.key` file. Raises ValidationError for a name that cannot be used.
    """
    node = Node.objects.filter(name=name).first() or Node(name=name, **fields)
    created = node.pk is None
    if created:
        node.full_clean()
        node.save()
    private, public = signatures.key_pair_make()
    NodeKey.objects.update_or_create(
        node_name=name, defaults={"public_key": public, "revoked_at": None, "created_at": timezone.now()}
    )
    audit(actor, "node_create" if created else "node_key_renew", name)
    return node, private


@transaction.atomic
def node_update(*, node: Node, actor: Actor) -> Node:
    """Store changed addresses, labels and role of a node. Raises ValidationError."""
    node.full_clean()
    node.save()
    audit(actor, "node_change", node.name)
    return node


@transaction.atomic
def node_delete(*, node: Node, actor: Actor) -> None:
    """Remove a node and revoke its key; its launch history stays.

    Raises NodeInUse while something runs there and could still be stopped.
    """
    if node_uses(node):
        names = ", ".join(node_uses(node))
        raise NodeInUse(f"{node} runs {names}; stop that first, or shut the node down", "node_in_use")
    NodeKey.objects.filter(node_name=node.name).update(revoked_at=timezone.now())
    audit(actor, "node_delete", node.name)
    node.delete()
    transaction.on_commit(commands.nodes_changed)


def node_uses(node: Node) -> list[str]:
    """Return what runs on a node; nothing counts on one that is silent: nobody could stop it there."""
    if node.status not in (NodeStatus.ONLINE, NodeStatus.STALE):
        return []
    return [name for uses in USES for name in uses(node)]


def node_status_set(*, name: str, status: str) -> None:
    """Store a node's status when it changed, and tell browsers. Times are control's clock."""
    now = timezone.now()
    before = Node.objects.filter(name=name).values_list("status", flat=True).first()
    changed = (
        Node.objects.filter(name=name).exclude(status=status).update(status=status, status_changed_at=now)
    )
    if changed and before is not None:
        status_note(name, before, status)
    live.publish(
        f"status:{name}", {"type": "node_status", "node": name, "status": status, "since": now.timestamp()}
    )


def node_seen(*, name: str, report: dict[str, Any]) -> None:
    """Note what a report says about the node itself; called at most each 10 s."""
    agent, gpu, host = (report.get(key) or {} for key in ("agent", "gpu", "host"))
    changes_note(name, report)
    Node.objects.filter(name=name).update(
        last_seen_at=timezone.now(),
        agent_version=str(agent.get("version") or "")[:40],
        host_boot=str(agent.get("host_boot") or "")[:40],
        unified_memory=gpu.get("unified_memory"),
        capabilities={
            "docker": agent.get("docker"),
            "gpu": {key: gpu.get(key) for key in ("status", "message", "driver", "cuda", "reloaded")},
            "gpus": [row.get("name") for row in report.get("gpus") or []],
            "architecture": host.get("architecture"),
            "hf_cache": agent.get("hf_cache"),
            "ollama_models": agent.get("ollama_models"),
            "nim_cache": agent.get("nim_cache"),
            "scripts_dir": agent.get("scripts_dir"),
            "secrets": agent.get("secrets") or [],
            "fabric": agent.get("fabric"),
            "memory_total_bytes": host.get("memory_total_bytes"),
        },
    )
