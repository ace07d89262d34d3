"""Views of tools that plan, ask, delegate and look things up. No Django here."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from transcripts_app.render.markdown import link_is_safe
from transcripts_app.render.parts import facts_part, json_part, markdown_part, note_part
from transcripts_app.render.use import Drawn, Result, Use, result_parts
from transcripts_app.render.values import count, items, mapping, short, text
from transcripts_app.render.view import Part

LINKS = "Links: ["
LINKS_MOST = 50
TODOS_MOST = 200


def todo_write(use: Use) -> Drawn:
    """A list of things to do, with what changed since the last one."""
    new = [item for item in items(use.given, "todos") if isinstance(item, dict)][:TODOS_MOST]
    before = {text(item, "content"): text(item, "status") for item in items(use.told, "oldTodos")}
    rows = []
    for item in new:
        content, status = text(item, "content"), text(item, "status")
        old = before.get(content)
        change = "new" if before and old is None else "changed" if old is not None and old != status else ""
        rows.append({"text": short(content, 500), "status": short(status, 20), "change": change})
    gone = [
        short(content, 500) for content in before if content not in {text(item, "content") for item in new}
    ]
    done = sum(row["status"] == "completed" for row in rows)
    part = Part("todos", {"rows": rows, "gone": gone[:TODOS_MOST]})
    return Drawn(f"{done} of {len(rows)} done", [part], True, "checklist")


def task_list(use: Use) -> Drawn:
    """TaskCreate, TaskUpdate, TaskGet, TaskList: one task, or all of them."""
    told = use.told
    rows = [
        {
            "text": short(text(item, "subject", "content"), 500),
            "status": short(text(item, "status"), 20),
            "change": "",
        }
        for item in items(told, "tasks")[:TODOS_MOST]
        if isinstance(item, dict)
    ]
    if rows:
        done = sum(row["status"] == "completed" for row in rows)
        return Drawn(
            f"{done} of {len(rows)} done", [Part("todos", {"rows": rows, "gone": []})], True, "checklist"
        )
    task = mapping(told, "task")
    number = text(use.given, "taskId") or text(task, "id")
    words = text(use.given, "subject") or text(task, "subject")
    status = text(use.given, "status")
    detail = " · ".join(
        part for part in (f"#{short(number, 20)}" if number else "", short(words), short(status, 20)) if part
    )
    parts = (
        [markdown_part(text(use.given, "description"), whole=use.whole)]
        if text(use.given, "description")
        else []
    )
    return Drawn(detail, parts, use.done, "checklist")


def agent(use: Use) -> Drawn:
    """A sub-agent: what it was told, how it went, and room for its own messages."""
    kind, what = text(use.given, "subagent_type"), text(use.given, "description")
    told = use.told
    drawn = Drawn(short(what), icon="robot", has_result=use.done)
    if kind:
        drawn.detail = f"{short(kind, 60)} · {drawn.detail}"
    prompt = text(use.given, "prompt") or text(told, "prompt")
    if prompt:
        drawn.parts.append(markdown_part(prompt, whole=use.whole, label="What it was told", folded=True))
    facts = _agent_facts(told)
    slot = {"tool_use_id": use.id, "agent_id": short(text(told, "agentId"), 60), "facts": facts}
    drawn.parts.append(Part("agent", slot))
    if use.done and use.result is not None:
        if text(told, "status") == "async_launched" or told.get("isAsync") is True:
            drawn.parts.append(note_part("Works in the background", icon="hourglass"))
        else:
            drawn.parts += [_as_markdown(part, use) for part in _answers(use.result, told)]
    return drawn


def _answers(result: Result, told: dict[str, Any]) -> list[str]:
    blocks = items(told, "content") or result.content
    if isinstance(blocks, str):
        return [blocks]
    words = [block if isinstance(block, str) else text(block, "text") for block in blocks or []]
    # The last block of a result names the agent for the model; it is no answer.
    return [word for word in words if word.strip() and not word.startswith("agentId: ")]


def _as_markdown(value: str, use: Use) -> Part:
    return markdown_part(value, whole=use.whole, label="What it answered", folded=len(value) > 1500)


def _agent_facts(told: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    if (calls := count(told, "totalToolUseCount")) is not None:
        facts.append(("Tool calls", f"{calls:,}"))
    if (tokens := count(told, "totalTokens")) is not None:
        facts.append(("Tokens", f"{tokens:,}"))
    if (lasted := count(told, "totalDurationMs")) is not None:
        facts.append(("Time", milliseconds(lasted)))
    return facts


def milliseconds(value: int) -> str:
    """Write milliseconds as people say them."""
    if value < 1000:
        return f"{value} ms"
    seconds = value / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def plan(use: Use) -> Drawn:
    """A plan that was put before the user."""
    words = text(use.given, "plan") or text(use.told, "plan")
    state = use.result.state if use.result else ""
    detail = {"done": "approved", "rejected": "not approved", "interrupted": "interrupted"}.get(state, "")
    drawn = Drawn(detail, icon="map", has_result=use.done)
    if words:
        drawn.parts = [markdown_part(words, whole=use.whole)]
    return drawn


def question(use: Use) -> Drawn:
    """Questions to the user, their choices, and what was chosen."""
    answers = mapping(use.told, "answers") or mapping(use.given, "answers")
    rows = []
    for one in items(use.given, "questions")[:20]:
        if not isinstance(one, dict):
            continue
        asked = text(one, "question")
        answer = answers.get(asked)
        chosen = answer if isinstance(answer, str) else ""
        options = [
            {
                "label": short(text(option, "label")),
                "description": short(text(option, "description"), 500),
                "is_chosen": bool(chosen) and text(option, "label") in re.split(r", ?", chosen),
            }
            for option in items(one, "options")[:20]
            if isinstance(option, dict)
        ]
        own = chosen if chosen and not any(option["is_chosen"] for option in options) else ""
        rows.append({"header": short(text(one, "header"), 60), "question": short(asked, 1000),
                     "options": options, "own": short(own, 1000)})  # fmt: skip
    return Drawn(f"{len(rows)} questions" if len(rows) != 1 else "", [Part("questions", {"rows": rows})],
                 use.done and bool(answers), "help")  # fmt: skip


def skill(use: Use) -> Drawn:
    """A skill or a slash command that the model called itself."""
    name = text(use.given, "skill", "command", "name")
    arguments = text(use.given, "args", "arguments")
    detail = short(f"{name} {arguments}".strip())
    return Drawn(detail, icon="wand", has_result=use.done and isinstance(use.told.get("success"), bool))


def web_fetch(use: Use) -> Drawn:
    """A page that was fetched, what was asked of it, and the answer."""
    url = text(use.given, "url")
    code, size = count(use.told, "code"), count(use.told, "bytes")
    drawn = Drawn(short(url), icon="world", has_result=use.done)
    facts = [("Asked", short(text(use.given, "prompt"), 1000))] if text(use.given, "prompt") else []
    if code is not None:
        facts.append(("Status", short(f"{code} {text(use.told, 'codeText')}", 60)))
    if size is not None:
        facts.append(("Size", f"{size:,} bytes"))
    drawn.parts = [_links_part([(url, url)])] if link_is_safe(url) else []
    drawn.parts += [facts_part(facts)] if facts else []
    if use.done and use.result is not None:
        words = text(use.told, "result") or use.result.text
        drawn.parts.append(markdown_part(words, whole=use.whole, label="Answer", folded=len(words) > 1500))
    return drawn


def web_search(use: Use) -> Drawn:
    """A search and its links."""
    drawn = Drawn(f"“{short(text(use.given, 'query'))}”", icon="world-search")
    if not use.done or use.result is None:
        return drawn
    links, words = _search_results(use.told)
    if not links:
        links, words = _links_of_text(use.result.text[:100_000])
    if links or words:
        drawn.parts = [_links_part(links)] if links else []
        drawn.parts += [
            markdown_part(word, whole=use.whole, label="Answer", folded=len(word) > 800)
            for word in words
            if word.strip()
        ]
        drawn.has_result = True
    return drawn


def _search_results(told: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str]]:
    links: list[tuple[str, str]] = []
    words: list[str] = []
    for one in items(told, "results"):
        if isinstance(one, str):
            words.append(one)
            continue
        found = (link for link in items(one, "content") if isinstance(link, dict))
        links.extend((text(link, "title"), text(link, "url")) for link in found)
    return links, words


def _links_of_text(value: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Read `Links: [{"title": …, "url": …}]`, and what is said besides."""
    begin = value.find(LINKS)
    if begin < 0:
        return [], []
    at = begin + len(LINKS) - 1
    try:
        found, end = json.JSONDecoder().raw_decode(value, at)
    except (ValueError, RecursionError):
        return [], []
    links = [(text(one, "title"), text(one, "url")) for one in found if isinstance(one, dict)]
    return links, [value[end:].strip()]


def _links_part(links: list[tuple[str, str]]) -> Part:
    rows = [
        {
            "title": short(title or url),
            "url": url if link_is_safe(url) and len(url) < 2000 else "",
            "host": _host(url),
        }
        for title, url in links[:LINKS_MOST]
    ]
    return Part("links", {"rows": rows, "more": max(0, len(links) - LINKS_MOST)})


def links_part(links: list[tuple[str, str]]) -> Part:
    """Titles and addresses; what is no http or https address is shown, not linked."""
    return _links_part(links)


def _host(url: str) -> str:
    try:
        return short(urlsplit(url[:2000]).hostname or "", 80)
    except ValueError:
        return ""


def tool_search(use: Use) -> Drawn:
    """A search for tools, and those that it found."""
    drawn = Drawn(f"“{short(text(use.given, 'query'))}”", icon="search")
    found = [short(name, 100) for name in items(use.told, "matches")[:50] if isinstance(name, str)]
    if found:
        drawn.parts, drawn.has_result = [note_part(", ".join(found), icon="tool")], True
    return drawn


def message(use: Use) -> Drawn:
    """A message to another agent."""
    to, words = text(use.given, "recipient", "to"), text(use.given, "content", "message")
    parts = [markdown_part(words, whole=use.whole)] if words else [json_part(use.given, whole=use.whole)]
    return Drawn(f"to {short(to, 60)}" if to else "", parts, False, "message")


def generic_result(use: Use) -> list[Part]:
    """A result of a tool that has no view of its own."""
    if use.result is None:
        return []
    return result_parts(use.result, whole=use.whole, inline=use.inline)
