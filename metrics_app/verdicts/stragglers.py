"""One node of a model that runs on several lags behind the others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metrics_app.verdicts.kinds import Finding, Place, Severity, evidence_of
from metrics_app.verdicts.window import Window

APART_PERCENT, APART_STAY_PERCENT = 40.0, 25.0
BUSY_PERCENT = 50.0
SPAN_SECONDS = 45.0


@dataclass(frozen=True)
class Group:
    """A model that runs on several nodes and is ready."""

    slug: str
    nodes: tuple[str, ...]


def stragglers(
    node_name: str, groups: list[Group], windows: Mapping[str, Window], active: frozenset[Place]
) -> Iterator[Finding]:
    """Say of a node that it is the least busy member of a group, by far, for a minute.

    Figures of fewer than all members, or of less than 45 s, say nothing.
    """
    for group in groups:
        means = _means(group, windows)
        if means is None or node_name != min(means, key=lambda name: (means[name], name)):
            continue
        top = max(means, key=lambda name: (means[name], name))
        apart = means[top] - means[node_name]
        stays = ("straggler", group.slug) in active
        if means[top] < BUSY_PERCENT or apart < (APART_STAY_PERCENT if stays else APART_PERCENT):
            continue
        yield Finding(
            "straggler",
            group.slug,
            Severity.WARNING,
            f"{group.slug} works on {top} and waits on {node_name}",
            f"Over the last minute the GPU of {top} was {means[top]:.0f} % busy, that of {node_name} "
            f"{means[node_name]:.0f} %. One of them is too slow, or the link between them is.",
            evidence_of(*((f"Utilisation of {name}", means[name], "percent") for name in group.nodes)),
        )


def _means(group: Group, windows: Mapping[str, Window]) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for name in group.nodes:
        window = windows.get(name)
        mean = window.utilization.mean() if window else None
        if window is None or mean is None or window.utilization.span < SPAN_SECONDS:
            return None
        found[name] = mean
    return found if len(found) > 1 else None
