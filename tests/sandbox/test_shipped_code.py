"""code_execution and bash_command as programs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.shipped import TOOLS, run

NASTY = "'\"`$(touch /tmp/sparkweb-pasted)\\ ${x} %s {0} </script> \u202e \u00e9\n"


def test_python_prints_and_shows_the_last_value() -> None:
    came = run("code_execution", code="x = 20\nprint('a')\nx + 1")
    assert (came.code, came.stdout, came.stderr, came.told) == (0, "a\n21\n", "", {})


def test_a_traceback_shows_the_callers_lines_and_none_of_ours() -> None:
    came = run("code_execution", code="def f():\n    return 1 / 0\n\nf()\n")
    assert came.code == 1
    assert came.told == {"error": "ZeroDivisionError: division by zero"}
    assert "return 1 / 0" in came.stderr
    assert "run.py" not in came.stderr


ENDS: list[tuple[str, int, str]] = [
    ("import sys; sys.exit(3)", 3, ""),
    ("raise SystemExit('over')", 1, "over"),
    ("quit()", 0, ""),
    ("def", 1, "SyntaxError"),
    ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
    ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", 1, "E"),
    ("input()", 1, "EOFError"),
    ("def f(): f()\nf()", 1, "RecursionError"),
    ("\x0c", 0, ""),
]


@pytest.mark.parametrize(("code", "status", "words"), ENDS)
def test_python_ends_as_it_says(code: str, status: int, words: str) -> None:
    came = run("code_execution", code=code)
    assert (came.code, words in came.stderr) == (status, True)


def test_python_is_main_for_pickle_dataclasses_and_children() -> None:
    code = (
        "import pickle, dataclasses\n"
        "@dataclasses.dataclass\nclass P:\n    x: int\n"
        "print(__name__, pickle.loads(pickle.dumps(P(3))))"
    )
    assert run("code_execution", code=code).stdout == "__main__ P(x=3)\n"


@pytest.mark.parametrize("language", ["python", "bash", "node"])
def test_what_is_given_is_never_pasted_into_code(language: str, tmp_path: Path) -> None:
    if language == "node" and not shutil.which("node"):
        language = "bash"
    text = NASTY if language != "node" else NASTY.replace("\n", "")
    quoted = {
        "python": f"print({text!r}, end='')",
        "bash": "cat <<'END_OF_IT'\n" + text + "END_OF_IT\n",
        "node": f"process.stdout.write({_js(text)})",
    }[language]
    assert run("code_execution", code=quoted, language=language).stdout == text
    assert not Path("/tmp/sparkweb-pasted").exists()


def _js(text: str) -> str:
    import json

    return json.dumps(text)


def test_four_megabytes_of_program_run() -> None:
    code = "# " + "x" * 3_900_000 + "\nprint('done')"
    assert run("code_execution", code=code).stdout == "done\n"
    script = ": " + "x" * 3_900_000 + "\necho done"
    assert run("code_execution", code=script, language="bash").stdout == "done\n"
    assert run("bash_command", command=script).stdout == "done\n"


def test_bytes_that_are_no_text_come_through() -> None:
    came = run("code_execution", code="import sys; _ = sys.stdout.buffer.write(b'\\xff\\x00\\x1b[31m')")
    assert came.stdout.encode(errors="surrogateescape") == b"\xff\x00\x1b[31m"


def test_bash_and_node_end_with_their_own_code() -> None:
    assert run("code_execution", code="echo out; echo err >&2; exit 7", language="bash").code == 7
    killed = run("code_execution", code="kill -9 $$", language="bash")
    assert (killed.code, killed.told["error"]) == (137, "The program was killed by signal 9.")


def test_a_figure_becomes_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.figure()\nplt.show()"
    came = run("code_execution", artifacts=artifacts, code=code)
    assert (came.code, came.stderr) == (0, "")
    assert came.told["result"] == {"figures": ["figure-1.png", "figure-2.png"]}
    assert (artifacts / "figure-1.png").read_bytes().startswith(b"\x89PNG")


def test_python_remembers_within_a_session_and_only_there() -> None:
    """The sandbox runs a Python runner in one interpreter and hands it a dictionary that stays."""
    import io
    import json
    import runpy
    import sys

    def call(session: dict[str, Any], code: str) -> tuple[int, str]:
        request = {"arguments": {"code": code, "language": "python"}, "workspace": None, "artifacts": None}
        before = sys.stdin, sys.stdout, sys.stderr
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(json.dumps(request)), io.StringIO(), io.StringIO()
        try:
            names = {"__session__": session}
            runpy.run_path(str(TOOLS / "code_execution" / "run.py"), init_globals=names, run_name="__main__")
        except SystemExit as leaving:
            return int(leaving.code or 0), sys.stdout.getvalue() + sys.stderr.getvalue()
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
        raise AssertionError("it always leaves by SystemExit")

    mine: dict[str, Any] = {}
    assert call(mine, "x = 41\ndef f(): return x + 1") == (0, "")
    assert call(mine, "f()") == (0, "42\n")
    code, said = call(mine, "f(1)")
    assert code == 1
    assert re.search(r'File "<call 3>", line 1', said)
    assert "NameError" in call({}, "x")[1]


def test_bash_runs_in_a_folder_of_the_workspace_and_reads_what_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    came = run("bash_command", tmp_path, command="pwd; cat; ls -a | wc -l", working_dir="inner", stdin=NASTY)
    assert came.stdout.startswith(f"{tmp_path}/inner\n{NASTY}")
    assert run("bash_command", tmp_path, command="exit 4").told == {
        "error": "The command ended with exit code 4."
    }


@pytest.mark.parametrize("folder", ["..", "/etc", "inner/../..", "link", "nowhere"])
def test_bash_leaves_no_workspace_by_its_folder(folder: str, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    (workspace / "inner").mkdir(parents=True)
    (workspace / "link").symlink_to(tmp_path)
    came = run("bash_command", workspace, command="pwd", working_dir=folder)
    assert (came.code, came.stdout) == (2, "")
    assert "workspace" in came.told["error"] or "no such folder" in came.told["error"]
