"""May a model be laid over these nodes: what each told, and what follows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models_app.engines.inputs import Fabric

MTU_ADVISED = 9000
CLOCKS_APART_SECONDS = 5.0
OK, ADVICE, REFUSED = "ok", "advice", "refused"


@dataclass(frozen=True)
class Check:
    """One line of a preflight. verdict: ok, advice (it will work, worse) or refused."""

    name: str
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Place:
    """A node as control knows it, and its answer (None: it gave none in time)."""

    node: str
    fabric: Fabric | None
    answer: Mapping[str, Any] | None
    memory_problem: str | None = None


def preflight_checks(
    places: Sequence[Place], image: str, *, weights: str | None, memory: bool = True
) -> list[Check]:
    """Return every check, by rank and from the wire upwards.

    `weights` is the model's name in the Hugging Face cache, None for one that is
    in the image; `memory` whether it was looked at.
    """
    short = [
        Check("memory", REFUSED, f"{one.node}: {one.memory_problem}") for one in places if one.memory_problem
    ]
    silent = [_silent(place) for place in places if place.answer is None]
    if silent:
        return [*silent, *short]
    links = _links(places)
    over_links = [_mtu(places), *_echoes(places)] if is_passed(links) else []
    return [
        *links,
        *over_links,
        _rdma(places),
        *_image(places, image),
        *([_weights(places, weights)] if weights else []),
        *_ports(places),
        *(short or _fits(places) if memory else []),
        _versions(places),
        _clocks(places),
    ]


def is_passed(checks: Sequence[Check]) -> bool:
    return all(check.verdict != REFUSED for check in checks)


def refusal_sentence(name: str, places: Sequence[str], checks: Sequence[Check]) -> str:
    """Say why a model may not start, in a sentence that begins with the first reason."""
    refused = [check.sentence for check in checks if check.verdict == REFUSED]
    more = f" ({len(refused) - 1} more)" if len(refused) > 1 else ""
    return f"{name} cannot start on {' and '.join(places)}: {refused[0]}{more}"


def _silent(place: Place) -> Check:
    return Check(
        "answer", REFUSED, f"{place.node} did not answer; see whether its agent runs in this version."
    )


def _answer(place: Place, key: str) -> Any:
    return (place.answer or {}).get(key)


def _link(place: Place) -> Mapping[str, Any]:
    return _answer(place, "link") or {}


def _names(places: Sequence[Place]) -> str:
    return " and ".join(place.node for place in places)


def _links(places: Sequence[Place]) -> list[Check]:
    bad = []
    for place in places:
        address = place.fabric.address if place.fabric else "that is missing"
        if not _link(place):
            bad.append(f"No interface of {place.node} has the fabric address {address}; set it there.")
        elif not _link(place).get("up"):
            bad.append(f"The link {_link(place)['name']} of {place.node} is down; see to its cable.")
    if bad:
        return [Check("link", REFUSED, sentence) for sentence in bad]
    told = ", ".join(f"{place.node} {_link(place)['name']}{_speed(_link(place))}" for place in places)
    return [Check("link", OK, f"The fabric link is up: {told}.")]


def _speed(link: Mapping[str, Any]) -> str:
    speed = link.get("speed_mbps")
    return f" at {speed / 1000:g} Gbit/s" if speed else ""


def _mtu(places: Sequence[Place]) -> Check:
    found = {place.node: _link(place).get("mtu") for place in places}
    told = ", ".join(f"{mtu or 'unknown'} on {node}" for node, mtu in found.items())
    if len(set(found.values())) > 1:
        return Check("mtu", REFUSED, f"The MTU differs: {told}. Set the same on both ends.")
    mtu = next(iter(found.values()))
    if mtu is None or mtu < MTU_ADVISED:
        return Check("mtu", ADVICE, f"The MTU is {told}; {MTU_ADVISED} moves data much faster.")
    return Check("mtu", OK, f"The MTU is {mtu} on all.")


def _echoes(places: Sequence[Place]) -> list[Check]:
    lines, fastest = [], []
    for place in places:
        for peer, one in (_answer(place, "echoes") or {}).items():
            if one.get("received"):
                fastest.append(one.get("milliseconds") or 0.0)
                continue
            way, problem = f"from {place.node} to {peer}", one.get("problem") or "no answer"
            verdict = ADVICE if "ping_group_range" in problem else REFUSED
            size = f"packets of {one.get('size')} bytes"
            lines.append(
                Check("echo", verdict, f"No echo comes back {way} over the fabric ({size}): {problem}.")
            )
    if lines:
        return lines
    return [
        Check("echo", OK, f"Each hears the others over the fabric, within {max(fastest, default=0):.2g} ms.")
    ]


def _rdma(places: Sequence[Place]) -> Check:
    without = [place for place in places if not (place.fabric and place.fabric.hcas)]
    if not without:
        told = ", ".join(
            f"{place.node} {' and '.join(place.fabric.hcas)}" for place in places if place.fabric
        )
        return Check("rdma", OK, f"RDMA adapters: {told}.")
    sentence = f"No active RDMA adapter is known on {_names(without)}; NCCL uses TCP there, which is slower."
    return Check("rdma", ADVICE, sentence)


def _image(places: Sequence[Place], image: str) -> list[Check]:
    troubles = [
        Check("image", REFUSED, f"{place.node}: {_answer(place, 'docker')}")
        for place in places
        if _answer(place, "docker")
    ]
    if troubles:
        return troubles
    found = {place.node: _answer(place, "image_digest") for place in places}
    missing = [node for node, digest in found.items() if not digest]
    if missing:
        sentence = f"The image {image} is not on {' and '.join(missing)}; download it there first."
        return [Check("image", REFUSED, sentence)]
    if len(set(found.values())) > 1:
        told = ", ".join(f"{digest[:19]} on {node}" for node, digest in found.items())
        return [Check("image", REFUSED, f"The image {image} differs: {told}. Pull it again on each.")]
    return [Check("image", OK, f"The image is the same on all: {next(iter(found.values()))[:19]}.")]


def _weights(places: Sequence[Place], model: str) -> Check:
    found = {place.node: _answer(place, "revision") for place in places}
    missing = [node for node, revision in found.items() if not revision]
    if len(missing) == len(found):
        return Check("weights", ADVICE, f"{model} is on none of them yet: each downloads it at the start.")
    if missing:
        there = " and ".join(node for node in found if node not in missing)
        sentence = f"{model} is on {there}, not whole on {' and '.join(missing)}; download it there first."
        return Check("weights", REFUSED, sentence)
    if len(set(found.values())) > 1:
        told = ", ".join(f"{revision[:12]} on {node}" for node, revision in found.items())
        return Check("weights", REFUSED, f"{model} has different revisions: {told}. Download the same one.")
    return Check("weights", OK, f"{model} is on all in revision {next(iter(found.values()))[:12]}.")


def _ports(places: Sequence[Place]) -> list[Check]:
    taken = [
        Check("ports", REFUSED, f"{place.node}: {sentence}")
        for place in places
        for sentence in _answer(place, "ports") or []
    ]
    return taken or [Check("ports", OK, "The ports are free.")]


def _fits(places: Sequence[Place]) -> list[Check]:
    return [Check("memory", OK, f"Each of {_names(places)} has the memory for its share.")]


def _versions(places: Sequence[Place]) -> Check:
    found = {place.node: _answer(place, "version") for place in places}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{version} on {node}" for node, version in found.items())
        return Check("version", REFUSED, f"The agents differ: {told}. Bring them to the same version.")
    return Check("version", OK, f"The agents have the same version, {next(iter(found.values()))}.")


def _clocks(places: Sequence[Place]) -> Check:
    clocks = [float(_answer(place, "clock") or 0) for place in places]
    apart = max(clocks) - min(clocks)
    if apart > CLOCKS_APART_SECONDS:
        sentence = f"The clocks are {apart:.0f} s apart: nothing depends on it, but logs are hard to compare."
        return Check("clock", ADVICE, sentence)
    return Check("clock", OK, "The clocks agree.")
