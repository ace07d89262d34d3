"""A tool call as a part: its name, a line that says what it does, its tool's view. No Django here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transcripts_app.render import tools_files, tools_shell, tools_work
from transcripts_app.render.parts import error_part, facts_part, is_long, json_part, text_part
from transcripts_app.render.use import Drawn, Result, Use, result_parts
from transcripts_app.render.values import short, text
from transcripts_app.render.view import Part

VIEWS: dict[str, Callable[[Use], Drawn]] = {
    "Bash": tools_shell.bash,
    "BashOutput": tools_shell.background_output,
    "TaskOutput": tools_shell.background_output,
    "AgentOutputTool": tools_shell.background_output,
    "KillShell": tools_shell.background_stop,
    "KillBash": tools_shell.background_stop,
    "TaskStop": tools_shell.background_stop,
    "Read": tools_files.read,
    "NotebookRead": tools_files.read,
    "Edit": tools_files.edit,
    "MultiEdit": tools_files.edit,
    "Write": tools_files.write,
    "NotebookEdit": tools_files.notebook_edit,
    "Grep": tools_files.grep,
    "Glob": tools_files.glob,
    "LS": tools_files.ls,
    "TodoWrite": tools_work.todo_write,
    "TaskCreate": tools_work.task_list,
    "TaskUpdate": tools_work.task_list,
    "TaskGet": tools_work.task_list,
    "TaskList": tools_work.task_list,
    "Task": tools_work.agent,
    "Agent": tools_work.agent,
    "ExitPlanMode": tools_work.plan,
    "exit_plan_mode": tools_work.plan,
    "AskUserQuestion": tools_work.question,
    "Skill": tools_work.skill,
    "SlashCommand": tools_work.skill,
    "WebFetch": tools_work.web_fetch,
    "WebSearch": tools_work.web_search,
    "web_fetch": tools_work.web_fetch,
    "web_search": tools_work.web_search,
    "ToolSearch": tools_work.tool_search,
    "SendMessage": tools_work.message,
}
NAMES = {"Task": "Agent", "exit_plan_mode": "Plan", "ExitPlanMode": "Plan", "AskUserQuestion": "Question",
         "TodoWrite": "To do", "web_search": "WebSearch", "web_fetch": "WebFetch"}  # fmt: skip
STATES = {"error": "failed", "rejected": "refused by the user", "interrupted": "interrupted"}
IN_WORDS = {"Bash", "Task", "Agent", "TodoWrite", "TaskCreate", "TaskList", "ExitPlanMode", "AskUserQuestion"}
SHORT_MOST = 200  # characters of a value that stands beside its name
ROWS_MOST = 12


def tool_part(
    block: dict[str, Any], result: Result | None, *, whole: bool = False, inline: bool = False
) -> Part:
    """Draw a tool_use block with its result, if it has one yet."""
    given = block.get("input")
    name = text(block, "name") or "Tool"
    use = Use(name, given if isinstance(given, dict) else {}, text(block, "id"), result, whole, inline)
    view = VIEWS.get(name)
    drawn = view(use) if view else _unknown(use, given)
    parts = drawn.parts
    if result is not None and not (drawn.has_result and (use.done or name == "Bash")):
        parts = [*parts, *_result(result, whole, inline)]
    server, tool = mcp_name(name)
    state = result.state if result else "" if block.get("type") == "server_tool_use" else "open"
    data = {
        "name": NAMES.get(name, short(tool, 80)), "server": short(server, 60), "tool_use_id": use.id,
        "icon": drawn.icon if not server else "plug", "detail": drawn.detail, "is_words": name in IN_WORDS,
        "state": state, "state_text": STATES.get(state, ""),
    }  # fmt: skip
    return Part("tool", data, parts=parts)


def mcp_name(name: str) -> tuple[str, str]:
    """Split `mcp__server__tool`; the server of any other tool is empty."""
    if not name.startswith("mcp__"):
        return "", name
    server, _, tool = name[5:].partition("__")
    return (server, tool) if tool else ("", name)


def _unknown(use: Use, given: Any) -> Drawn:
    """Short values beside their names; long texts below; anything nested as JSON."""
    drawn = Drawn()
    if not use.given:
        if given not in (None, {}, ""):
            drawn.parts = [json_part(given, whole=use.whole)]
        return drawn
    values = list(use.given.items())
    if len(values) > ROWS_MOST or any(isinstance(value, dict | list) for _, value in values):
        drawn.parts = [json_part(use.given, whole=use.whole)]
        return drawn
    rows = [(short(name, 60), _plain(value)) for name, value in values if not _is_long(value)]
    drawn.parts = [facts_part(rows)] if rows else []
    drawn.parts += [
        text_part(value, whole=use.whole, label=short(name, 60), folded=is_long(value))
        for name, value in values
        if _is_long(value)
    ]
    return drawn


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > SHORT_MOST or "\n" in value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short("none" if value is None else str(value) if not isinstance(value, str) else value)


def _result(result: Result, whole: bool, inline: bool) -> list[Part]:
    if result.is_error:
        words = result.text
        return (
            [error_part(words, whole=whole, tone="warn" if result.state != "error" else "bad")]
            if words
            else []
        )
    return result_parts(result, whole=whole, inline=inline, folded=is_long(result.text) and not whole)


def result_alone(result: Result, *, whole: bool = False, inline: bool = False) -> list[Part]:
    """Draw a result whose call is not at hand, by what it tells of itself."""
    told = result.told if isinstance(result.told, dict) else {}
    name = _guess(told)
    if name and not result.is_error:
        drawn = VIEWS[name](Use(name, _given(told), "", result, whole, inline))
        if drawn.has_result and drawn.parts:
            return drawn.parts
    return _result(result, whole, inline)


def _guess(told: dict[str, Any]) -> str:
    if "stdout" in told and "stderr" in told:
        return "Bash"
    if isinstance(told.get("structuredPatch"), list):
        return "Write" if "content" in told else "Edit"
    if isinstance(told.get("file"), dict):
        return "Read"
    return "Grep" if "filenames" in told and "mode" in told else "Glob" if "filenames" in told else ""


def _given(told: dict[str, Any]) -> dict[str, Any]:
    """What the call must have been given, as far as its result repeats it."""
    file = told.get("file")
    path = text(file, "filePath") or text(told, "filePath")
    given = {"file_path": path, "old_string": text(told, "oldString"), "new_string": text(told, "newString")}
    return {name: value for name, value in given.items() if value} | (
        {"content": text(told, "content")} if "structuredPatch" in told else {}
    )
