"""The wall, tried from within on a real engine: system calls, descriptors of the keeper, mounts, network."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sandbox_app.inside as inside
from sandbox_app.node.seccomp import profile
from tests.support.sandbox_image import sandbox_image
from tests.support.sandbox_node import SandboxNode

pytestmark = pytest.mark.docker

CALLS = """
import ctypes, json, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
arm = platform.machine() == "aarch64"
numbers = {
    "io_uring_setup": (425, 425), "ptrace": (101, 117), "process_vm_readv": (310, 270), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "kexec_load": (246, 104),
    "init_module": (175, 105), "finit_module": (313, 273), "reboot": (169, 142), "swapon": (167, 224),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "open_tree": (428, 428), "fsopen": (430, 430),
    "move_mount": (429, 429), "syslog": (103, 116), "acct": (163, 89), "quotactl": (179, 60),
    "sethostname": (170, 161), "pidfd_getfd": (438, 438), "kcmp": (312, 272), "mbind": (237, 235),
    "open_by_handle_at": (304, 265), "process_madvise": (440, 440), "io_setup": (206, 0),
}
found = {}
for name, pair in numbers.items():
    ctypes.set_errno(0)
    # Arguments that point nowhere: a call that got through would say EFAULT or EINVAL.
    answer = libc.syscall(pair[arm], 1, 1, 1, 1, 1, 1)
    found[name] = ctypes.get_errno() if answer == -1 else 0
ctypes.set_errno(0)
libc.syscall(435, None, 0)
found["clone3"] = ctypes.get_errno()
for flag, name in ((0x10000000, "clone_newuser"), (0x00020000, "clone_newns"), (0x40000000, "clone_newnet")):
    ctypes.set_errno(0)
    answer = libc.syscall(220 if arm else 56, flag | 17, 0, 0, 0, 0)
    if answer == 0:
        os._exit(0)
    found[name] = ctypes.get_errno() if answer == -1 else 0
for family in (38, 40, 17, 16, 21, 31):
    try:
        socket.socket(family, socket.SOCK_RAW if family in (16, 17) else socket.SOCK_SEQPACKET).close()
        found[f"socket {family}"] = 0
    except OSError as error:
        found[f"socket {family}"] = error.errno
print(json.dumps(found))
"""

KEEPER = """
import json, os
found = {}
for path in ("fd/0", "fd/1", "environ", "mem", "maps", "cwd", "root"):
    try:
        with open(f"/proc/1/{path}", "rb") as file:
            file.read(1)
        found[path] = "open"
    except OSError as error:
        found[path] = error.errno
for signal in (9, 15, 19):
    os.kill(1, signal)
found["own"] = sorted(os.listdir("/proc/self/fd"))[:3]
print(json.dumps(found))
"""

PLACES = """
import json, os, socket
found = {"writable": [], "environment": sorted(os.environ), "groups": os.getgroups(), "uid": os.getuid()}
for path in ("/x", "/etc/x", "/tool/x", "/sparkweb/x", "/usr/x", "/sys/x", "/dev/x",
             "/proc/sys/kernel/hostname", "/proc/sysrq-trigger"):
    try:
        open(path, "w").close()
        found["writable"].append(path)
    except OSError:
        pass
found["readable"] = []
for path in ("/proc/kcore", "/var/run/docker.sock", "/proc/timer_list", "/proc/keys"):
    try:
        with open(path, "rb") as file:
            if file.read(1):
                found["readable"].append(path)
    except OSError:
        pass
found["reached"] = []
for host, port in (("169.254.169.254", 80), ("127.0.0.1", 5173), ("10.0.0.1", 80), ("1.1.1.1", 53)):
    try:
        socket.create_connection((host, port), 1).close()
        found["reached"].append(host)
    except OSError:
        pass
try:
    socket.getaddrinfo("data.example.com", 80)
    found["reached"].append("dns")
except OSError:
    pass
found["setuid"] = os.popen("find / -xdev -perm /6000 -type f 2>/dev/null | head -1").read()
print(json.dumps(found))
"""

FORGED = """
import os, struct
end = b'{"exit_code": 0, "ended": null, "signal": null, "oom_kills": 0, "pids_refused": 0}'
frame = bytes(16) + b"E" + struct.pack(">I", len(end)) + end
os.write(1, frame)
os.write(2, frame)
os.write(3, frame)
for number in range(4, 80):
    try:
        os.write(number, frame)
    except OSError:
        pass
raise SystemExit(5)
"""


@pytest.fixture(scope="module")
def node(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxNode]:
    sandbox_image(docker_host)
    made = SandboxNode(docker_host, tmp_path_factory.mktemp("sandbox"), secrets.token_hex(4))
    yield made
    made.close()
    made.wait_clean()


def told(node: SandboxNode, code: str) -> dict[str, Any]:
    ending = node.do(code)
    assert ending["outcome"] == "ok", ending
    found: dict[str, Any] = json.loads(ending["stdout"])
    return found


def test_system_calls_are_refused_before_the_kernel_looks_at_them(node: SandboxNode) -> None:
    found = told(node, CALLS)
    got_through = {name: number for name, number in found.items() if number not in (1, 38)}
    assert got_through == {}
    assert found["clone3"] == 38


def test_the_keeper_cannot_be_read_or_signalled(node: SandboxNode) -> None:
    found = told(node, KEEPER)
    assert found.pop("own") == ["0", "1", "2"]
    assert found == dict.fromkeys(found, 13)


def test_nothing_of_the_host_is_there(node: SandboxNode) -> None:
    found = told(node, PLACES)
    assert (found["writable"], found["readable"], found["reached"], found["setuid"]) == ([], [], [], "")
    assert found["uid"] == 10001
    assert set(found["groups"]) <= {10001}
    ours = {"HOME", "LANG", "TZ", "MPLBACKEND", "MPLCONFIGDIR", "PYTHONDONTWRITEBYTECODE", "PATH", "HOSTNAME"}
    ours |= {"NVIDIA_VISIBLE_DEVICES", "container", "TERM"}  # Podman adds the last two
    assert {name for name in found["environment"] if not name.endswith("_THREADS")} <= ours | {"LC_CTYPE"}


def test_a_forged_end_is_output_and_nothing_else(node: SandboxNode) -> None:
    ending = node.do(FORGED)
    assert (ending["outcome"], ending["exit_code"]) == ("exit", 5)
    assert ending["stdout_bytes"] > 0


def test_children_that_fled_die_with_the_run(node: SandboxNode) -> None:
    code = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(1)
    os._exit(0)
print("parent leaves", flush=True)
"""
    ending = node.do(code)
    assert (ending["outcome"], ending["stdout"]) == ("ok", "parent leaves\n")
    node.wait_clean()


@pytest.mark.parametrize("program", ["bash", "node", "python3"])
def test_programs_work_under_the_profile(node: SandboxNode, program: str) -> None:
    script = {
        "bash": "printf 'b\\na\\n' | sort | head -1; echo $((6 * 7)); for i in 1 2; do (sleep 0 &) ; done",
        "node": "setTimeout(() => console.log(require('os').cpus().length > 0), 1)",
        "python3": "import threading, subprocess, tempfile, sqlite3\n"
        "t = threading.Thread(target=print, args=[1]); t.start(); t.join()\n"
        "print(subprocess.check_output(['echo', 'child']).decode(), end='')",
    }[program]
    flag = {"bash": "-c", "node": "-e", "python3": "-c"}[program]
    digest = node.tool_add(
        {"run.sh": f'exec {program} {flag} "$(cat /tool/script)" < /dev/null', "script": script}
    )
    ending = node.wait_end(node.send(node.job(program="run.sh", tool_digest=digest, pids=128)))
    assert (ending["outcome"], ending["stderr"]) == ("ok", ""), ending


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_both_profiles_leave_out_what_they_should(machine: str) -> None:
    rules = profile(machine)
    allowed = {
        name
        for rule in rules["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }
    out = "io_uring_setup keyctl add_key bpf perf_event_open userfaultfd ptrace clone unshare setns mount"
    assert allowed.isdisjoint([*out.split(), "socket"])
    assert {"read", "execve", "futex", "openat", "rseq"} <= allowed
    assert rules["defaultAction"] == "SCMP_ACT_ERRNO"
    assert len(rules["architectures"]) == 1


def test_by_hand_it_ends_nobody(node: SandboxNode) -> None:
    """It ends all that runs around it, so it begins only as a first process; here it is a second one."""
    program = Path(inside.__file__).parent / "wait.py"
    inner = f"{shlex.join([sys.executable, '-I', str(program)])} < /dev/null; echo status $?"
    done = subprocess.run(["unshare", "--pid", "--fork", "sh", "-c", inner], capture_output=True, text=True)
    assert done.stdout == "status 1\n"
    assert "first process of a container" in done.stderr
