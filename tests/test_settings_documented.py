"""Every setting stands in docs/settings.md and .env.example, as the code reads it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sparkweb.env import KNOWN, Variable

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "settings.md"
EXAMPLE = ROOT / ".env.example"


def row(variable: Variable) -> str:
    default = f"`{variable.default}`" if variable.default else ""
    return f"| `{variable.name}` | {variable.kind} | {default} | {variable.help} |"


@pytest.mark.parametrize("variable", KNOWN.values(), ids=str)
def test_setting_is_documented_as_it_is_read(variable: Variable) -> None:
    assert row(variable) in DOCUMENT.read_text().splitlines()
    assert f"#{variable.name}={variable.default}" in EXAMPLE.read_text().splitlines()


def test_nothing_else_is_documented() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(KNOWN)
    assert sorted(re.findall(r"^#([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)) == sorted(KNOWN)


def test_example_sets_nothing() -> None:
    assert all(line.startswith("#") or not line for line in EXAMPLE.read_text().splitlines())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SPARKWEB_PORT", "http", "is not a whole number"),
        ("SPARKWEB_PORT", "70000", "must lie between 1 and 65535"),
        ("SPARKWEB_DEBUG", "perhaps", "neither yes nor no"),
        ("SPARKWEB_DATA_DIR", "data", "must be an absolute path"),
        ("SPARKWEB_NODE", "My Spark", "lower-case letters"),
        ("SPARKWEB_INSTALLATION", "xyz", "8 hex digits"),
        ("SPARKWEB_LOG_LEVEL", "shout", "must be one of debug, info, warning, error"),
        ("SPARKWEB_WEB_URL", "ftp://x", "must begin with one of http:, https:"),
        ("SPARKWEB_TIME_ZONE", "Mars/Base", "is no time zone"),
        ("SPARKWEB_TIME_ZONE", "../../etc/passwd", "is no time zone"),
        ("SPARKWEB_API_RATE", "many", "is no rate"),
        ("SPARKWEB_ALLOWED_HOSTS", "*", "name the hosts instead"),
        ("SPARKWEB_SESSION_HOURS", "0", "must lie between 1 and 8760"),
    ],
)
def test_odd_value_is_one_sentence_without_traceback(
    name: str, value: str, words: str, tmp_path: Path
) -> None:
    environment = {**_clean(tmp_path), name: value}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    said = done.stderr.strip()
    assert said.count("\n") == 0, said
    assert all(part in said for part in (name, value, words)), said


@pytest.mark.parametrize(
    ("name", "value"), [("REDIS_URL", "http://:geheim@x"), ("DATABASE_URL", "mysql://u:geheim@h/d")]
)
def test_value_of_a_secret_is_not_repeated(name: str, value: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**_clean(tmp_path), name: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert name in done.stderr
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr


def _clean(tmp_path: Path) -> dict[str, str]:
    ours = ("SPARKWEB_", "REDIS_URL", "DATABASE_URL", "DJANGO_SETTINGS_MODULE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "SPARKWEB_DATA_DIR": str(tmp_path / "data")}
