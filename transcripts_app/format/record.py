"""What a record says, in the fields that the archive keeps and the words that it searches. No Django here.

Source: docs/transcripts-archive.md, "The format"; fields are those of Claude Code 2.0 and 2.1.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from transcripts_app.format.kinds import Kind
from transcripts_app.format.tools import Call, call_of, error_text, patch_lines, result_text, words_of

INDEX_MOST = 2**20  # characters of one block that are searched
PREVIEW_MOST = 160
SNAPSHOT = "file-history-snapshot"
STATES = ("mode", "permission-mode", "last-prompt", "bridge-session", "atis-latch", "agent-setting", SNAPSHOT)
TITLES = {"summary": "summary", "custom-title": "custom", "ai-title": "ai", "agent-name": "agent"}
TITLE_FIELDS = {
    "summary": "summary",
    "custom-title": "customTitle",
    "ai-title": "aiTitle",
    "agent-name": "agentName",
}
COMMAND_TAGS = (
    "<command-name>", "<command-message>", "<command-args>", "<local-command-stdout>",
    "<local-command-stderr>", "<bash-input>", "<bash-stdout>", "<bash-stderr>",
)  # fmt: skip
CARRIED = ("image", "document")
SYNTHETIC = "<synthetic>"
EARLIEST_MS = 946_684_800_000  # 2000
LATEST_MS = 4_102_444_800_000  # 2100
COUNT_MOST = 2**40  # sums of more would leave 64 bits; the largest windows hold 2**20 tokens
SAVED = re.compile(r"saved to: \S*?([^/\s\\]+)\.[A-Za-z0-9]+(?=[\s)\"']|$)")
TASK = re.compile(r"<task-id>([^<\s]{1,200})</task-id>")
TASK_CALL = re.compile(r"<tool-use-id>([^<\s]{1,200})</tool-use-id>")


@dataclass(slots=True)
class Result:
    """One tool_result block, or what a sub-agent's end tells of the call that started it."""

    tool_use_id: str
    is_error: bool
    error: str = ""
    agent_id: str = ""
    saved_as: str = ""  # the name in tool-results, without its ending, of an output that lies there whole
    patch: tuple[int, int] | None = None  # lines added and removed, where the result tells
    is_end: bool = True  # a tool_result; else only the link to a sub-agent


@dataclass(slots=True)
class Usage:
    """Tokens of one line of a response. Source: platform.claude.com, Messages API, `usage`."""

    key: bytes
    model: str
    service_tier: str
    speed: str
    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    web_searches: int
    web_fetches: int


@dataclass(slots=True)
class Parsed:
    """A record. `text` is what is searched; the rest fills the archive's columns."""

    type: str = ""
    subtype: str = ""
    kind: Kind = Kind.UNKNOWN
    kinds: list[Kind] = field(default_factory=list)  # of every block, for facets
    uid: bytes | None = None
    parent_uid: bytes | None = None
    logical_parent_uid: bytes | None = None
    session_id: str = ""
    agent_id: str = ""
    at_ms: int | None = None
    cwd: str = ""
    branch: str = ""
    version: str = ""
    model: str = ""
    usage: Usage | None = None
    is_error: bool = False
    is_sidechain: bool = False
    is_meta: bool = False
    is_synthetic: bool = False
    is_interrupt: bool = False
    stop_reason: str = ""
    duration_ms: int = 0  # of a turn_duration
    text: str = ""
    preview: str = ""
    calls: list[Call] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    title: str = ""
    title_kind: str = ""
    leaf_uid: bytes | None = None
    unknown: list[str] = field(default_factory=list)  # types of records and blocks that we do not know
    carries: set[str] = field(default_factory=set)  # image, document
    cut: int = 0  # blocks whose text was longer than INDEX_MOST

    @property
    def is_searched(self) -> bool:
        """Whether it has a row in the index: text, or a picture to be found by `has:image`."""
        return bool(self.text or self.carries)


def record_parse(record: dict[str, Any], raw: bytes = b"", role: str = "session") -> Parsed:
    """Read one record of any type. Fields of the wrong type count as absent; nothing is raised.

    `raw` is the line: it names a response that has neither id nor uuid. In a workflow's journal
    no type is unknown.
    """
    out = Parsed(type=_text(record, "type") or "", session_id=_text(record, "sessionId"))
    out.uid = uid_of(record.get("uuid"))
    out.parent_uid = uid_of(record.get("parentUuid"))
    out.logical_parent_uid = uid_of(record.get("logicalParentUuid"))
    out.agent_id = _text(record, "agentId")
    out.at_ms = at_ms_of(record.get("timestamp"))
    out.cwd, out.branch, out.version = (
        _text(record, "cwd"),
        _text(record, "gitBranch"),
        _text(record, "version"),
    )
    out.is_sidechain, out.is_meta = record.get("isSidechain") is True, record.get("isMeta") is True
    reader = _READERS.get(out.type)
    if reader is not None:
        reader(record, out)
        if out.usage and not out.usage.key:
            out.usage.key = out.uid or hashlib.blake2b(raw, digest_size=16).digest()
    elif out.type in STATES:
        out.kind = Kind.SNAPSHOT if out.type == SNAPSHOT else Kind.STATE
    elif role == "journal":
        out.kind = Kind.STATE
    else:
        out.unknown.append(out.type[:60] or "(no type)")
    if not out.kinds:
        out.kinds.append(out.kind)
    out.preview = " ".join(out.preview[: 4 * PREVIEW_MOST].split())[:PREVIEW_MOST]
    return out


def uid_of(value: Any) -> bytes | None:
    """Return a uuid as 16 bytes; a digest of any other text; None for what is no text."""
    if not isinstance(value, str) or not value:
        return None
    if len(value) == 36 and value[8] == value[13] == value[18] == value[23] == "-":
        try:
            # Half the time of uuid.UUID, thrice for each record.
            found = bytes.fromhex(value.replace("-", ""))
        except ValueError:
            return _digest(value)
        return found if len(found) == 16 else _digest(value)
    return _digest(value)


def at_ms_of(value: Any) -> int | None:
    """Return an ISO time as milliseconds since the epoch; without a zone it is UTC.

    None for all else, and for what no clock showed (1970, 9999): it would stretch its session.
    """
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        at_ms = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return at_ms if EARLIEST_MS <= at_ms < LATEST_MS else None


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """Return a message's content as blocks: a plain text, and texts among blocks, become text blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return []
    return [
        {"type": "text", "text": block} if isinstance(block, str) else block
        for block in content
        if isinstance(block, str | dict)
    ]


def _user(record: dict[str, Any], out: Parsed) -> None:
    blocks = blocks_of(_message(record).get("content"))
    texts: list[str] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            texts.append(_cut(_text(block, "text"), out))
        elif kind == "tool_result":
            _result(record, block, texts, out)
        elif kind == "document":
            texts.append(_cut(_document(block), out))
            out.carries.add("document")
        elif kind == "image":
            out.carries.add("image")
        else:
            _unknown_block(kind, out)
    out.text = "\n".join(texts)
    first = texts[0].lstrip() if texts else ""
    if out.results:
        out.kind = Kind.TOOL_RESULT
        out.preview = error_text(out.text) if out.is_error else ""
        return
    out.preview = first or ("[image]" if blocks else "")
    if record.get("isCompactSummary") is True:
        out.kind = Kind.COMPACT_SUMMARY
    elif first.startswith("[Request interrupted by user"):
        out.kind, out.is_interrupt = Kind.META, True
    elif first.startswith(COMMAND_TAGS):
        out.kind = Kind.COMMAND
    elif out.is_meta or first.startswith(("<task-notification>", "<system-reminder>")):
        out.kind = Kind.META
        _task(first, out)
    else:
        out.kind = Kind.PROMPT


def _result(record: dict[str, Any], block: dict[str, Any], texts: list[str], out: Parsed) -> None:
    content = block.get("content")
    text = _cut(result_text(content), out)
    texts.append(text)
    if isinstance(content, list):
        kinds = [part.get("type") for part in content if isinstance(part, dict)]
        out.carries |= {kind for kind in CARRIED if kind in kinds}
    is_error = block.get("is_error") is True
    told = record.get("toolUseResult")
    error = error_text(text) if is_error else ""
    out.results.append(
        Result(
            _text(block, "tool_use_id"), is_error, error, _text(told, "agentId"), _saved_as(text),
            patch_lines(told),
        )
    )  # fmt: skip
    out.is_error = out.is_error or is_error


def _saved_as(text: str) -> str:
    """The name, without its ending, of the file in tool-results that holds the whole output."""
    found = SAVED.search(text, 0, 1000) if "saved to: " in text[:1000] else None
    return found.group(1) if found else ""


def _task(text: str, out: Parsed) -> None:
    """A notification of a background task may tell which call started which sub-agent."""
    task = TASK.search(text, 0, 2000) if "<task-id>" in text[:2000] else None
    call = TASK_CALL.search(text, 0, 2000) if task else None
    if task and call:
        out.results.append(Result(call.group(1), False, agent_id=task.group(1), is_end=False))


def _assistant(record: dict[str, Any], out: Parsed) -> None:
    message = _message(record)
    out.model, out.stop_reason = _text(message, "model")[:200], _text(message, "stop_reason")
    out.is_synthetic = out.model == SYNTHETIC
    texts: list[str] = []
    for block in blocks_of(message.get("content")):
        kind = block.get("type")
        if kind == "text":
            out.kinds.append(Kind.ANSWER)
            texts.append(_cut(_text(block, "text"), out))
        elif kind == "thinking":
            out.kinds.append(Kind.THINKING)
            texts.append(_cut(_text(block, "thinking"), out))
        elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            out.kinds.append(Kind.TOOL_CALL)
            call = call_of(block)
            out.calls.append(call)
            texts.append(_cut(f"{call.name}\n{words_of(block.get('input'), INDEX_MOST + 1)}", out))
        elif kind == "redacted_thinking":
            out.kinds.append(Kind.THINKING)
        elif isinstance(kind, str) and kind.endswith("_tool_result"):
            texts.append(_cut(result_text(block.get("content")), out))
        else:
            _unknown_block(kind, out)
    for kind in (Kind.TOOL_CALL, Kind.ANSWER, Kind.THINKING):
        if kind in out.kinds:
            out.kind = kind
            break
    else:
        out.kind = Kind.ANSWER
    out.text = "\n".join(texts)
    if record.get("isApiErrorMessage") is True or isinstance(record.get("error"), str):
        out.is_error, out.subtype = True, "api_error"
        out.preview = out.text
    out.usage = _usage(record, message, out)


def _usage(record: dict[str, Any], message: dict[str, Any], out: Parsed) -> Usage | None:
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return None
    split = usage.get("cache_creation")
    hour = _count(split, "ephemeral_1h_input_tokens")
    five = _count(split, "ephemeral_5m_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    server = usage.get("server_tool_use")
    return Usage(
        key=_response_key(record, message),
        model=out.model,
        service_tier=_text(usage, "service_tier")[:20],
        speed=_text(usage, "speed")[:20],
        input=_count(usage, "input_tokens"),
        output=_count(usage, "output_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write_5m=five if hour or five else written,
        cache_write_1h=hour,
        web_searches=_count(server, "web_search_requests"),
        web_fetches=_count(server, "web_fetch_requests"),
    )


def _response_key(record: dict[str, Any], message: dict[str, Any]) -> bytes:
    """Message id and request id, else message id (ccusage#976); empty for neither."""
    message_id, request_id = _text(message, "id"), _text(record, "requestId")
    return _digest(f"{message_id}\n{request_id}") if message_id else b""


def _system(record: dict[str, Any], out: Parsed) -> None:
    out.subtype, out.kind = _text(record, "subtype")[:60], Kind.SYSTEM
    if out.subtype == "compact_boundary":
        out.kind = Kind.COMPACT_BOUNDARY
    elif out.subtype == "turn_duration":
        out.kind, out.duration_ms = Kind.STATE, _count(record, "durationMs")
    elif out.subtype == "local_command":
        out.kind = Kind.COMMAND
    out.is_error = out.subtype == "api_error" or record.get("level") == "error"
    out.text = _cut(_text(record, "content"), out)
    out.preview = out.text or out.subtype


def _attachment(record: dict[str, Any], out: Parsed) -> None:
    attachment = record.get("attachment")
    out.kind = Kind.ATTACHMENT
    if not isinstance(attachment, dict):
        return
    out.subtype = _text(attachment, "type")[:60]
    if out.subtype == "queued_command":
        out.kind = Kind.QUEUE
        prompt = attachment.get("prompt")
        out.text = _cut("\n".join(_text(block, "text") for block in blocks_of(prompt)), out)
        out.preview = out.text
    else:
        out.text = _cut(words_of(attachment, INDEX_MOST + 1), out)


def _progress(record: dict[str, Any], out: Parsed) -> None:
    """Repeats what other records say: not searched. An agent's progress tells which call started it."""
    out.kind = Kind.PROGRESS
    data = record.get("data")
    if isinstance(data, dict):
        out.subtype = _text(data, "type")[:60]
        agent, call = _text(data, "agentId"), _text(record, "parentToolUseID") or _text(record, "toolUseID")
        if agent and call:
            out.results.append(Result(call, is_error=False, agent_id=agent, is_end=False))


def _title(record: dict[str, Any], out: Parsed) -> None:
    out.kind, out.title_kind = Kind.TITLE, TITLES[out.type]
    out.title = " ".join(_text(record, TITLE_FIELDS[out.type]).split())[:300]
    out.leaf_uid = uid_of(record.get("leafUuid"))
    out.text = out.preview = out.title


def _queue(record: dict[str, Any], out: Parsed) -> None:
    """What was typed while the model worked. Taken out again (dequeue, popAll), it comes as a prompt."""
    out.kind, out.subtype = Kind.QUEUE, _text(record, "operation")[:60]
    if out.subtype not in ("remove", "enqueue"):
        out.kind = Kind.STATE
        return
    text = "\n".join(_text(block, "text") for block in blocks_of(record.get("content")))
    if text.lstrip().startswith("<task-notification>"):
        out.kind = Kind.STATE
        _task(text, out)
        return
    out.text = out.preview = _cut(text, out)


def _pull_request(record: dict[str, Any], out: Parsed) -> None:
    out.kind = Kind.PULL_REQUEST
    words = [_text(record, "prRepository"), f"#{_count(record, 'prNumber')}", _text(record, "prUrl")]
    out.text = " ".join(words)
    out.preview = out.text


_READERS = {
    "user": _user, "assistant": _assistant, "system": _system, "attachment": _attachment,
    "progress": _progress, "queue-operation": _queue, "pr-link": _pull_request,
    **dict.fromkeys(TITLES, _title),
}  # fmt: skip


def _message(record: dict[str, Any]) -> dict[str, Any]:
    message = record.get("message")
    return message if isinstance(message, dict) else {}


def _document(block: dict[str, Any]) -> str:
    source = block.get("source")
    plain = isinstance(source, dict) and source.get("type") == "text"
    return "\n".join([_text(block, "title"), _text(source, "data") if plain else ""])


def _unknown_block(kind: Any, out: Parsed) -> None:
    out.unknown.append(f"block {str(kind)[:60]}")


def _cut(text: str, out: Parsed) -> str:
    if len(text) <= INDEX_MOST:
        return text
    out.cut += 1
    return text[:INDEX_MOST]


def _text(holder: Any, name: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, str) else ""


def _count(holder: Any, name: str) -> int:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, int) and 0 <= value < COUNT_MOST and value is not True else 0


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
