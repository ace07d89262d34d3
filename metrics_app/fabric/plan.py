"""The steps of a test, and what each node is asked in each. Pure.

A step is JSON: {"kind": "echo" or "throughput", "name", "rails": [{"rail", "first", "second"}],
"answers": {node: what it told}}; `first` and `second` are the nodes' addresses on that rail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """A node of a test: its name and its address on each rail, None where it has none."""

    name: str
    addresses: tuple[str | None, str | None]


def rails_of(first: Place, second: Place) -> list[dict[str, Any]]:
    """Return the rails on which both nodes have an address."""
    pairs = enumerate(zip(first.addresses, second.addresses, strict=True), 1)
    return [
        {"rail": number, "first": one, "second": other} for number, (one, other) in pairs if one and other
    ]


def steps_of(rails: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return echoes on all rails, then throughput over each, then over all at once."""
    throughput = [[rail] for rail in rails] + ([list(rails)] if len(rails) > 1 else [])
    steps = [_step("echo", "Echoes both ways", rails)]
    for some in throughput:
        name = f"Rail {some[0]['rail']}" if len(some) == 1 else "Both rails at once"
        steps.append(_step("throughput", name, some))
    return steps


def _step(kind: str, name: str, rails: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "rails": list(rails), "answers": {}}


def questions(
    step: dict[str, Any], names: Sequence[str], *, port: int, seconds: int, streams: int
) -> dict[str, dict[str, Any]]:
    """Return what each of the two nodes is asked: echoes from both; the first sends, the second serves."""
    first, second = names
    rails = step["rails"]
    if step["kind"] == "echo":
        return {
            first: {"kind": "echo", "rails": [_way(rail, "first", "second") for rail in rails]},
            second: {"kind": "echo", "rails": [_way(rail, "second", "first") for rail in rails]},
        }
    ports = {rail["rail"]: port + rail["rail"] - 1 for rail in rails}
    listen = [
        {"rail": rail["rail"], "address": rail["second"], "port": ports[rail["rail"]]} for rail in rails
    ]
    send = [_way(rail, "first", "second") | {"port": ports[rail["rail"]]} for rail in rails]
    return {
        first: {"kind": "measure", "rails": send, "seconds": seconds, "streams": streams},
        second: {"kind": "serve", "rails": listen, "seconds": seconds},
    }


def _way(rail: dict[str, Any], source: str, target: str) -> dict[str, Any]:
    return {"rail": rail["rail"], "source": rail[source], "target": rail[target]}
