"""What failed is told once more at the end of the output; script/test knows what to try again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.last_words import failed_modules
from tests.support.stack import REPOSITORY

TESTS = """
def test_good():
    pass

def test_bad():
    assert 1 + 1 == 3, "sums are off"
"""


def run(folder: Path, *arguments: str) -> str:
    (folder / "test_a.py").write_text(TESTS)
    (folder / "test_b.py").write_text("def test_other(): pass")
    plugins = ["-p", "no:django", "-p", "tests.support.last_words", "-o", f"cache_dir={folder / 'cache'}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={folder}", *plugins, *arguments, "."],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_the_output_ends_with_what_failed(tmp_path: Path) -> None:
    for workers in ("0", "2"):
        told = run(tmp_path, "-n", workers)
        assert told.rstrip().endswith("assert (1 + 1) == 3"), told
        assert "FAILED test_a.py::test_bad (call)" in told
        assert "sums are off" in told[told.rindex("FAILED") :]


def test_modules_to_try_again(tmp_path: Path) -> None:
    assert failed_modules(tmp_path / "cache") == []
    run(tmp_path)
    assert failed_modules(tmp_path / "cache") == ["test_a.py"]
