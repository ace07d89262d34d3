"""Runs a program given as an argument: Python in this interpreter, Bash and Node.js as children.

Standard library alone. In a session `__session__` outlives the call, and with it Python's variables.
"""

from __future__ import annotations

import ast
import builtins
import json
import linecache
import os
import subprocess
import sys
import tempfile
import traceback
import types
import warnings
from typing import Any

FIGURES_MOST = 20
INTERPRETERS = {"bash": ("bash", ".sh"), "node": ("node", ".js")}
NAMES = {"bash": "Bash", "node": "Node.js"}


def main() -> int:
    request = json.load(sys.stdin)
    arguments, artifacts = request["arguments"], request.get("artifacts")
    if artifacts:
        os.environ["ARTIFACTS"] = artifacts
    if arguments["language"] == "python":
        return run_python(arguments["code"], globals().get("__session__"), artifacts)
    return run_program(arguments["code"], arguments["language"])


def answer(**fields: Any) -> None:
    """Tell the sandbox what came of it, beside what was printed."""
    try:
        with open(3, "w", encoding="utf-8", closefd=False) as pipe:
            json.dump(fields, pipe)
    except OSError:
        pass  # nobody listens: run by hand


def run_program(code: str, language: str) -> int:
    program, ending = INTERPRETERS[language]
    try:
        ended = run_bash(program, code) if language == "bash" else run_file(program, code, ending)
    except FileNotFoundError:
        sentence = f"This sandbox image has no {NAMES[language]}."
        print(sentence, file=sys.stderr)
        answer(error=sentence)
        return 127
    if ended.returncode < 0:
        answer(error=f"The program was killed by signal {-ended.returncode}.")
        return 128 - ended.returncode
    return ended.returncode


def run_bash(program: str, code: str) -> subprocess.CompletedProcess[bytes]:
    """From a file in memory, so that the program finds nothing of ours in its folder."""
    script = os.memfd_create("program")
    with open(script, "wb", closefd=False) as file:
        file.write(code.encode())
    os.lseek(script, 0, os.SEEK_SET)
    command = [program, f"/proc/self/fd/{script}"]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, pass_fds=[script], check=False)
    finally:
        os.close(script)


def run_file(program: str, code: str, ending: str) -> subprocess.CompletedProcess[bytes]:
    """From a file on disk, by whose name Node.js knows what it is."""
    with tempfile.TemporaryDirectory(prefix=".code-") as folder:
        path = os.path.join(folder, "program" + ending)
        with open(path, "w", encoding="utf-8") as file:
            file.write(code)
        return subprocess.run([program, path], stdin=subprocess.DEVNULL, check=False)


def run_python(code: str, session: dict[str, Any] | None, artifacts: str | None) -> int:
    """Run Python in a module of its own named __main__; in a session always in the same one."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), "matplotlib"))
    warnings.filterwarnings("ignore", message=".*non-interactive.*")
    module = _module(session)
    count = module.__dict__.setdefault("__calls__", 0) + 1
    module.__dict__["__calls__"] = count
    name = f"<call {count}>" if session is not None else "<code>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    before, sys.modules["__main__"] = sys.modules["__main__"], module
    arguments = sys.argv
    sys.argv = [name]
    try:
        status, error = _execute(code, name, module.__dict__)
        figures = _figures_save(artifacts)
    finally:
        sys.modules["__main__"], sys.argv = before, arguments
    told: dict[str, Any] = {"error": error} if error else {}
    if figures:
        told["result"] = {"figures": figures}
    if told:
        answer(**told)
    return status


def _module(session: dict[str, Any] | None) -> types.ModuleType:
    if session is not None and "python" in session:
        return session["python"]
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    if session is not None:
        session["python"] = module
    return module


def _execute(code: str, name: str, names: dict[str, Any]) -> tuple[int, str | None]:
    """Exit status, and a sentence where it failed."""
    try:
        tree = ast.parse(code, name)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, name, "exec"), names)
        if isinstance(last, ast.Expr):
            sys.displayhook(eval(compile(ast.Expression(last.value), name, "eval"), names))
    except SystemExit as leaving:
        return _leave(leaving.code)
    except BaseException as error:
        return 1, _tell(error)
    return 0, None


def _leave(code: Any) -> tuple[int, str | None]:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF, None
    print(code, file=sys.stderr)
    return 1, str(code)[:500]


def _tell(error: BaseException) -> str:
    """Print a traceback without our own frames; its last line as the sentence."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        trace = None if error.filename and error.filename.startswith("<") else trace
    try:
        traceback.print_exception(type(error), error, trace)
    except Exception:
        print(f"{type(error).__name__}", file=sys.stderr)
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except Exception:
        return type(error).__name__


def _figures_save(artifacts: str | None) -> list[str]:
    """Save matplotlib's open figures as pictures and close them; the names of the files."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not artifacts:
        return []
    saved = []
    for number in pyplot.get_fignums()[:FIGURES_MOST]:
        name = f"figure-{number}.png"
        try:
            pyplot.figure(number).savefig(os.path.join(artifacts, name), dpi=120, bbox_inches="tight")
        except Exception as error:
            print(f"figure {number} could not be saved: {error}", file=sys.stderr)
            continue
        saved.append(name)
    pyplot.close("all")
    return saved


if __name__ == "__main__":
    sys.exit(main())
