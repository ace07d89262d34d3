"""The process that runs the tool, its interpreter up before the job comes. Standard library alone.

A runner in Python is run in this very interpreter; any other becomes this process (in a
session: its child). In a session the runner finds the dictionary `__session__` among its
globals, which lives as long as the container.
"""

from __future__ import annotations

import atexit
import builtins
import fcntl
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

JOB_KEYS = ("program", "session", "cpu_seconds", "workspace")
# What tools use most: imported before the fork, both processes share the memory of it.
EARLY = ("ast", "base64", "linecache", "math", "re", "tempfile", "warnings")
for early in EARLY:
    __import__(early)
TOOL = "/tool"
TOOL_FILES_MOST = 40
TOOL_FILE_BYTES = 256 * 1024
COMPILED: dict[str, Any] = {}
INTERPRETERS = {".sh": ["bash"], ".bash": ["bash"], ".js": ["node"], ".mjs": ["node"]}


def work(control: socket.socket, flavour: str) -> None:
    """Get ready, say so, and run what comes. Never returns."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    # Out of the way of descriptors 0 to 3, which are the tool's.
    high = fcntl.fcntl(control.fileno(), fcntl.F_DUPFD_CLOEXEC, 64)
    control.close()
    control = socket.socket(fileno=high)
    os.setsid()
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # when memory is short it goes, not the keeper
    except OSError:
        pass
    imported = _import() if flavour == "data" else []
    _tool_compile()
    gc.collect()
    gc.freeze()
    control.sendall(json.dumps({"imported": imported}).encode())
    session: dict[str, Any] = {}
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 65536, 4)
        if not message:
            os._exit(0)
        job = json.loads(message)
        for target, descriptor in enumerate(descriptors):
            if descriptor != target:
                os.dup2(descriptor, target)
        for descriptor in descriptors:
            if descriptor > 3:
                os.close(descriptor)
        _cpu_limit(job)
        _place(job)
        if not job["session"]:
            os._exit(_once(job, control))
        control.sendall(json.dumps(_in_session(job, session)).encode())


def _import() -> list[str]:
    found = []
    for name in ("numpy", "pandas"):
        try:
            __import__(name)
        except ImportError:
            continue
        found.append(name)
    return found


def _tool_compile() -> None:
    """Compile the tool's modules before anybody waits for them."""
    for name in sorted(os.listdir(TOOL))[:TOOL_FILES_MOST] if os.path.isdir(TOOL) else []:
        path = os.path.join(TOOL, name)
        if name.endswith(".py") and os.path.getsize(path) <= TOOL_FILE_BYTES:
            try:
                with open(path, "rb") as file:
                    COMPILED[path] = compile(file.read(), path, "exec", dont_inherit=True)
            except (OSError, SyntaxError, ValueError):
                continue  # it is said when the tool is run
    sys.meta_path.append(_Beside)


class _Beside:
    """Finds the modules beside a runner among those that are compiled already."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> Any:
        where = f"{TOOL}/{name}.py"
        return (
            spec_from_file_location(name, where, loader=_Compiled(name, where)) if where in COMPILED else None
        )


class _Compiled(SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        return COMPILED[self.path]


def _cpu_limit(job: dict[str, Any]) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + int(job["cpu_seconds"]) + 1
    hard = resource.RLIM_INFINITY if job["session"] else seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def _place(job: dict[str, Any]) -> None:
    os.chdir("/workspace" if job["workspace"] else "/tmp")
    os.environ.setdefault("HOME", "/tmp")


def _command(program: str) -> list[str]:
    """How a program that is not Python is started."""
    return INTERPRETERS.get(os.path.splitext(program)[1], []) + [program]


def _once(job: dict[str, Any], control: socket.socket) -> int:
    program = job["program"]
    if program.endswith(".py"):
        control.close()
        return _python(program, None)
    command = _command(program)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
    return 127


def _in_session(job: dict[str, Any], session: dict[str, Any]) -> dict[str, Any]:
    program = job["program"]
    if program.endswith(".py"):
        code = _python(program, session)
        _descriptors_drop()
        return {"code": code}
    try:
        code = subprocess.run(_command(program), pass_fds=(3,), check=False).returncode
    except OSError as error:
        os.write(2, f"{program} cannot be run: {error.strerror}\n".encode())
        code = 127
    _descriptors_drop()
    return {"code": code, "signal": None} if code >= 0 else {"code": None, "signal": -code}


def _descriptors_drop() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2, 3):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _python(program: str, session: dict[str, Any] | None) -> int:
    """Run a Python program here; its exit code. What it prints is flushed."""
    sys.argv = [program]
    folder = os.path.dirname(program)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    for stream, descriptor in (("stdout", 1), ("stderr", 2)):
        opened = open(descriptor, "w", encoding="utf-8", errors="surrogateescape", closefd=False, buffering=1)
        setattr(sys, stream, opened)
        setattr(sys, f"__{stream}__", opened)
    code = 0
    try:
        main = types.ModuleType("__main__")
        main.__dict__.update(__file__=program, __builtins__=builtins)
        if session is not None:
            main.__dict__["__session__"] = session
        sys.modules["__main__"] = main
        exec(_program_code(program), main.__dict__)
        if session is None:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
    except SystemExit as leaving:
        code = _exit_code(leaving.code)
    except BaseException:
        code = 1
        _traceback_print()
    for written in (sys.stdout, sys.stderr):
        try:
            written.flush()
        except (OSError, ValueError):
            code = code or 1
    return code


def _program_code(program: str) -> Any:
    if program in COMPILED:
        return COMPILED[program]
    with open(program, "rb") as file:
        return compile(file.read(), program, "exec", dont_inherit=True)


def _exit_code(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _traceback_print() -> None:
    """As the interpreter would, without our own frames."""
    kind, error, trace = sys.exc_info()
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        traceback.print_exception(kind, error, trace)
    except (OSError, ValueError):
        signal.raise_signal(signal.SIGPIPE)
