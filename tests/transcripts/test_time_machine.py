"""The file time machine: a random sequence of writes and edits, replayed, equals what happened."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transcripts_app.insight.content import UNKNOWN, Content, rows_of
from transcripts_app.insight.diffs import counts, diff_rows
from transcripts_app.insight.events import Event, command_event, event_of, may_change
from transcripts_app.insight.timemachine import Step, replay

# How long an example takes says nothing on a busy machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PATH = "/home/ada/shop/basket.py"
LINES = st.text(alphabet="abc \t", max_size=6)
TEXTS = st.lists(LINES, max_size=12).map("\n".join)


def patch_of(old: str, new: str) -> list[dict[str, Any]]:
    """A structuredPatch, as Claude Code notes it beside an edit."""
    before, after = old.split("\n"), new.split("\n")
    hunks = []
    for group in difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(3):
        lines: list[str] = []
        for tag, a, b, c, d in group:
            if tag == "equal":
                lines += [" " + line for line in before[a:b]]
                continue
            lines += ["-" + line for line in before[a:b]] + ["+" + line for line in after[c:d]]
        hunks.append({"oldStart": group[0][1] + 1, "newStart": group[0][3] + 1, "lines": lines})
    return hunks


@dataclass
class Disk:
    """A file, and the calls that a session made on it."""

    text: str | None = None
    events: list[tuple[int, Event]] = field(default_factory=list)
    truth: list[str] = field(default_factory=list)

    def tell(self, name: str, given: dict[str, Any], told: Any, text: str = "") -> None:
        event = event_of(name, given, told, text)
        assert event is not None
        self.events.append((len(self.events), event))
        self.truth.append(self.text or "")

    def write(self, content: str, *, told: bool) -> None:
        before, self.text = self.text, content
        result = {
            "type": "create" if before is None else "update",
            "content": content,
            "originalFile": before,
        }
        self.tell("Write", {"file_path": PATH, "content": content}, result if told else None)

    def edit(self, old: str, new: str, *, every: bool, original: bool, patch: bool) -> None:
        assert self.text is not None
        before = self.text
        cut = not new and not old.endswith("\n") and old + "\n" in before
        self.text = before.replace(old + "\n" if cut else old, new, -1 if every else 1)
        told: dict[str, Any] = {"oldString": old, "newString": new, "replaceAll": every}
        if original:
            told["originalFile"] = before
        if patch:
            told["structuredPatch"] = patch_of(before, self.text)
        self.tell("Edit", {"old_string": old, "new_string": new, "replace_all": every}, told)

    def read(self, offset: int, limit: int, *, told: bool) -> None:
        assert self.text is not None
        lines = self.text.split("\n")
        shown = lines[offset : offset + limit]
        if not shown:
            return
        file: dict[str, Any] = {"content": "\n".join(shown), "startLine": offset + 1, "numLines": len(shown)}
        file["totalLines"] = len(lines)
        numbered = "\n".join(f"{offset + 1 + place:>6}→{line}" for place, line in enumerate(shown))
        self.tell("Read", {}, {"type": "text", "file": file} if told else None, numbered)


def steps_of(disk: Disk) -> list[Step[int]]:
    return list(replay(disk.events))


@st.composite
def histories(draw: st.DrawFn, whole: bool) -> Disk:
    """What a session did to a file. `whole`: every call tells what the file was."""
    disk = Disk()
    if draw(st.booleans()) or whole:
        disk.write(draw(TEXTS), told=True)
    else:
        disk.text = draw(TEXTS)
    for _ in range(draw(st.integers(1, 12))):
        what = draw(st.sampled_from(("write", "edit", "edit", "edit", "read")))
        if what == "write":
            disk.write(draw(TEXTS), told=whole or draw(st.booleans()))
        elif what == "read":
            disk.read(draw(st.integers(0, 8)), draw(st.integers(1, 8)), told=draw(st.booleans()))
        elif disk.text:
            start = draw(st.integers(0, len(disk.text) - 1))
            old = disk.text[start : start + draw(st.integers(1, 8))]
            every = draw(st.booleans())
            if every or disk.text.count(old) == 1:
                original = draw(st.booleans()) or whole
                disk.edit(old, draw(TEXTS), every=every, original=original, patch=draw(st.booleans()))
    return disk


@patient
@given(histories(whole=True))
def test_replayed_equals_what_happened(disk: Disk) -> None:
    for step, truth in zip(steps_of(disk), disk.truth, strict=True):
        assert step.after.text == truth
        assert not step.is_outside


@patient
@given(histories(whole=False))
def test_what_is_called_known_is_true(disk: Disk) -> None:
    """Whatever calls leave out: a line that has a number is the file's line of that number."""
    for step, truth in zip(steps_of(disk), disk.truth, strict=True):
        lines = truth.split("\n")
        if step.after.text is not None:
            assert step.after.text.rstrip("\n") == truth.rstrip("\n")
        for number, text in step.after.lines.items():
            assert lines[number - 1] == text
        assert step.after.total is None or abs(step.after.total - len(lines)) <= 1
        assert not step.is_outside


@patient
@given(TEXTS, TEXTS)
def test_a_diff_holds_both_contents(old: str, new: str) -> None:
    before, after = rows_of(Content(old)), rows_of(Content(new))
    if before == after:
        assert [row.kind for row in diff_rows(before, after)] in ([], ["same"], ["fold"])
        return
    rows = diff_rows(before, after, context=10**6)
    assert [row.text for row in rows if row.kind != "new"] == [row.text for row in before]
    assert [row.text for row in rows if row.kind != "gone"] == [row.text for row in after]
    added, removed = counts(diff_rows(before, after))
    assert (added, removed) == (sum(r.kind == "new" for r in rows), sum(r.kind == "gone" for r in rows))


# Single cases ---------------------------------------------------------------------------


def _after(*events: Event | None) -> list[Step[int]]:
    return list(replay([(number, event) for number, event in enumerate(events) if event is not None]))


def test_a_change_from_outside_is_seen_by_the_next_call() -> None:
    steps = _after(
        event_of("Write", {"content": "a\nb\n"}, {"type": "create", "content": "a\nb\n"}, ""),
        event_of("Edit", {}, {"oldString": "b", "newString": "c", "originalFile": "a\nx\nb\n"}, ""),
    )
    assert steps[1].is_outside and steps[1].left.text == "a\nb\n" and steps[1].after.text == "a\nx\nc\n"


def test_an_edit_that_cannot_have_been_made_shows_that_the_file_was_another() -> None:
    steps = _after(
        event_of("Write", {"content": "a\n"}, None, ""),
        event_of("Edit", {"old_string": "zz", "new_string": "yy"}, None, ""),
    )
    assert steps[1].is_outside and not steps[1].after.is_whole and steps[1].after.loose == ("yy",)


def test_gaps_are_told_with_their_size() -> None:
    file = {"content": "d\ne", "startLine": 4, "numLines": 2, "totalLines": 9}
    (step,) = _after(event_of("Read", {}, {"type": "text", "file": file}, ""))
    assert [(row.number, row.text, row.hidden) for row in rows_of(step.after)] == [
        (None, None, 3), (4, "d", None), (5, "e", None), (None, None, 4)
    ]  # fmt: skip


def test_a_user_who_changed_the_proposal_is_believed_by_the_patch() -> None:
    told = {"oldString": "b", "newString": "c", "originalFile": "a\nb", "userModified": True,
            "structuredPatch": patch_of("a\nb", "a\nhand")}  # fmt: skip
    (step,) = _after(event_of("Edit", {}, told, ""))
    assert step.after.text == "a\nhand"


def test_commands_cast_doubt_until_the_file_is_seen_whole() -> None:
    write = event_of("Write", {"content": "a\nb"}, None, "")
    edit = event_of("Edit", {"old_string": "a", "new_string": "c"}, None, "")
    file = {"content": "c\nb", "startLine": 1, "totalLines": 2}
    read = event_of("Read", {}, {"type": "text", "file": file}, "")
    steps = _after(write, command_event("sed -i s/x/y/ basket.py", PATH), edit, read)
    assert [step.is_doubtful for step in steps] == [False, True, True, False]
    assert [step.is_shown for step in steps] == [True, True, True, False]


@pytest.mark.parametrize(
    ("command", "may"),
    [
        ("sed -i 's/a/b/' /home/ada/shop/basket.py", True),
        ("mv basket.py cart.py", True),
        ("cd shop && rm -f basket.py", True),
        ("echo x > basket.py", True),
        ("git checkout -- .", True),
        ("git stash pop", True),
        ("cat <<'EOF' > basket.py\nit's\nEOF", True),
        ("cat basket.py", False),
        ("git status", False),
        ("grep -n count basket.py | head", False),
        ("rm other.py", False),
        ("python -m pytest", False),
    ],
)
def test_which_commands_may_change_a_file(command: str, may: bool) -> None:
    assert may_change(command, PATH) is may


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("Edit", None, None), ("Edit", {"old_string": 1}, {"oldString": []}),
        ("Write", {"content": None}, "x"), ("Bash", {"command": "x"}, {}),
        ("Read", {}, {"file": "no"}), ("Read", {}, {"type": "image", "file": {}}),
        ("MultiEdit", {"edits": "none"}, {"structuredPatch": [{"lines": [1]}]}),
    ],
)  # fmt: skip
def test_what_says_nothing_is_nothing(name: str, given: Any, told: Any) -> None:
    assert event_of(name, given, told, "no numbers here") is None


@patient
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["edits", "oldString", "newString", "structuredPatch", "lines",
                                         "oldStart", "originalFile", "file", "content", "startLine",
                                         "totalLines", "type"]),
                        inner, max_size=6)),
       st.sampled_from(["Read", "Write", "Edit", "MultiEdit", "NotebookEdit"]))  # fmt: skip
def test_no_damaged_call_breaks_the_replay(value: Any, name: str) -> None:
    edit = event_of("Edit", {"old_string": "", "new_string": "x"}, value, "")
    steps = _after(
        event_of("Write", {"content": "a\nb"}, None, ""), event_of(name, value, value, "1→x"), edit
    )
    assert all(rows_of(step.after) is not None for step in steps)


def test_nothing_known_is_one_gap() -> None:
    assert [row.text for row in rows_of(UNKNOWN)] == [None]
