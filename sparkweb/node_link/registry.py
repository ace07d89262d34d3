"""Who answers for what nodes send: a fixed list, filled by apps in `ready()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FactHandler = Callable[[str, dict[str, Any]], None]
ReportHandler = Callable[[str, Any, dict[str, Any]], None]
ReportListener = Callable[[str, dict[str, Any], dict[str, Any]], None]
StatusListener = Callable[[str, str], None]

FACTS: dict[str, FactHandler] = {}
SECTIONS: dict[str, ReportHandler] = {}
REPORTS: list[ReportListener] = []
STATUSES: list[StatusListener] = []


def fact_handler(verb: str) -> Callable[[FactHandler], FactHandler]:
    """Register `function(node_name, data)` for facts of one verb; a verb has one handler."""

    def register(function: FactHandler) -> FactHandler:
        FACTS[verb] = function
        return function

    return register


def report_handler(section: str) -> Callable[[ReportHandler], ReportHandler]:
    """Register `function(node_name, section_data, report)` for one section of each report."""

    def register(function: ReportHandler) -> ReportHandler:
        SECTIONS[section] = function
        return function

    return register


def report_listener(function: ReportListener) -> ReportListener:
    """Register `function(node_name, report, meta)`; meta has boot, seq and received_at."""
    REPORTS.append(function)
    return function


def status_listener(function: StatusListener) -> StatusListener:
    """Register `function(node_name, status)`, called when a node's status changes."""
    STATUSES.append(function)
    return function
