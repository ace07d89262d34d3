"""How a container of ours is told from all others: by its labels, and by nothing else. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models_app.engines.spec import WEIGHTS_LABEL, ContainerSpec, ProbeSpec
from models_app.engines.specs import LaunchSpec

INSTALLATION = "sparkweb.installation"
NODE = "sparkweb.node"
LAUNCH = "sparkweb.launch"
MEMBER = "sparkweb.member"
GENERATION = "sparkweb.generation"
SLUG = "sparkweb.slug"
PROBE = "sparkweb.probe"
PRIORITY = "sparkweb.priority"
PINNED = "sparkweb.pinned"

ADOPTED = "adopted"
"""`kind` in the spec of a member whose container carries no label of ours: somebody else started it."""


@dataclass(frozen=True)
class Identity:
    """Which launch and member a container belongs to, and how to ask whether it is ready.

    `weights` is the Hugging Face repository that it may download, "" for none.
    """

    launch: str
    member: str
    generation: int
    slug: str
    probe: ProbeSpec
    weights: str = ""
    priority: int = 0
    pinned: bool = False

    def fact(self) -> dict[str, Any]:
        """What every fact about this container carries."""
        return {"launch": self.launch, "member": self.member, "generation": self.generation}


def identity_of_spec(spec: LaunchSpec) -> Identity:
    """The identity that what is made from `spec` will have."""
    weights = spec.labels.get(WEIGHTS_LABEL, "") if isinstance(spec, ContainerSpec) else ""
    return Identity(spec.launch, spec.member, spec.generation, spec.slug, spec.probe, weights)


def container_labels(spec: ContainerSpec) -> dict[str, str]:
    """The labels of a container made from `spec`; ours win over those that the spec brings.

    The probe is a label too, so that an agent that finds the container after a
    restart of its own knows how to ask it.
    """
    return {
        **spec.labels,
        INSTALLATION: spec.installation,
        NODE: spec.node,
        LAUNCH: spec.launch,
        MEMBER: spec.member,
        GENERATION: str(spec.generation),
        SLUG: spec.slug,
        PROBE: json.dumps(asdict(spec.probe), separators=(",", ":")),
    }


def rank_labels(priority: int, pinned: bool) -> dict[str, str]:
    """Labels by which the memory guardian knows how long to keep a container; none for what is usual."""
    labels = {PRIORITY: str(priority)} if priority else {}
    return {**labels, PINNED: "1"} if pinned else labels


def identity_of_labels(labels: Mapping[str, str], installation: str, node: str) -> Identity | None:
    """Whose container this is; None for all that are not of this installation and node.

    A container with our labels and an unreadable generation or probe is ours
    still: generation 0, and nothing is asked of it.
    """
    if labels.get(INSTALLATION) != installation or labels.get(NODE) != node or not labels.get(MEMBER):
        return None
    generation = labels.get(GENERATION, "")
    return Identity(
        launch=labels.get(LAUNCH, ""),
        member=labels[MEMBER],
        generation=int(generation) if generation.isdecimal() else 0,
        slug=labels.get(SLUG, ""),
        probe=_probe(labels.get(PROBE, "")),
        weights=labels.get(WEIGHTS_LABEL, ""),
        priority=_number(labels.get(PRIORITY, "")),
        pinned=labels.get(PINNED) == "1",
    )


def _number(text: str) -> int:
    try:
        return int(text[:8])
    except ValueError:
        return 0


def _probe(text: str) -> ProbeSpec:
    try:
        return ProbeSpec(**json.loads(text))
    except (ValueError, TypeError):
        return ProbeSpec(kind="none", port=0)
