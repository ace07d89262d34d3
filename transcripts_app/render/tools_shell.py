"""Views of tools that run programs. No Django here."""

from __future__ import annotations

import re
from typing import Any

from transcripts_app.render.code import code_html
from transcripts_app.render.parts import OUTPUT_LINES, saved_part
from transcripts_app.render.tags import tags_of
from transcripts_app.render.terminal import terminal_html
from transcripts_app.render.use import Drawn, Result, Use, result_parts
from transcripts_app.render.values import count, cut, short, text
from transcripts_app.render.view import Part

_EXIT = re.compile(r"(?:Error: )?Exit code (-?\d{1,10})\n?")
_TAGS = ("stdout", "stderr", "status", "exit_code", "output")
COMMAND_LINES = 40


def bash(use: Use) -> Drawn:
    """A command as a terminal shows it: what was typed, what it wrote, how it ended."""
    command, description = text(use.given, "command"), short(text(use.given, "description"))
    data: dict[str, Any] = {"command_html": "", "background": use.given.get("run_in_background") is True}
    shown = cut(command, use.whole, lines=COMMAND_LINES, characters=6_000)
    data["command_html"] = code_html(shown.text, "bash", whole=use.whole)
    part = Part("terminal", data, is_cut=shown.is_cut, size=shown.size)
    is_run = use.result is not None and use.result.state != "rejected"
    more = _result(use, part) if is_run else []
    seconds = count(use.given, "timeout")
    if seconds and not data["background"]:
        data["timeout"] = f"{seconds / 1000:g} s"
    return Drawn(description, [part, *more], is_run, "terminal-2")


def _result(use: Use, part: Part) -> list[Part]:
    result, told, data = use.result, use.told, part.data
    assert result is not None
    if told.get("isImage") is True or _has_pictures(result):
        return result_parts(result, whole=use.whole, inline=use.inline)
    out, err = text(told, "stdout"), text(told, "stderr")
    content = result.text
    if not out and not err:
        out = content.removeprefix("<tool_use_error>").removesuffix("</tool_use_error>")
    if result.is_error and (found := _EXIT.match(out)):
        data["exit"], out = found[1], out[found.end() :]
    elif result.is_error:
        data["failed"] = True
    data["note"] = short(text(told, "returnCodeInterpretation"))
    data["task"] = short(text(told, "backgroundTaskId"), 60)
    output_put(part, out, err, use.whole)
    saved = saved_part(content)
    return [saved] if saved else []


def _has_pictures(result: Result) -> bool:
    return isinstance(result.content, list) and any(
        isinstance(block, dict) and block.get("type") == "image" for block in result.content
    )


def output_put(part: Part, out: str, err: str, whole: bool) -> None:
    """Put output and errors of a program into a terminal's part."""
    for name, value in (("output_html", out), ("error_html", err)):
        shown = cut(value.strip("\n"), whole, lines=OUTPUT_LINES)
        part.data[name] = terminal_html(shown.text)
        if shown.is_cut:
            part.is_cut, part.size = True, shown.size
    part.data["is_empty"] = not part.data["output_html"] and not part.data["error_html"]


def background_output(use: Use) -> Drawn:
    """What a background command has written since it was last asked (BashOutput, TaskOutput)."""
    task = short(text(use.given, "bash_id", "task_id", "shell_id"), 60)
    drawn = Drawn(task, icon="terminal-2")
    if not use.done or use.result is None:
        return drawn
    told = use.told
    inner = told["task"] if isinstance(told.get("task"), dict) else told
    tags = tags_of(use.result.text, _TAGS)
    out = text(inner, "stdout", "output") or tags.get("stdout", "") or tags.get("output", "")
    err = text(inner, "stderr") or tags.get("stderr", "")
    status = text(inner, "status") or text(told, "status") or tags.get("status", "")
    exit_code = count(inner, "exitCode")
    command = text(inner, "command", "description")
    part = Part("terminal", {"command_html": code_html(cut(command).text, "bash") if command else ""})
    part.data["note"] = short(status, 60)
    part.data["exit"] = str(exit_code) if exit_code is not None else tags.get("exit_code", "")[:10]
    if not out and not err and not tags and not command:
        out = use.result.text
    output_put(part, out, err, use.whole)
    drawn.parts, drawn.has_result = [part], True
    return drawn


def background_stop(use: Use) -> Drawn:
    """KillShell, KillBash, TaskStop."""
    task = short(text(use.given, "shell_id", "bash_id", "task_id"), 60)
    command = short(text(use.told, "command"), 120)
    return Drawn(f"{task} · {command}" if command else task, icon="player-stop", has_result=bool(command))
