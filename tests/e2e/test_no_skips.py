"""CI=true turns skipped tests into failed ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import REPOSITORY

TESTS = """
import pytest

def test_without_service():
    pytest.skip("dockerd is not installed")

@pytest.mark.skipif(True, reason="no chromium")
def test_marked():
    pass

def test_unprovable():
    pytest.skip("not provable here: needs a GB10")

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_failure():
    assert False
"""
MODULE = 'import pytest\npytest.skip("no postgres", allow_module_level=True)\n'


def run(folder: Path, ci: str) -> str:
    (folder / "test_a.py").write_text(TESTS)
    (folder / "test_b.py").write_text(MODULE)
    plugins = ["-p", "no:django", "-p", "no:cacheprovider", "-p", "tests.support.no_skips"]
    plugins += ["--continue-on-collection-errors", "-rA"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={folder}", *plugins, str(folder)],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout


@pytest.mark.parametrize("ci", ["true", "1"])
def test_with_ci_each_missing_service_fails(tmp_path: Path, ci: str) -> None:
    told = run(tmp_path, ci)
    assert "1 failed, 1 skipped, 1 xfailed, 2 errors" in told
    for reason in ("dockerd is not installed", "no chromium", "no postgres"):
        assert f"was skipped, which CI=true does not allow: {reason}" in told


def test_without_ci_they_stay_skips(tmp_path: Path) -> None:
    assert "4 skipped, 1 xfailed" in run(tmp_path, "")
