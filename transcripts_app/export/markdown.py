"""Markdown: a file for each session, its sub-agents below it, and README.md as the list.

Nothing of a transcript stays HTML: outside of code every `<` and `&` is escaped, pictures become links,
and code stands in fences that are longer than any run of backticks in it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from transcripts_app.archive.models import Session, moment
from transcripts_app.export.out import File, Out
from transcripts_app.export.reading import Line, SessionReader, is_read
from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import blocks_of
from transcripts_app.format.tools import result_text
from transcripts_app.redaction.engine import ANSI, Redactor

RESULT_MOST = 20_000
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)$")
_SCHEME = re.compile(r"(?i)(?:java|vb)script:|data:text/|data:application/")
_CODE_FIELDS = {"Bash": ("command", "bash"), "Write": ("content", ""), "ExitPlanMode": ("plan", "markdown")}


class MarkdownForm:
    """sessions/<key>.md and README.md."""

    def __init__(self) -> None:
        self.redactor: Redactor | None = None

    def begin(self, _sessions: list[Session], redactor: Redactor | None) -> None:
        self.redactor = redactor

    def session(self, out: Out, reader: SessionReader) -> list[str]:
        name = f"sessions/{reader.session.key}.md"
        with out.file(name) as file:
            file.write(f"# {heading(reader.title)}\n\n{_facts(reader)}\n")
            for section in reader.sections:
                if section.name != "s1":
                    file.write(f"\n---\n\n# {section.name}: {heading(section.title)}\n")
                for line in reader.read(section):
                    if is_read(line.row) and not line.is_drawn_above:
                        _record(file, line, reader)
        return [name]

    def finish(self, out: Out, sessions: list[tuple[Session, str, str]]) -> None:
        with out.file("README.md") as file:
            file.write("# Transcripts\n\n| started | project | session | prompts | output tokens |\n")
            file.write("|---|---|---|---:|---:|\n")
            for session, title, project in sessions:
                link = f"[{_cell(title) or '(no title)'}](sessions/{session.key}.md)"
                cells = (
                    _day(session),
                    _cell(project),
                    link,
                    str(session.prompts),
                    str(session.output_tokens),
                )
                file.write(f"| {' | '.join(cells)} |\n")

    def taken(self, names: list[str]) -> None:
        """Names are of keys: nothing to keep apart."""


def _cell(text: str) -> str:
    return heading(text).replace("|", "\\|")


def heading(text: str) -> str:
    """A text as one line in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]#])", r"\\\1", plain(" ".join(text.split())))


def plain(text: str) -> str:
    """A text whose HTML is text, whose pictures are links, and whose links run nothing."""
    text = ANSI.sub("", text).replace("\0", "\ufffd").replace("&", "&amp;").replace("<", "&lt;")
    return _SCHEME.sub(lambda found: "blocked:" + found.group().replace(":", "-"), text.replace("![", "["))


def fenced(text: str, language: str = "") -> str:
    """A text as code, whatever it holds."""
    text = ANSI.sub("", text).replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    language = language if re.fullmatch(r"[A-Za-z0-9+#-]{0,20}", language) else ""
    return f"{fence}{language}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}\n"


def markdown(text: str) -> str:
    """The model's Markdown as it is, with its code fenced anew and everything else made plain."""
    out: list[str] = []
    prose: list[str] = []
    code: list[str] | None = None
    mark = language = ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        found = _FENCE.fullmatch(line)
        if code is None and found:
            out.append(plain("\n".join(prose)))
            prose, code, mark, language = [], [], found.group(1), found.group(2).strip()
        elif code is not None and found and found.group(1).startswith(mark) and not found.group(2).strip():
            out.append("\n" + fenced("\n".join(code), language))
            code = None
        elif code is not None:
            code.append(line)
        else:
            prose.append(line)
    out.append(plain("\n".join(prose)) if code is None else "\n" + fenced("\n".join(code), language))
    return "\n".join(piece for piece in out if piece.strip()) + "\n"


def _facts(reader: SessionReader) -> str:
    session = reader.session
    facts = [f"Project: {heading(reader.text(session.project.path))}", f"Started: {_day(session)}",
             f"Models: {heading(', '.join(reader.text(str(one)) for one in session.model_names))}",
             f"Prompts: {session.prompts} · tool calls: {session.tool_calls} · "
             f"tokens in {session.input_tokens}, out {session.output_tokens}"]  # fmt: skip
    return "".join(f"- {fact}\n" for fact in facts)


def _day(session: Session) -> str:
    at = moment(session.started_ms)
    return at.strftime("%Y-%m-%d %H:%M") if at else ""


def _record(file: File, line: Line, reader: SessionReader) -> None:
    kind, at = Kind(line.row.kind), line.row.at
    when = f" · {at:%Y-%m-%d %H:%M:%S}" if at else ""
    if kind is Kind.RESULT_FILE:
        file.write("\n" + fenced(str(line.record.get("text", ""))))
        return
    message = line.record.get("message")
    blocks = blocks_of(message.get("content") if isinstance(message, dict) else None)
    title = {Kind.PROMPT: "Prompt", Kind.COMPACT_SUMMARY: "Summary of what was compacted",
             Kind.COMMAND: "Command"}.get(kind)  # fmt: skip
    if title:
        file.write(f"\n## {title}{when}\n")
    if not blocks:
        _other(file, line, kind)
    for block in blocks:
        file.write(_block(block, line, kind, reader))


def _other(file: File, line: Line, kind: Kind) -> None:
    text = line.record.get("content") or line.record.get("prUrl")
    if isinstance(text, str) and text.strip():
        file.write(f"\n*{kind.name.lower().replace('_', ' ')}*: {heading(text[:2000])}\n")


def _block(block: dict[str, Any], line: Line, kind: Kind, reader: SessionReader) -> str:
    sort = block.get("type")
    if sort == "text":
        text = str(block.get("text", ""))
        if kind in (Kind.ANSWER, Kind.TOOL_CALL, Kind.THINKING, Kind.COMPACT_SUMMARY):
            return "\n" + markdown(text)
        return "\n" + (markdown(text) if kind is Kind.PROMPT else fenced(text))
    if sort == "thinking":
        text = str(block.get("thinking", ""))
        return "\n**Thinking**\n\n" + "".join(f"> {plain(one)}\n" for one in text.split("\n")) if text else ""
    if sort in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return _call(block, line, reader)
    if sort == "tool_result":
        return "\n**Result**\n\n" + fenced(_cut(result_text(block.get("content"))))
    return f"\n*[{heading(str(sort)[:40])}]*\n"


def _call(block: dict[str, Any], line: Line, reader: SessionReader) -> str:
    name, given = str(block.get("name", "")), block.get("input")
    field, language = _CODE_FIELDS.get(name, ("", "json"))
    code = given.get(field) if isinstance(given, dict) and field else None
    path = given.get("file_path") if isinstance(given, dict) else None
    where = f" {heading(path)}" if isinstance(path, str) else ""
    out = f"\n### {heading(name)}{where}\n\n"
    out += fenced(code, language) if isinstance(code, str) else fenced(_json(given), "json")
    for call in line.calls:
        if call.tool_use_id == block.get("id") and call.agent_file_id in reader.by_file:
            out += f"\nSub-agent: {reader.by_file[call.agent_file_id].name}, below.\n"
    result = line.results.get(str(block.get("id")))
    if result is not None:
        out += "\n**Result**\n\n" + fenced(_cut(_result_of(result, block.get("id"))))
    return out


def _result_of(record: dict[str, Any], call: Any) -> str:
    message = record.get("message")
    for block in blocks_of(message.get("content") if isinstance(message, dict) else None):
        if block.get("type") == "tool_result" and block.get("tool_use_id") == call:
            return result_text(block.get("content"))
    return ""


def _cut(text: str) -> str:
    left = len(text) - RESULT_MOST
    return text if left <= 0 else f"{text[:RESULT_MOST]}\n… [{left} characters more: see the JSONL export]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
