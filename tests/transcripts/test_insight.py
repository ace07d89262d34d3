"""Who wrote each line, against a model that follows every line; and how a waterfall and an atlas add up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transcripts_app.format.kinds import Kind
from transcripts_app.format.tree import Node, branches
from transcripts_app.insight.atlas import BUCKETS, Failure, grouped, message_normal
from transcripts_app.insight.blame import added_lines, lines_owned, steps_adding
from transcripts_app.insight.branches import depths_of, parting, whole_ids
from transcripts_app.insight.columns import COLUMNS_MOST, folded, parts_shown, picture
from transcripts_app.insight.content import Hunk
from transcripts_app.insight.events import Event, Replacement
from transcripts_app.insight.measure import record_parts
from transcripts_app.insight.timemachine import replay
from transcripts_app.insight.waterfall import SYSTEM, UNSEEN, Piece, Turn, shared, turns

# How long an example takes says nothing on a busy machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Blame ----------------------------------------------------------------------------------


@patient
@given(st.data())
def test_each_line_belongs_to_the_edit_that_put_it_there(data: st.DataObject) -> None:
    """Every line is unlike all others, so that there is one truth."""
    fresh = iter(range(10_000))
    truth: list[tuple[str, int | None]] = [
        (f"old {next(fresh)}", None) for _ in range(data.draw(st.integers(1, 6)))
    ]
    events: list[tuple[int, Event]] = []
    for number in range(data.draw(st.integers(1, 8))):
        before = "\n".join(text for text, _ in truth)
        start = data.draw(st.integers(0, len(truth) - 1))
        end = data.draw(st.integers(start + 1, len(truth)))
        new = [(f"new {next(fresh)}", number) for _ in range(data.draw(st.integers(1, 3)))]
        old = "\n".join(text for text, _ in truth[start:end])
        edit = Replacement(old, "\n".join(text for text, _ in new))
        truth[start:end] = new
        events.append((number, Event("edit", before, edits=(edit,))))
    owned = lines_owned(replay(events))
    assert [(one.row.text, one.origin) for one in owned] == truth


def test_a_line_from_outside_has_no_owner() -> None:
    events = [
        (1, Event("write", after="a\nb\n")),
        (2, Event("edit", "a\nby hand\nb\n", edits=(Replacement("b\n", "c\n"),))),
    ]
    owned = lines_owned(replay([(number, event) for number, event in events]))
    told = [(one.row.text, one.origin) for one in owned]
    assert told == [("a", 1), ("by hand", None), ("c", 2)]


def test_what_is_only_shown_by_a_patch_is_nobodys() -> None:
    """Context lines of an edit to an unknown file were there before."""
    hunk = Hunk(10, (" before", "-old", "+new", " after"))
    events = [(7, Event("edit", edits=(Replacement("old", "new"),), hunks=(hunk,)))]
    owned = lines_owned(replay(events))
    told = [(one.row.number, one.row.text, one.origin) for one in owned if one.row.text is not None]
    assert told == [(10, "before", None), (11, "new", 7), (12, "after", None)]


def test_a_text_leads_to_the_steps_that_added_it() -> None:
    events = [
        (1, Event("write", after="a\nb\n")),
        (2, Event("edit", edits=(Replacement("b", "x\ny"),))),
        (3, Event("edit", edits=(Replacement("x", "z"),))),
    ]
    steps = list(replay(events))
    assert [step.origin for step in steps_adding(steps, "x\ny")] == [2]
    assert [step.origin for step in steps_adding(steps, "a")] == [1]
    assert steps_adding(steps, "nowhere") == []
    assert added_lines(steps[2]) == ["z"]


def test_a_blank_line_alone_does_not_outlive_what_nobody_saw() -> None:
    events = [
        (1, Event("edit", "a\nb", edits=(Replacement("a\n", "a\nmine\n\n"),))),
        (2, Event("edit", "z\n\ny", edits=(Replacement("y", "c"),))),
    ]
    owned = lines_owned(replay(events))
    assert [(one.row.text, one.origin) for one in owned] == [("z", None), ("", None), ("c", 2)]


# Branches -------------------------------------------------------------------------------


def test_two_branches_part_at_their_last_shared_record() -> None:
    uid = {number: bytes([number]) * 16 for number in range(1, 9)}
    nodes = [
        Node(1, uid[1], None), Node(2, uid[2], uid[1], is_prompt=False), Node(3, uid[3], uid[2]),
        Node(4, uid[4], uid[3], is_prompt=False), Node(5, uid[5], uid[2]),
        Node(6, uid[6], uid[5], is_prompt=False), Node(7, uid[7], uid[4]),
    ]  # fmt: skip
    found = branches(nodes, uid[6])
    active = next(index for index, branch in enumerate(found) if branch.is_active)
    other = next(index for index, branch in enumerate(found) if 7 in branch.ids)
    assert parting(found, active, other) == (2, [5, 6], [3, 4, 7])
    assert whole_ids(found, active) == [1, 2, 5, 6]
    assert sorted(depths_of(found)) == [0, 1]


# Waterfall ------------------------------------------------------------------------------

PARTS = st.dictionaries(st.sampled_from(["prompts", "answers", "thinking", "result:Bash", "result:Read"]),
                        st.integers(0, 5000), max_size=4)  # fmt: skip
PIECES = st.lists(
    st.builds(
        Piece,
        record=st.integers(1, 99),
        parts=PARTS,
        response=st.none() | st.integers(1, 9),
        is_boundary=st.booleans(),
    ),
    max_size=40,
)


@patient
@given(PIECES, st.dictionaries(st.integers(1, 9), st.integers(0, 300_000)))
def test_parts_add_up_to_what_the_api_counted(pieces: list[Piece], windows: dict[int, int]) -> None:
    met = set()
    for turn in turns(pieces, windows):
        assert sum(turn.parts.values()) == turn.window > 0
        assert all(tokens > 0 for tokens in turn.parts.values())
        assert turn.dropped >= 0
        met.add(turn.window)
    told = {piece.response for piece in pieces if windows.get(piece.response or 0, 0) > 0}
    assert met == {windows[number] for number in told if number}


@patient
@given(st.integers(0, 10**9), st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), max_size=6))
def test_a_share_loses_nothing(total: int, weights: dict[str, int]) -> None:
    parts = shared(total, weights)
    assert sum(parts.values()) == (total if sum(weights.values()) else 0)


def test_a_compaction_drops_all_but_the_system() -> None:
    pieces = [
        Piece(1, parts={"prompts": 400}), Piece(2, parts={"answers": 4000}, response=1),
        Piece(3, parts={"result:Bash": 40_000}), Piece(4, response=2, parts={"answers": 10}),
        Piece(5, is_boundary=True), Piece(6, parts={"summary": 2000}), Piece(7, response=3),
    ]  # fmt: skip
    first, second, third = turns(pieces, {1: 10_100, 2: 21_100, 3: 10_600})
    assert first.parts == {"prompts": 100, SYSTEM: 10_000}
    assert second.added == {"answers": 1000, "result:Bash": 10_000} and not second.dropped
    assert third.is_compacted and third.parts == {"summary": 600, SYSTEM: 10_000} and third.dropped == 11_100


def test_tokens_beyond_every_character_are_not_blamed_on_anything() -> None:
    pieces = [
        Piece(1, parts={"prompts": 40}),
        Piece(2, response=1),
        Piece(3, parts={"prompts": 10}),
        Piece(4, response=2),
    ]
    _, second = turns(pieces, {1: 100, 2: 5_000})
    assert second.added == {"prompts": 10, UNSEEN: 4890}


@patient
@given(st.lists(st.tuples(PARTS, st.integers(1, 9)), max_size=600))
def test_a_picture_draws_every_token(drawn: list[tuple[dict[str, int], int]]) -> None:
    told = [
        Turn(number, None, sum(parts.values()) + extra, parts | {SYSTEM: extra}, parts)
        for number, (parts, extra) in enumerate(drawn)
    ]
    drawing = picture(told)
    assert len(drawing.columns) <= COLUMNS_MOST
    assert sum(column.turns for column in drawing.columns) == len(told)
    shown = parts_shown(told)
    for turn in told:
        assert sum(folded(turn.parts, shown).values()) == turn.window


@pytest.mark.parametrize(
    ("record", "kind", "parts"),
    [
        ({"type": "user", "message": {"content": "abcd"}}, Kind.PROMPT, {"prompts": 4}),
        ({"type": "user", "message": {"content": "abcd"}}, Kind.COMPACT_SUMMARY, {"summary": 4}),
        ({"type": "user",
          "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "content": "xyz"}]}},
         Kind.TOOL_RESULT, {"result:Bash": 3}),
        ({"type": "assistant",
          "message": {"content": [{"type": "thinking", "thinking": "", "signature": "ssss"},
                                  {"type": "text", "text": "hi"}]}},
         Kind.ANSWER, {"thinking": 4, "answers": 2}),
        ({"type": "user", "message": {"content": [{"type": "image", "source": {"data": "A" * 9999}}]}},
         Kind.PROMPT, {"prompts": 6000}),
        ({"type": "user", "message": None}, Kind.PROMPT, {}),
        ({"type": "attachment", "attachment": {"type": "file", "content": "abc"}}, Kind.ATTACHMENT,
         {"attachments": 8}),
    ],
)  # fmt: skip
def test_characters_of_a_record(record: dict[str, Any], kind: Kind, parts: dict[str, int]) -> None:
    assert record_parts(record, kind, {"t": "Bash"}) == parts


# Atlas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("File /a/b.py not found", "File /home/x/y z.py not found".replace("y z", "yz")),
        ("Exit code 1", "Exit code 127"),
        ('No such column: "a"', 'No such column: "b c"'),
        ("call toolu_01Abc failed", "call toolu_99zzZ failed"),
        ("fatal: bad object deadbeef12", "fatal: bad object 0a1b2c3d"),
        ("timeout after 120s at http://a.example/x?y=1", "timeout after 3s at https://b.example/"),
        ("session 123e4567-e89b-12d3-a456-426614174000", "session 00000000-e89b-12d3-a456-426614174aaa"),
        ("\x1b[31mError\x1b[0m: x", "Error:  x"),
        ("can't open C:\\Users\\x\\a.txt", "can't open D:\\b.txt"),
    ],
)
def test_messages_that_say_the_same(one: str, other: str) -> None:
    assert message_normal(one) == message_normal(other)


def test_messages_that_say_something_else() -> None:
    assert message_normal("File not found") != message_normal("Permission denied")
    assert message_normal("don't do it, it isn't there") == "don't do it, it isn't there"
    assert message_normal("") == message_normal("   ") == "(no message)"


@patient
@given(st.text(max_size=400))
def test_any_message_has_a_bounded_normal_form(text: str) -> None:
    assert 0 < len(message_normal(text)) <= 200


def test_groups_count_sessions_times_and_trends() -> None:
    failures = [
        Failure("tool", number, number, f"s{number % 2}", "p", "Bash", "opus", at_ms, f"Exit code {number}")
        for number, at_ms in enumerate((0, 500, 999, None, 1000))
    ] + [Failure("api", 9, 9, "s9", "q", "", "opus", 5, "Overloaded")]
    first, second = grouped(failures, 0, 1000, newest=2)
    assert (first.message, first.count, first.sessions) == ("Exit code ‹n›", 5, {"s0", "s1"})
    assert (first.first_ms, first.last_ms) == (0, 1000) and [one.id for one in first.newest] == [4, 2]
    assert (first.trend[0], first.trend[BUCKETS // 2], first.trend[-1]) == (1, 1, 2)
    assert (second.kind, second.count, second.tools) == ("api", 1, {"": 0})
