"""What is neither prompt nor answer: commands, reminders, compaction, hooks, the queue. No Django here."""

from __future__ import annotations

from typing import Any

from transcripts_app.format.record import blocks_of
from transcripts_app.render.code import language_of_path
from transcripts_app.render.media import places
from transcripts_app.render.parts import (
    code_part,
    error_part,
    json_part,
    lines_part,
    markdown_part,
    media_part,
    note_part,
    text_part,
)
from transcripts_app.render.tags import TASK_TAGS, Piece, pieces_of, tags_of
from transcripts_app.render.tools_work import links_part, milliseconds
from transcripts_app.render.values import count, items, mapping, short, text
from transcripts_app.render.view import Part, RecordView

OUTPUT_TAGS = {
    "local-command-stdout": "",
    "bash-stdout": "",
    "local-command-stderr": "bad",
    "bash-stderr": "bad",
}
FOLDED_TAGS = {
    "system-reminder": "Reminder to the model", "local-command-caveat": "Caveat to the model",
    "user-prompt-submit-hook": "Added by a hook", "session-start-hook": "Added by a hook",
    "command-contents": "What the command says", "user-memory-input": "To be remembered",
    "ide_opened_file": "File open in the editor", "ide_selection": "Selected in the editor",
    "persisted-output": "Output put aside", "teammate-message": "From a teammate",
}  # fmt: skip


def tagged_parts(value: str, *, whole: bool = False) -> list[Part]:
    """Draw a user message with Claude Code's own tags as what they are."""
    parts: list[Part] = []
    pieces = pieces_of(value)
    tags = {piece.tag: piece.text.strip() for piece in pieces if piece.tag}
    for piece in pieces:
        if piece.tag == "command-name":
            given = short(tags.get("command-args", ""), 2000)
            parts.append(
                Part("command", {"name": short(piece.text.strip(), 100), "mark": "", "arguments": given})
            )
        elif piece.tag == "command-message" and "command-name" not in tags:
            parts.append(
                Part("command", {"name": short(piece.text.strip(), 100), "mark": "", "arguments": ""})
            )
        elif piece.tag == "bash-input":
            parts.append(Part("command", {"name": piece.text.strip()[:2000], "mark": "!", "arguments": ""}))
        elif piece.tag not in ("command-args", "command-message"):
            parts += _piece(piece, whole)
    return parts


def _piece(piece: Piece, whole: bool) -> list[Part]:
    inner = piece.text.strip("\n")
    if not piece.tag:
        return [markdown_part(inner, whole=whole)]
    if piece.tag in OUTPUT_TAGS:
        if not inner.strip() or inner.strip() == "(no content)":
            return []
        return [text_part(inner, whole=whole, tone=OUTPUT_TAGS[piece.tag] or "output")]
    if piece.tag == "task-notification":
        return _task(inner, whole)
    return [markdown_part(inner, whole=whole, label=FOLDED_TAGS.get(piece.tag, piece.tag), folded=True)]


def _task(inner: str, whole: bool) -> list[Part]:
    """A background task or sub-agent has ended."""
    told = tags_of(inner, TASK_TAGS)
    facts = [
        (name, short(told[tag])) for tag, name in (("status", "Status"), ("task-id", "Task")) if told.get(tag)
    ]
    tone = "bad" if told.get("status") in ("failed", "error", "killed") else ""
    parts = [note_part(short(told.get("summary", "") or "A background task has ended", 500), icon="bell",
                       tone=tone, facts=facts)]  # fmt: skip
    if told.get("result"):
        parts.append(markdown_part(told["result"], whole=whole, label="What it answered", folded=True))
    return parts


def compact_boundary(record: dict[str, Any]) -> RecordView:
    """Where the conversation was summed up, and how much there was before."""
    told = mapping(record, "compactMetadata")
    trigger = text(told, "trigger")
    facts = []
    if (before := count(told, "preTokens")) is not None:
        facts.append(("Tokens before", f"{before:,}"))
    words = {"auto": "Compacted: the window was full", "manual": "Compacted, as asked"}.get(
        trigger, "Compacted"
    )
    part = Part("boundary", {"text": words, "facts": facts})
    return RecordView("note", "Compaction", [part], "fold", is_quiet=True)


def compact_summary(record: dict[str, Any], *, whole: bool = False) -> RecordView:
    """What the model was told of the conversation so far."""
    words = "\n".join(text(block, "text") for block in blocks_of(mapping(record, "message").get("content")))
    part = markdown_part(words, whole=whole, label="Summary of what came before", folded=True)
    return RecordView("note", "Summary", [part], "fold")


def system(record: dict[str, Any], *, whole: bool = False) -> RecordView:
    """Messages of Claude Code itself."""
    subtype, content = text(record, "subtype"), text(record, "content")
    if subtype == "api_error":
        return _api_error(record, whole)
    if subtype == "turn_duration":
        return _line("note", f"The turn took {milliseconds(count(record, 'durationMs') or 0)}", "clock")
    if subtype == "stop_hook_summary":
        return _hooks(record, whole)
    if subtype == "local_command":
        return RecordView("prompt", "Command", tagged_parts(content, whole=whole), "slash")
    level = text(record, "level")
    if not content:
        return raw(record, whole=whole)
    tone = "error" if level == "error" else "note"
    parts = [text_part(content, whole=whole, tone="bad" if tone == "error" else "")]
    name = short(subtype.replace("_", " ").capitalize(), 60) or "System"
    return RecordView(tone, name, parts, "info-circle", is_quiet=tone != "error")


def _api_error(record: dict[str, Any], whole: bool) -> RecordView:
    error = record.get("error") or record.get("cause")
    words = text(record, "content") or text(error, "message") or text(mapping(error, "error"), "message")
    facts = []
    if (attempt := count(record, "retryAttempt")) is not None:
        facts.append(("Attempt", f"{attempt} of {count(record, 'maxRetries') or '?'}"))
    wait = record.get("retryInMs")
    if isinstance(wait, int | float):
        facts.append(("Again in", milliseconds(round(wait)) if 0 <= wait < 1e12 else "?"))
    if (status := count(error, "status")) is not None:
        facts.append(("Status", str(status)))
    parts = [error_part(words, whole=whole)] if words else []
    if facts or not parts:
        parts.append(
            note_part("The API did not answer as it should", icon="alert-triangle", tone="bad", facts=facts)
        )
    if isinstance(error, dict) and not words:
        parts.append(json_part(error, whole=whole, label="Error", folded=True))
    return RecordView("error", "API error", parts, "alert-triangle")


def _hooks(record: dict[str, Any], whole: bool) -> RecordView:
    hooks = [
        short(text(hook, "command"), 160) for hook in items(record, "hookInfos")[:20] if text(hook, "command")
    ]
    errors = [error for error in items(record, "hookErrors")[:20] if isinstance(error, str) and error]
    number = count(record, "hookCount") or len(hooks)
    words = f"{number} hooks ran at the end" if number != 1 else "A hook ran at the end"
    if record.get("preventedContinuation") is True:
        words += " and held the model back"
    parts = [note_part(words, icon="route", facts=[("Hook", hook) for hook in hooks])]
    if reason := text(record, "stopReason"):
        parts.append(text_part(reason, whole=whole))
    parts += [error_part(error, whole=whole) for error in errors]
    return RecordView("error" if errors else "note", "Hooks", parts, "route", is_quiet=not errors)


def attachment(record: dict[str, Any], *, whole: bool = False, inline: bool = False) -> RecordView:
    """What Claude Code put beside a message."""
    told = mapping(record, "attachment")
    kind = text(told, "type")
    if kind == "queued_command":
        return _queued(record, told.get("prompt"), whole, inline)
    if kind == "file" or kind == "directory" or kind == "edited_text_file":
        return _file(told, kind, whole)
    if kind.startswith("hook_"):
        return _hook(told, kind, whole)
    name = short(kind.replace("_", " "), 60) or "Attachment"
    words = text(told, "content", "snippet", "message")
    parts = [text_part(words, whole=whole, label=name, folded=True)] if words else []
    parts = parts or [json_part(told, whole=whole, label=name, folded=True)]
    return RecordView("note", "Attached", parts, "paperclip", is_quiet=True)


def _file(told: dict[str, Any], kind: str, whole: bool) -> RecordView:
    path = text(told, "displayPath") or text(told, "filename") or text(told, "path")
    content = told.get("content")
    inner = mapping(content, "file") if isinstance(content, dict) else {}
    words = text(inner, "content") or text(told, "content", "snippet")
    label = short(path) or "File"
    if kind == "file" and words:
        first = count(inner, "startLine") or 1
        part = lines_part(words, language_of_path(path), first, whole=whole, label=label, folded=True)
    elif words:
        part = code_part(words, "", whole=whole, label=label, folded=True)
    else:
        part = note_part(label, icon="paperclip")
    title = {"file": "File", "directory": "Folder", "edited_text_file": "File changed meanwhile"}[kind]
    return RecordView("note", title, [part], "paperclip", is_quiet=True)


def _hook(told: dict[str, Any], kind: str, whole: bool) -> RecordView:
    name = text(told, "hookName") or text(told, "hookEvent")
    is_error = "error" in kind
    words = text(told, "stderr") if is_error else ""
    content = told.get("content")
    listed = "\n".join(item for item in content if isinstance(item, str)) if isinstance(content, list) else ""
    words = words or text(told, "content", "stdout", "message", "blockingError", "stderr") or listed
    words = words or text(mapping(told, "blockingError"), "blockingError")
    what = short(kind.removeprefix("hook_").replace("_", " "), 40)
    parts = [note_part(f"Hook {short(name, 80)}: {what}", icon="route", tone="bad" if is_error else "")]
    if words:
        parts.append(
            error_part(words, whole=whole)
            if is_error
            else text_part(words, whole=whole, label="What it said", folded=True)
        )
    return RecordView("error" if is_error else "note", "Hook", parts, "route", is_quiet=not is_error)


def queue(record: dict[str, Any], *, whole: bool = False, inline: bool = False) -> RecordView:
    """Messages typed while the model was at work."""
    if record.get("type") == "attachment":
        return attachment(record, whole=whole, inline=inline)
    operation = text(record, "operation")
    words = {"enqueue": "Queued", "dequeue": "Taken from the queue", "remove": "Told while at work",
             "popAll": "The queue was emptied"}.get(operation, "Queue")  # fmt: skip
    content = "\n".join(text(block, "text") for block in blocks_of(record.get("content")))
    if not content:
        return _line("note", words, "hourglass")
    view = RecordView(
        "prompt" if operation == "remove" else "note", words, tagged_parts(content, whole=whole), "hourglass"
    )
    view.is_quiet = operation != "remove"
    return view


def _queued(record: dict[str, Any], prompt: Any, whole: bool, inline: bool) -> RecordView:
    parts: list[Part] = []
    where = places(record)
    for block in blocks_of(prompt):
        if block.get("type") == "text":
            parts += tagged_parts(text(block, "text"), whole=whole)
        elif block.get("type") in ("image", "document"):
            parts.append(media_part(block, where.get(id(block), ""), inline=inline))
    return RecordView("prompt", "Told while at work", parts, "hourglass")


def pull_request(record: dict[str, Any]) -> RecordView:
    """A pull request that came of the session."""
    number, url = count(record, "prNumber"), text(record, "prUrl")
    title = f"{short(text(record, 'prRepository'), 120)} #{number if number is not None else '?'}".strip()
    return RecordView("note", "Pull request", [links_part([(title, url)])], "git-pull-request", is_quiet=True)


def progress(record: dict[str, Any], *, whole: bool = False) -> RecordView:
    """A sign of life of a tool, a hook or an agent: what it says is said again elsewhere."""
    data = mapping(record, "data")
    kind = text(data, "type")
    words = text(data, "output") or text(data, "command") or text(data, "hookName")
    view = _line("note", short(kind.replace("_", " ").capitalize(), 60) or "Progress", "hourglass")
    if words:
        view.parts.append(text_part(words, whole=whole, label="Meanwhile", folded=True))
    return view


def title(record: dict[str, Any]) -> RecordView:
    """A title or a summary of the session."""
    words = text(record, "summary", "customTitle", "aiTitle", "agentName")
    return _line("note", f"Title: {short(words, 300)}" if words else "Title", "tags")


def raw(record: dict[str, Any], *, whole: bool = False) -> RecordView:
    """A record that has no view: its type, and all of it on demand."""
    kind = short(text(record, "type"), 60) or "no type"
    subtype = short(text(record, "subtype"), 60)
    label = f"{kind} · {subtype}" if subtype else kind
    return RecordView(
        "note", "Record", [json_part(record, whole=whole, label=label, folded=True)], "code", is_quiet=True
    )


def _line(tone: str, words: str, icon: str) -> RecordView:
    return RecordView(tone, "", [note_part(words, icon=icon)], icon, is_quiet=True)
