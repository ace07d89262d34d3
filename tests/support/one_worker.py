"""With several workers: modules that share one running product stay together, all other tests go one by one.

pytest-xdist's own way, `--dist loadgroup`, does nothing with pytest 9.2 (pytest-xdist issue 1386).
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.scheduler.protocol import Scheduling

SHARED_STACKS = (
    "test_two_agents.py",
    "test_two_nodes.py",
    "test_fabric_stack.py",
    "test_stack_faults.py",
    "test_postgres_stack.py",
    "test_live_stack.py",
    "test_browser_stack.py",
    "test_session_stack.py",
)
PAGES = "/test_pages_"  # one Chromium each


class OneWorkerPerStack(LoadScopeScheduling):
    """Hands out whole modules that share a product or a browser; other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        shares = module.endswith(SHARED_STACKS) or PAGES in module
        return module if shares else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return OneWorkerPerStack(config, log)
