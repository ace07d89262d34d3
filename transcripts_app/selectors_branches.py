"""The branches of a session and of the sessions that it was forked from or into."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db.models import Q

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Record, Response, Session, ToolCall
from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import LineBad
from transcripts_app.format.record import blocks_of
from transcripts_app.format.tools import words_of
from transcripts_app.format.tree import Branch, Node, branches
from transcripts_app.insight.branches import depths_of, parting
from transcripts_app.selectors_context import file_records, nodes_of
from transcripts_app.selectors_files import CHANGES
from transcripts_app.store import RawLines

FAMILY_MOST = 12  # sessions
BRANCHES_MOST = 200
ENTRIES_MOST = 150  # of one side
TEXT_MOST = 400
SHOWN = (Kind.PROMPT, Kind.ANSWER, Kind.TOOL_CALL, Kind.COMMAND, Kind.COMPACT_SUMMARY, Kind.QUEUE)
ARGUMENTS = (
    "command",
    "file_path",
    "notebook_path",
    "path",
    "pattern",
    "url",
    "query",
    "description",
    "prompt",
)


@dataclass(slots=True)
class Way:
    """A branch with its figures: those of its own records, from where it parts."""

    index: int
    branch: Branch
    depth: int
    record: Record  # its first prompt
    session: Session
    last: Record
    prompts: int = 0
    calls: int = 0
    errors: int = 0
    files: list[str] = field(default_factory=list)
    responses: int = 0
    output_tokens: int = 0
    read_tokens: int = 0  # input and cache, of all its responses


@dataclass(slots=True)
class Entry:
    """What happened at one record: what a reader of a comparison sees of it."""

    record: Record
    kind: Kind
    text: str
    tool: str = ""
    is_error: bool = False

    @property
    def label(self) -> str:
        return self.tool or self.kind.name.replace("_", " ").capitalize()


@dataclass(slots=True)
class Side:
    """One of two branches after they parted."""

    way: Way
    entries: list[Entry]
    total: int


@dataclass(slots=True)
class Tree:
    """All branches of a session's family, in the order in which they begin."""

    family: list[Session]
    ways: list[Way]
    branches: list[Branch]

    def way(self, index: int) -> Way | None:
        return next((way for way in self.ways if way.index == index), None)


def family_of(user: User, session: Session) -> list[Session]:
    """Return the session and those it was forked from or into that a user may see, oldest first."""
    visible = projects_visible(user)
    sessions = Session.objects.select_related("project")
    if visible is not None:
        sessions = sessions.filter(project__in=visible)
    found, waiting = {session.pk: session}, [session]
    while waiting and len(found) < FAMILY_MOST:
        one = waiting.pop()
        near = sessions.filter(Q(forked_from=one) | Q(pk=one.forked_from_id))[:FAMILY_MOST]
        for other in near:
            if other.pk not in found and len(found) < FAMILY_MOST:
                found[other.pk] = other
                waiting.append(other)
    return sorted(found.values(), key=lambda one: (one.started_ms or 0, one.pk))


def tree_of(user: User, session: Session) -> Tree:
    """Return every branch of a session and of its forks, each with what it did."""
    family = family_of(user, session)
    leaf = Record.objects.filter(pk=session.leaf).first() if session.leaf else None
    found = branches(_nodes(family), bytes(leaf.uid) if leaf is not None and leaf.uid else None)
    kept = found[:BRANCHES_MOST]
    by_pk = {one.pk: one for one in family}
    firsts = _records([branch.first for branch in kept] + [branch.leaf for branch in kept])
    depths = depths_of(found)
    ways = []
    for index, branch in enumerate(kept):
        first, last = firsts[branch.first], firsts[branch.leaf]
        owner = by_pk.get(last.session_id or 0, session)
        ways.append(_figures(Way(index, branch, depths[index], first, owner, last)))
    return Tree(family, ways, found)


def _nodes(family: list[Session]) -> list[Node]:
    """Records of all main files, oldest session first; a copy stands for the record that it copies."""
    nodes: list[Node] = []
    met: set[bytes] = set()
    for session in family:
        for file in session.files.filter(role="session").order_by("pk"):
            for node in nodes_of(file_records(file).exclude(uid=None)):
                if node.uid is not None and node.uid not in met:
                    met.add(node.uid)
                    nodes.append(node)
    return nodes


def _figures(way: Way) -> Way:
    ids = list(way.branch.ids)
    responses: set[int] = set()
    files: set[str] = set()
    for at in range(0, len(ids), 500):
        part = ids[at : at + 500]
        rows = Record.objects.filter(pk__in=part).values_list("pk", "kind", "response", "copy_of")
        sources = []
        for pk, kind, response, copy_of in rows:
            way.prompts += kind == Kind.PROMPT
            sources.append(copy_of or pk)
            if response is not None:
                responses.add(response)
        for path, operation, failed in ToolCall.objects.filter(record__in=sources).values_list(
            "path", "operation", "is_error"
        ):
            way.calls += 1
            way.errors += failed
            if operation in CHANGES and path and not failed:
                files.add(path)
    way.files, way.responses = sorted(files), len(responses)
    listed = sorted(responses)
    for at in range(0, len(listed), 500):
        for one in Response.objects.filter(pk__in=listed[at : at + 500]):
            way.output_tokens += one.output_tokens
            way.read_tokens += (
                one.input_tokens
                + one.cache_read_tokens
                + one.cache_write_5m_tokens
                + one.cache_write_1h_tokens
            )
    return way


def compare(tree: Tree, left: Way, right: Way) -> tuple[Record | None, Side, Side]:
    """Return where two branches part, and what each did after."""
    fork, ours, theirs = parting(tree.branches, left.index, right.index)
    lines = RawLines()
    shared = (
        Record.objects.filter(pk=fork).select_related("session__project").first()
        if fork is not None
        else None
    )
    return shared, _side(lines, left, ours), _side(lines, right, theirs)


def _side(lines: RawLines, way: Way, ids: list[int]) -> Side:
    entries: list[Entry] = []
    total = 0
    for at in range(0, len(ids), 500):
        records = _records(ids[at : at + 500])
        for pk in ids[at : at + 500]:
            record = records.get(pk)
            if record is None or record.is_twin or Kind(record.kind) not in SHOWN:
                continue
            total += 1
            if len(entries) < ENTRIES_MOST:
                entries.append(_entry(lines, record))
    return Side(way, entries, total)


def _entry(lines: RawLines, record: Record) -> Entry:
    kind = Kind(record.kind)
    entry = Entry(record, kind, record.preview, record.tool, record.is_error)
    if record.length > 2**20 or (record.preview and kind is not Kind.TOOL_CALL):
        return entry
    try:
        message = lines.json(record).get("message")
    except LineBad:
        return entry
    blocks = blocks_of(message.get("content")) if isinstance(message, dict) else []
    if kind is Kind.TOOL_CALL:
        entry.text = next((_asked(block) for block in blocks if block.get("type") == "tool_use"), "")
        failed = ToolCall.objects.filter(record=record.copy_of or record.pk, is_error=True).first()
        entry.is_error = failed is not None
    else:
        entry.text = "\n".join(str(block.get("text") or "") for block in blocks)[:TEXT_MOST]
    return entry


def _asked(block: dict[str, object]) -> str:
    """What a call was about: its command, path or pattern; else all that it was given."""
    given = block.get("input")
    if isinstance(given, dict):
        for name in ARGUMENTS:
            if isinstance(given.get(name), str) and given[name]:
                return str(given[name])[:TEXT_MOST]
    return words_of(given, TEXT_MOST)[:TEXT_MOST]


def _records(ids: list[int]) -> dict[int, Record]:
    records = Record.objects.filter(pk__in=ids[:1000]).select_related("session__project")
    return {record.pk: record for record in records}
