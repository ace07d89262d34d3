"""Adds up joules and tokens between two reports. Pure.

A node's GPUs tell their power, and most a counter of energy; the counter wins where there is one. What a
GPU drew belongs to the models that hold its memory, by how much they hold: an estimate wherever more than one
does. What nobody holds belongs to the node alone. Of a machine whose GPUs tell neither, nothing is known, and
nothing is not 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# A longer silence between two reports tells nothing of what was drawn meanwhile, unless a counter does.
LONGEST_STEP_SECONDS = 5.0
LONGEST_COUNTED_SECONDS = 3_600.0
MOST_WATTS = 5_000.0


@dataclass
class Share:
    """What one model (or "", the rest of the node) drew and made. `seconds` of readings are in it."""

    joules: float = 0.0
    seconds: float = 0.0
    prompt_tokens: float = 0.0
    generation_tokens: float = 0.0
    estimated: bool = False

    def add(self, other: Share) -> None:
        self.joules += other.joules
        self.seconds += other.seconds
        self.prompt_tokens += other.prompt_tokens
        self.generation_tokens += other.generation_tokens
        self.estimated |= other.estimated


@dataclass
class NodeMeter:
    """The state of one node between two reports. Times are seconds of one steady clock."""

    at: float | None = None
    counters: dict[str, float] = field(default_factory=dict)
    seen_at: dict[str, float] = field(default_factory=dict)

    def step(
        self,
        gpus: list[dict[str, Any]],
        held: Mapping[str, float],
        tokens: Mapping[str, tuple[float, float]],
        now: float,
    ) -> dict[str, Share]:
        """Take one report; returns what was added by model, "" for the rest of the node.

        `held`: bytes of GPU memory by model; `tokens`: new prompt and generated tokens by model.
        """
        step = 0.0 if self.at is None else now - self.at
        self.at = now
        drawn = [joules for gpu in gpus if (joules := self._gpu(gpu, step, now)) is not None]
        found: dict[str, Share] = {}
        if drawn and step > 0:
            found = divided(sum(drawn), held, min(step, LONGEST_STEP_SECONDS))
        for slug, (prompt, generated) in tokens.items():
            share = found.setdefault(slug, Share())
            share.prompt_tokens += prompt
            share.generation_tokens += generated
        return found

    def _gpu(self, gpu: dict[str, Any], step: float, now: float) -> float | None:
        """Joules of one GPU since the last report; None where it tells nothing usable."""
        name = str(gpu.get("uuid") or gpu.get("index"))
        total = _number(gpu.get("energy_joules"))
        before, seen = self.counters.get(name), self.seen_at.get(name)
        if total is not None:
            self.counters[name], self.seen_at[name] = total, now
            if before is not None and seen is not None:
                grown, passed = total - before, now - seen
                if 0 < passed <= LONGEST_COUNTED_SECONDS and 0 <= grown <= MOST_WATTS * passed:
                    return grown
        power = _number(gpu.get("power_watts"))
        if power is None or power > MOST_WATTS or not 0 < step <= LONGEST_STEP_SECONDS:
            return None
        return power * step


def divided(joules: float, held: Mapping[str, float], seconds: float) -> dict[str, Share]:
    """Divide what was drawn among the models by the GPU memory that they hold."""
    holders = {slug: size for slug, size in held.items() if size > 0}
    total = sum(holders.values())
    if not total:
        return {"": Share(joules, seconds)}
    several = len(holders) > 1
    return {
        slug: Share(joules * size / total, seconds, estimated=several) for slug, size in holders.items()
    } | {"": Share(0.0, seconds)}


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    return float(value) if usable else None
