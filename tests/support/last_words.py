"""What failed, in a few lines at the very end of the output: a log is often kept from its end only.

    pytest -p tests.support.last_words
    python -m tests.support.last_words CACHE_FOLDER     # the modules of the tests that failed, one a line

The second form reads what pytest remembers with `-o cache_dir=CACHE_FOLDER`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LINES = 8
WIDTH = 400


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    yield
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    failed = [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]
    for report in failed[:30]:
        print(f"\nFAILED {report.nodeid} ({getattr(report, 'when', 'collect')})")
        for line in _words(str(report.longrepr)):
            print(f"  {line[:WIDTH]}")
    sys.stdout.flush()


def _words(text: str) -> list[str]:
    """The lines that pytest marks as the error, else the last ones."""
    lines = text.splitlines()
    marked = [line for line in lines if line.startswith("E ")]
    return (
        (marked or lines)[-LINES:]
        if len(marked) <= LINES
        else [*marked[: LINES // 2], *marked[-LINES // 2 :]]
    )


def failed_modules(cache: Path) -> list[str]:
    """The modules of the tests that failed in the last run with this cache, in order, each once."""
    try:
        failed = json.loads((cache / "v" / "cache" / "lastfailed").read_text())
    except FileNotFoundError:
        return []
    return sorted({name.partition("::")[0] for name in failed})


if __name__ == "__main__":
    for module in failed_modules(Path(sys.argv[1])):
        print(module)
