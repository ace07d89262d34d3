"""With CI=true a skipped test is a failed one: what the machine lacks must not look like success.

    pytest -p tests.support.no_skips      # or in conftest.py: pytest_plugins = ["tests.support.no_skips"]

A reason that begins with "not provable here:" stays a skip: that is for what no
such machine can show (GB10, cgroup v2), never for a service that is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

EXEMPT = "not provable here:"


def _strict() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    if _strict() and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report, item.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[Any]:
    report = yield
    if _strict() and report.skipped:
        _fail(report, collector.nodeid)
    return report


def _fail(report: Any, name: str) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if EXEMPT not in reason:
        report.outcome = "failed"
        reason = reason.removeprefix("Skipped: ")
        report.longrepr = f"{name} was skipped, which CI=true does not allow: {reason}"
