"""The two tools that run on the node itself, with the network, through the guarded way out alone.

A TOOL.md names them `host:web_fetch` and `host:web_search`; no other program runs there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sandbox_app.job import Ending, Job
from sandbox_app.node.host_runs import HostRun, OutOfTime, RunStream
from sandbox_app.node.page_reader import ReadingCancelled
from sandbox_app.node.searxng import Searxng
from sandbox_app.node.web_fetch import web_fetch
from sandbox_app.node.web_search import WebSearch
from sparkweb import config
from sparkweb.adapters.egress import Egress
from sparkweb.adapters.egress_answers import EgressCancelled
from sparkweb.adapters.egress_configured import egress_make

HostRunner = Callable[[Job, dict[str, Any], RunStream, threading.Event], Ending]
Work = Callable[[HostRun, dict[str, Any]], Ending]


class HostRunners:
    """The runners of one node, over one guarded client and one SearXNG."""

    def __init__(self, egress: Egress, searxng: Searxng) -> None:
        self._egress = egress
        self._works: dict[str, Work] = {"web_fetch": web_fetch, "web_search": WebSearch(searxng)}

    def runner(self, name: str) -> HostRunner | None:
        """The runner of this name; None where there is none."""
        work = self._works.get(name)
        if work is None:
            return None

        def run(job: Job, arguments: dict[str, Any], stream: RunStream, cancelled: threading.Event) -> Ending:
            one = HostRun(job, self._egress, stream, cancelled)
            try:
                return work(one, arguments)
            except (EgressCancelled, ReadingCancelled):
                return one.ending("cancelled", "Somebody ended it.")
            except OutOfTime:
                return one.ending("wall", f"Not done within {job.policy.timeout_seconds} s.")

        return run


@lru_cache(maxsize=1)
def _runners() -> HostRunners:
    return HostRunners(egress_make(), Searxng(config.SEARXNG_URL))


def host_runner(name: str) -> HostRunner | None:
    """A runner of this node as its settings make it; None for a name that is no host runner.

    It blocks its thread until the end, which carries all verdicts. Set the event to have it end sooner.
    """
    return _runners().runner(name)
