"""From a path and a line to the prompt that wrote it, across sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Q, QuerySet

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Project, Record, ToolCall
from transcripts_app.format.kinds import Kind
from transcripts_app.insight.blame import Owned, lines_owned, steps_adding
from transcripts_app.insight.timemachine import Step, replay
from transcripts_app.insight_masks import Masks
from transcripts_app.selectors_files import CHANGES, Budget, calls_in_order, events_read

PATHS_SHOWN = 20
ANSWERS_MOST = 20  # changes that added a searched text
NESTED_MOST = 8  # sub-agents of sub-agents
OWNERS_MOST = 500  # changes whose prompts are looked up for one file


@dataclass(slots=True)
class Answer:
    """A change that wrote what was asked for, and the prompt that led to it (None: none in the file)."""

    step: Step[ToolCall]
    prompt: Record | None

    @property
    def call(self) -> ToolCall:
        return self.step.origin


@dataclass(slots=True)
class Blame:
    """A file's last known content with the call that wrote each line, and answers to what was asked."""

    path: str
    node: str
    nodes: list[str]
    lines: list[Owned[ToolCall]] = field(default_factory=list)
    prompts: dict[int, Record] = field(default_factory=dict)  # by call
    answers: list[Answer] = field(default_factory=list)
    changes: int = 0
    sessions: int = 0
    projects: list[Project] = field(default_factory=list)
    is_cut: bool = False


def calls_visible(user: User) -> QuerySet[ToolCall]:
    """Return the calls of projects that a user may see."""
    visible = projects_visible(user)
    calls = ToolCall.objects.all()
    return calls if visible is None else calls.filter(session__project__in=visible)


def paths_like(user: User, text: str, masks: Masks) -> list[str]:
    """Return changed files whose path contains a text, in visible projects, in the order of their names.

    Paths of which something is masked are left out.
    """
    # Written out, for SQLite uses an index of some rows only where the query says the same as the index.
    changed = calls_visible(user).extra(where=["archive_toolcall.operation IN ('write', 'edit')"])
    calls = changed.filter(path__icontains=text.replace("\0", ""))
    rows = calls.exclude(path="").values_list("path", "session__project").distinct().order_by("path")
    found = list(rows[: 4 * PATHS_SHOWN])
    projects = Project.objects.in_bulk({project for _, project in found})
    shown = [path for path, project in found if masks.of(projects[project]).text(path) == path]
    return list(dict.fromkeys(shown))[:PATHS_SHOWN]


def file_blame(
    user: User, path: str, *, node: str = "", line: int | None = None, text: str = ""
) -> Blame | None:
    """Return who wrote a file's lines; None where no visible session changed it.

    `line` (of the last known content) or `text` ask for the change behind them: of a line the newest
    that wrote it, of a text the changes that added it, newest first.
    """
    calls = calls_visible(user).filter(path=path)
    nodes = _nodes(calls)
    if not nodes:
        return None
    chosen = node if node in nodes else nodes[0]
    mine = calls_in_order(calls.filter(session__project__node=chosen))
    blame = Blame(path, chosen, nodes)
    blame.changes = sum(call.operation in CHANGES for call in mine)
    blame.projects = list({call.session.project_id: call.session.project for call in mine}.values())
    blame.sessions = len({call.session_id for call in mine if call.operation in CHANGES})
    budget = Budget()
    found: list[Step[ToolCall]] = []
    wanted = text.replace("\r\n", "\n").strip("\n")

    def watched(steps: Iterable[Step[ToolCall]]) -> Iterable[Step[ToolCall]]:
        for step in steps:
            if wanted:
                found.extend(steps_adding([step], wanted))
                del found[:-ANSWERS_MOST]
            yield step

    blame.lines = lines_owned(watched(replay(events_read(mine, path, budget))))
    if line is not None:
        owner = next((one.origin for one in blame.lines if one.row.number == line), None)
        if owner is not None:
            again = replay(events_read(mine, path, Budget()))
            found = [step for step in again if step.origin.pk == owner.pk]
    blame.answers = [Answer(step, prompt_of(step.origin.record)) for step in reversed(found)]
    blame.is_cut = budget.is_spent
    return blame


def prompts_for(lines: Iterable[Owned[ToolCall]]) -> dict[int, Record]:
    """Return the prompt behind each line's call, by call."""
    owners = {one.origin.pk: one.origin for one in lines if one.origin is not None}
    found = {number: prompt_of(call.record) for number, call in list(owners.items())[:OWNERS_MOST]}
    return {number: prompt for number, prompt in found.items() if prompt is not None}


def prompt_of(record: Record) -> Record | None:
    """Return what a person had asked for last before a record; of a sub-agent, before it was started."""
    for _ in range(NESTED_MOST):
        if not record.is_sidechain:
            break
        starter = ToolCall.objects.filter(agent_file=record.file_id).select_related("record").first()
        if starter is None or starter.record.file_id == record.file_id:
            break
        record = starter.record
    asked = Q(kind=Kind.PROMPT) | Q(kind=Kind.QUEUE, subtype="queued_command")
    before = Record.objects.filter(
        asked, file=record.file_id, line__lt=record.line, is_sidechain=record.is_sidechain
    )
    return before.select_related("session__project").order_by("-line").first()


def _nodes(calls: QuerySet[ToolCall]) -> list[str]:
    """The nodes on which a file was changed, the one with the newest change first."""
    changed = calls.filter(operation__in=CHANGES).order_by("-started_ms", "-pk")
    names = changed.values_list("session__project__node", flat=True)[:2000]
    return list(dict.fromkeys(names))
