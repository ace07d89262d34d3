"""What an owner decides about a tool, over what its TOOL.md says; every decision is audited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from sandbox_app.exceptions import ToolRefused
from sandbox_app.models import Tool
from sandbox_app.registry import decisions_apply
from sandbox_app.tool_limits import LIMITS, Limit
from sandbox_app.toolfile import HOST, PARALLEL, ROLES, egress_problem
from sparkweb.accounts.actor import Actor, audit

Rule = Callable[[Tool, Any], str | None]


def tool_change(*, tool: Tool, actor: Actor, changes: dict[str, Any]) -> Tool:
    """Set what differs from the TOOL.md; None gives a decision back to it.

    Keys: enabled, approval, role, parallel, timeout_seconds, memory_bytes, cpu_percent, egress.
    Runs that wait or run keep what they were started with. Raises ValidationError by key.
    """
    if problems := decision_problems(tool, changes):
        raise ValidationError(problems)
    with transaction.atomic():
        row = Tool.objects.select_for_update().get(pk=tool.pk)
        before = dict(row.overrides)
        row.overrides = {key: value for key, value in {**before, **changes}.items() if value is not None}
        decisions_apply(row)
        if row.overrides != before:
            row.save()
            told = {key: {"old": before.get(key), "new": row.overrides.get(key)} for key in changes}
            audit(
                actor,
                "tool_change",
                row.name,
                changes={k: v for k, v in told.items() if v["old"] != v["new"]},
            )
    return row


def decision_problems(tool: Tool, changes: dict[str, Any]) -> dict[str, list[str]]:
    """What is wrong with decisions, by key; nothing for good ones."""
    problems: dict[str, list[str]] = {}
    for key, value in changes.items():
        if key not in RULES:
            problems[key] = [f"There is no such setting; there are {', '.join(RULES)}."]
        elif value is not None and (problem := RULES[key](tool, value)):
            problems[key] = [problem]
    return problems


def _flag(_tool: Tool, value: Any) -> str | None:
    return None if isinstance(value, bool) else "Must be true or false."


def _role(_tool: Tool, value: Any) -> str | None:
    return None if value in ROLES else f"Must be one of {', '.join(ROLES)}."


def _parallel(_tool: Tool, value: Any) -> str | None:
    low, high = PARALLEL
    fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    return None if fits else f"Must be a whole number from {low} to {high}."


def _limit(limit: Limit) -> Rule:
    return lambda _tool, value: None if limit.read(value) == value else f"Must be {limit.expected}."


def _egress(tool: Tool, value: Any) -> str | None:
    if problem := egress_problem(value):
        return problem.capitalize() + "."
    if value and not str(tool.definition.get("runner", "")).startswith(HOST):
        return "This tool runs in a container, which has no network."
    return None


RULES: dict[str, Rule] = {
    "enabled": _flag,
    "approval": _flag,
    "role": _role,
    "parallel": _parallel,
    "timeout_seconds": _limit(LIMITS["timeout"]),
    "memory_bytes": _limit(LIMITS["memory"]),
    "cpu_percent": _limit(LIMITS["cpu_percent"]),
    "egress": _egress,
}


@transaction.atomic
def tool_forget(*, tool: Tool, actor: Actor) -> None:
    """Drop the row of a tool whose folder is gone; its runs stay on record. Raises ToolRefused."""
    if not tool.missing:
        raise ToolRefused(f"{tool.name} has its folder; disable it instead.", "tool_present")
    audit(actor, "tool_forget", tool.name)
    tool.delete()
