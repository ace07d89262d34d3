"""Names of processes: short, and never with an argument that may be a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparkweb.adapters.processes import Processes, name_of

ID = "5c" * 32


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (b"/usr/bin/python3\0-m\0vllm.entrypoints.api\0--api-key\0secret\0", "python3 vllm.entrypoints.api"),
        (b"/opt/venv/bin/python\0-u\0/opt/venv/bin/vllm\0serve\0qwen\0", "python vllm"),
        (b"python3.11\0-c\0print('secret')\0", "python3.11"),
        (b"VLLM::EngineCore\0\0\0\0", "VLLM::EngineCore"),
        (b"ray::Worker.run --token=secret\0", "ray::Worker.run"),
        (b"/usr/local/bin/ollama\0runner\0--port\x0041\0", "ollama"),
        (b"/usr/lib/xorg/Xorg vt2\0", "Xorg"),
        (b"/bin/sh\0-c\0curl -H 'Authorization: secret'\0", "sh"),
        (b"\xff\xfe\0", "\ufffd\ufffd"),
        (b"", ""),
        (b"x" * 500 + b"\0", "x" * 64),
    ],
)  # fmt: skip
def test_name_has_no_arguments(command: bytes, name: str) -> None:
    assert name_of(command) == name


class Proc:
    """A /proc of one process."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "41"
        self.folder.mkdir()
        self.set(started=100)

    def set(self, *, started: int, command: bytes = b"ollama\0", comm: str = "ollama (x)") -> None:
        fields = " ".join(str(number) for number in range(3, 22))
        (self.folder / "stat").write_text(f"41 ({comm}) {fields} {started} 0 0")
        (self.folder / "cmdline").write_bytes(command)
        (self.folder / "comm").write_text(comm + "\n")
        (self.folder / "cgroup").write_text(f"0::/docker/{ID}\n")


def test_container_is_found_and_kernel_threads_go_by_their_short_name(tmp_path: Path) -> None:
    Proc(tmp_path).set(started=1, command=b"", comm="kworker/0:1")
    found = Processes(tmp_path).find(41)
    assert found is not None
    assert (found.name, found.container_id) == ("kworker/0:1", ID)


def test_reused_pid_is_another_process(tmp_path: Path) -> None:
    proc, processes = Proc(tmp_path), Processes(tmp_path, clock=lambda: 5.0)
    assert processes.find(41).name == "ollama"  # type: ignore[union-attr]
    proc.set(started=100, command=b"renamed\0")
    assert processes.find(41).name == "ollama"  # type: ignore[union-attr]  # remembered
    proc.set(started=999, command=b"other\0")
    assert processes.find(41).name == "other"  # type: ignore[union-attr]


def test_title_set_later_is_seen_after_ten_seconds(tmp_path: Path) -> None:
    now = 5.0
    proc, processes = Proc(tmp_path), Processes(tmp_path, clock=lambda: now)
    processes.find(41)
    proc.set(started=100, command=b"VLLM::EngineCore\0")
    now = 16.0
    assert processes.find(41).name == "VLLM::EngineCore"  # type: ignore[union-attr]


def test_real_child_lives_and_dies() -> None:
    processes = Processes()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.find(child.pid) is not None
    child.communicate(b"\n")
    assert processes.find(child.pid) is None


def test_namespace_of_a_container_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026532198]")
    assert Processes(tmp_path).hidden
    assert Processes().hidden == (os.readlink("/proc/self/ns/pid") != "pid:[4026531836]")


def test_a_program_below_a_path_with_spaces_has_its_own_name() -> None:
    assert name_of(b"/home/an owner/.venv/bin/python3\0-m\0vllm\0") == "python3 vllm"
    assert name_of(b"/opt/my tools/serve\0--key\0secret\0") == "serve"
    assert name_of(b"/usr/bin/foo --title of its own") == "foo"
