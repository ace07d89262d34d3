"""What a start runs, as `docker run` lines: one for each rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metrics_app.models import Node
from models_app.engines.specs import run_line, spec_read
from models_app.exceptions import LaunchRefused
from models_app.members import member_node_name, newest_members
from models_app.models import Launch, ModelDefinition
from models_app.placement import nodes_chosen
from models_app.planning import EXAMPLE, group_ids, spec_plan


@dataclass(frozen=True)
class RankLine:
    """The `docker run` line of one rank of a launch, and the notes on it."""

    rank: int
    node: str
    line: str
    notes: list[str]


def rank_lines(definition: ModelDefinition, nodes: Sequence[Node]) -> list[RankLine]:
    """Return what each rank of a definition on `nodes` would run. Raises LaunchRefused as spec_plan."""
    lines = []
    for node, ids in zip(nodes, group_ids(EXAMPLE, nodes), strict=True):
        spec, notes = spec_plan(definition, node, ids)
        lines.append(RankLine(ids.rank, node.name, run_line(spec), notes))
    return lines


def launch_lines(launch: Launch) -> list[RankLine]:
    """Return what each rank of a launch's newest attempt runs or ran; none for what others started."""
    return [
        RankLine(
            member.rank,
            member_node_name(member),
            run_line(spec_read(member.spec)),
            member.notes,
        )
        for member in newest_members(launch)
        if member.spec and not launch.adopted_foreign
    ]


def ranks_text(ranks: Sequence[RankLine]) -> str:
    """Return the lines as one text for a shell; of several each says where it belongs."""
    if len(ranks) == 1:
        return ranks[0].line
    return "\n\n".join(f"# rank {one.rank}, on {one.node}\n{one.line}" for one in ranks)


def docker_run_line_for(definition: ModelDefinition, node: Node) -> tuple[str, list[str]]:
    """Return the `docker run` line of a definition on a node, and the notes on its settings.

    Of a model that lies on several nodes the line of each rank.

    For one that cannot be started the line is empty and the note says why.
    """
    try:
        ranks = rank_lines(definition, nodes_chosen(definition, node))
    except LaunchRefused as refused:
        return "", [refused.message]
    return ranks_text(ranks), notes_once(ranks)


def notes_once(ranks: Sequence[RankLine]) -> list[str]:
    """Return the notes on all ranks, each once."""
    return list(dict.fromkeys(note for rank in ranks for note in rank.notes))
