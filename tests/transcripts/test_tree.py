"""One path through a transcript, whatever its records say of their parents."""

from __future__ import annotations

import random

from transcripts_app.format.tree import Node, active_path, branches


def _nodes(
    *told: tuple[str, str | None] | tuple[str, str | None, str | None], prompts: str = ""
) -> list[Node]:
    """Nodes from (name, parent, logical parent); those named in `prompts` begin something."""
    return [
        Node(
            number, str(one[0]).encode(), one[1].encode() if one[1] else None,
            one[2].encode() if len(one) > 2 and one[2] else None, str(one[0]) in prompts,
        )
        for number, one in enumerate(told, 1)
    ]  # fmt: skip


def test_a_chain_is_its_path() -> None:
    nodes = _nodes(("a", None), ("b", "a"), ("c", "b"), prompts="a")
    assert active_path(nodes) == [1, 2, 3]
    assert [branch.ids for branch in branches(nodes)] == [(1, 2, 3)]


def test_a_rewind_leaves_a_branch() -> None:
    nodes = _nodes(("a", None), ("b", "a"), ("c", "b"), ("d", "c"), ("e", "b"), ("f", "e"), prompts="ace")
    assert active_path(nodes) == [1, 2, 5, 6]
    active, left = branches(nodes)
    assert (active.ids, active.is_active) == ((1, 2, 5, 6), True)
    assert (left.ids, left.fork, left.first, left.leaf, left.is_active) == ((3, 4), 2, 3, 4, False)
    assert active_path(nodes, b"d") == [1, 2, 3, 4]


def test_the_first_prompt_rewound_is_a_beginning_of_its_own() -> None:
    nodes = _nodes(("a", None), ("b", "a"), ("c", None), ("d", "c"), prompts="ac")
    assert active_path(nodes) == [3, 4]
    assert [branch.ids for branch in branches(nodes)] == [(3, 4), (1, 2)]


def test_results_of_parallel_calls_and_progress_belong_to_the_path() -> None:
    """a prompt, b and c calls, d the first result beside the chain, e progress, f the second, g an answer."""
    nodes = _nodes(
        ("a", None), ("b", "a"), ("c", "b"), ("d", "b"), ("e", "c"), ("f", "c"), ("g", "f"), prompts="a"
    )
    assert active_path(nodes) == [1, 2, 3, 4, 5, 6, 7]


def test_a_compaction_goes_on_from_its_logical_parent() -> None:
    nodes = _nodes(("a", None), ("b", "a"), ("x", None, "b"), ("c", "x"), prompts="a")
    assert active_path(nodes) == [1, 2, 3, 4]
    old = _nodes(("a", None), ("b", "a"), ("x", None), ("c", "x"), prompts="a")
    assert active_path(old) == [1, 2, 3, 4]


def test_an_orphan_goes_on_from_the_record_before() -> None:
    nodes = _nodes(("a", None), ("b", "a"), ("d", "lost"), ("e", "d"), prompts="ad")
    assert active_path(nodes) == [1, 2, 3, 4]


def test_circles_end() -> None:
    assert active_path(_nodes(("a", "a"))) == [1]
    assert active_path(_nodes(("a", "b"), ("b", "a"))) == [1, 2]
    nodes = _nodes(("a", None), ("b", "d"), ("c", "b"), ("d", "c"), ("e", "d"), prompts="ab")
    assert active_path(nodes)[-1] == 5


def test_one_uuid_several_times() -> None:
    nodes = [Node(1, b"a", None), Node(2, b"a", None), Node(3, b"b", b"a"), Node(4, b"a", b"b")]
    assert active_path(nodes) == [2, 3, 4]
    assert active_path([]) == []
    assert branches([]) == []


def test_each_record_is_in_one_branch_whatever_the_parents_are() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        names = [bytes([rng.randrange(12)]) for _ in range(rng.randrange(30))]
        nodes = [
            Node(
                number, name if rng.random() < 0.95 else None,
                rng.choice([None, *names, b"lost"]), rng.choice([None, None, *names]), rng.random() < 0.4,
            )
            for number, name in enumerate(names)
        ]  # fmt: skip
        found = branches(nodes)
        assert sorted(one for branch in found for one in branch.ids) == list(range(len(nodes)))
        assert [branch.is_active for branch in found].count(True) == bool(nodes)
        if nodes:
            assert nodes[-1].id in active_path(nodes)


def test_a_long_chain_is_no_deep_one() -> None:
    nodes = [
        Node(at, at.to_bytes(4, "big"), (at - 1).to_bytes(4, "big") if at else None) for at in range(60_000)
    ]
    assert len(active_path(nodes)) == 60_000
