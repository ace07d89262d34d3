"""serve.sh on the node itself: started once, found again, ended by stop.sh or signals. No Docker here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from models_app.engines.script import ScriptSpec
from models_app.engines.spec import ProbeSpec
from sparkweb.adapters import script_process
from tests.support.node import Node
from tests.support.stack import wait_for

NOWHERE = "unix:///nowhere/docker.sock"
PATIENT = 60.0
SERVER = """
import http.server, json, os
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": os.environ["DEFINITION"]}]}).encode())
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers).serve_forever()
"""


class House:
    """A node without Docker, its scripts, and what ran of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = self.again()

    def again(self) -> Node:
        """An agent that begins now, on the journal and runs that there are."""
        self.node = Node(NOWHERE, self.folder, "0a1b2c3d")
        return self.node

    def script(self, name: str = "serve.sh", body: str = "exec sleep 600", folder: str = "one") -> Path:
        path = self.folder / "scripts" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{textwrap.dedent(body)}\n")
        path.chmod(0o755)
        return path

    def server(self, before: str = "") -> None:
        (self.folder / "server.py").write_text(SERVER)
        self.script(body=f"{before}\nexec '{sys.executable}' '{self.folder}/server.py'")

    def spec(self, port: int, kind: str = "none", **fields: Any) -> ScriptSpec:
        given: dict[str, Any] = {
            "launch": uuid.uuid4().hex[:16],
            "member": uuid.uuid4().hex[:16],
            "generation": 1,
            "installation": "0a1b2c3d",
            "node": "spark-1",
            "slug": "qwen",
            "name": "sparkweb-qwen-1",
            "folder": "one",
            "port": port,
            "probe": ProbeSpec(kind, port, model="qwen"),
            "env": {"PORT": str(port), "DEFINITION": "qwen"},
        }
        return ScriptSpec(**{**given, **fields})

    def start(self, spec: ScriptSpec) -> ScriptSpec:
        self.node.start(spec)  # type: ignore[arg-type]
        return spec

    def verbs(self, spec: ScriptSpec) -> list[str]:
        return [verb for verb, _ in self.node.facts(spec)]  # type: ignore[arg-type]

    def wait_fact(self, spec: ScriptSpec, verb: str) -> dict[str, Any]:
        return self.node.wait_fact(spec, verb, PATIENT)  # type: ignore[arg-type]

    def wait_line(self, spec: ScriptSpec, text: str) -> None:
        wait_for(
            lambda: any(text in line for line in self.node.log_lines(spec)),  # type: ignore[arg-type]
            f"{text} in the log",
            PATIENT,
        )

    def state(self, spec: ScriptSpec) -> script_process.ScriptState:
        found = script_process.state_read(self.node.scripts.runs / spec.member)
        assert found
        return found

    def processes(self, spec: ScriptSpec) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid in script_process.run_pids(self.state(spec))]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.node.close()
    for folder in house.node.scripts.runs.glob("*"):
        state = script_process.state_read(folder)
        if state and script_process.is_alive(state.supervisor):
            for pid in script_process.run_pids(state):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


def test_started_ready_and_reported_without_docker(house: House, free_port: int) -> None:
    house.server("echo Loading weights took 1.8 seconds")
    spec = house.start(house.spec(free_port, "openai"))
    assert house.node.facts(spec, "container_created")[0][1] == {  # type: ignore[arg-type]
        "launch": spec.launch,
        "member": spec.member,
        "generation": 1,
        "container_id": None,
        "image_digest": None,
        "adopted": False,
    }
    entry = house.node.wait_entry(spec, lambda one: one["probe"]["ready"], PATIENT)  # type: ignore[arg-type]
    assert (entry["kind"], entry["phase"], entry["container_id"]) == ("script", "running", None)
    assert entry["probe"]["models"] == ["qwen"] and entry["memory_bytes"] > 0
    house.wait_line(spec, "Z Loading weights took 1.8 seconds")


def test_second_delivery_starts_nothing(house: House, free_port: int) -> None:
    house.script(body="echo once >> count; exec sleep 600")
    spec = house.start(house.spec(free_port))
    house.start(spec)
    assert house.verbs(spec) == ["container_created"]
    counted = house.folder / "scripts" / "one" / "count"
    wait_for(counted.exists, "it ran", PATIENT)
    assert counted.read_text() == "once\n"


def test_stop_ends_tells_and_forgets_after_the_acknowledgement(house: House, free_port: int) -> None:
    house.script(body="trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    spec = house.start(house.spec(free_port))
    house.wait_line(spec, "up")
    house.node.stop(spec)  # type: ignore[arg-type]
    end = house.wait_fact(spec, "container_exited")
    assert (end["exit_code"], end["reason"]) == (0, "stopped as asked (exit code 0)")
    lines = end["log_tail"].splitlines()
    assert (lines[0], lines[-1]) == ("up", "bye") and end["started_at"] <= end["finished_at"]
    assert house.node.entry(spec)["phase"] == "exited"  # type: ignore[index, arg-type]
    house.node.acknowledge_all()
    house.wait_fact(spec, "container_removed")
    wait_for(lambda: not (house.node.scripts.runs / spec.member).exists(), "its folder is gone", PATIENT)
    assert house.node.log(spec)[-1] == {"end": True}  # type: ignore[arg-type]


def test_stop_of_nothing_says_so_and_no_later_start_begins(house: House, free_port: int) -> None:
    house.script()
    spec = house.spec(free_port)
    house.node.models.container_stop(spec.launch, spec.member, 1, 10, "script")
    house.start(spec)
    assert house.verbs(spec) == ["container_removed"]


def test_older_generation_starts_nothing(house: House, free_port: int) -> None:
    house.script()
    spec = house.spec(free_port)
    house.node.models.container_stop(spec.launch, spec.member, 5, 10, "script")
    house.start(house.spec(free_port, launch=spec.launch, member="bb" * 8))
    assert house.node.entry(house.spec(free_port, member="bb" * 8)) is None  # type: ignore[arg-type]


def test_stop_sh_is_asked_first(house: House, free_port: int) -> None:
    house.script(body="trap '' TERM; echo up; while [ ! -e leave ]; do sleep 0.05; done; exit 7")
    house.script("stop.sh", "echo stopping $DEFINITION; touch leave")
    spec = house.start(house.spec(free_port))
    house.wait_line(spec, "up")
    house.node.stop(spec, timeout_seconds=30)  # type: ignore[arg-type]
    end = house.wait_fact(spec, "container_exited")
    assert end["reason"] == "stopped as asked (exit code 7)"
    assert "stopping qwen" in end["log_tail"]


def test_what_ignores_stop_sh_and_sigterm_is_killed(house: House, free_port: int) -> None:
    house.script(body="trap '' TERM; setsid sleep 600 & echo up; while :; do sleep 0.05; done")
    house.script("stop.sh", "sleep 600")
    spec = house.start(house.spec(free_port))
    house.wait_line(spec, "up")
    ran = house.processes(spec)
    house.node.stop(spec, timeout_seconds=1)  # type: ignore[arg-type]
    end = house.wait_fact(spec, "container_exited")
    assert (end["exit_code"], end["signal"]) == (137, "SIGKILL")
    assert end["reason"] == "stopped as asked: it ignored SIGTERM for 1 s and was killed"
    assert len(ran) >= 2 and not [one for one in ran if one.is_running()]


def test_exit_code_and_words_are_told(house: House, free_port: int) -> None:
    house.script(body="echo 'ValueError: no such model' >&2; exit 3")
    spec = house.start(house.spec(free_port))
    end = house.wait_fact(spec, "container_exited")
    assert (end["exit_code"], end["signal"], end["oom_killed"]) == (3, None, None)
    assert end["reason"] == "exited with code 3: ValueError: no such model"


def test_script_that_fails_leaves_nothing_behind(house: House, free_port: int) -> None:
    house.script(body="sleep 600 & echo $! > child; exit 4")
    spec = house.start(house.spec(free_port))
    assert house.wait_fact(spec, "container_exited")["exit_code"] == 4
    pid = int((house.folder / "scripts" / "one" / "child").read_text())
    assert not psutil.pid_exists(pid)


def test_script_that_goes_into_the_background_runs_until_its_last_process_ends(
    house: House, free_port: int
) -> None:
    house.script(body="(while [ ! -e leave ]; do sleep 0.05; done; exit 5) & exit 0")
    spec = house.start(house.spec(free_port))
    wait_for(lambda: not script_process.is_alive(house.state(spec).script), "serve.sh ended", PATIENT)  # type: ignore[arg-type]
    assert house.node.entry(spec)["phase"] == "running"  # type: ignore[index, arg-type]
    (house.folder / "scripts" / "one" / "leave").touch()
    assert house.wait_fact(spec, "container_exited")["exit_code"] == 5


def test_agent_that_ends_leaves_it_running_and_the_next_one_finds_it(house: House, free_port: int) -> None:
    house.server()
    spec = house.start(house.spec(free_port, "openai"))
    state = house.state(spec)
    house.node.close()
    house.again()
    assert [data["adopted"] for _, data in house.node.facts(spec, "container_created")] == [False, True]  # type: ignore[arg-type]
    house.start(spec)
    house.node.wait_entry(spec, lambda one: one["probe"]["ready"], PATIENT)  # type: ignore[arg-type]
    assert house.state(spec) == state
    house.node.stop(spec)  # type: ignore[arg-type]
    assert house.wait_fact(spec, "container_exited")["reason"] == "stopped as asked (exit code 143)"


AGENT = """
import json, os, signal, sys
from pathlib import Path
from tests.support.node import Node
from models_app.engines.specs import spec_read
node = Node("unix:///nowhere/docker.sock", Path(sys.argv[1]), "0a1b2c3d")
node.start(spec_read(json.loads(sys.argv[2])))
os.killpg(os.getpgrp(), signal.SIGKILL)
"""


def test_agent_killed_leaves_it_running_and_the_next_one_finds_it(house: House, free_port: int) -> None:
    """Killed with -9 and its whole process group, as `up` does with what does not stop."""
    house.script()
    house.node.close()
    spec = house.spec(free_port)
    words = [sys.executable, "-c", AGENT, str(house.folder), json.dumps(spec.to_json())]
    assert subprocess.run(words, start_new_session=True, timeout=120).returncode == -signal.SIGKILL
    house.again()
    assert house.node.entry(spec)["phase"] == "running"  # type: ignore[index, arg-type]
    assert [one.is_running() for one in house.processes(spec)] == [True]


def test_killed_between_order_and_start_is_begun_once(house: House, free_port: int) -> None:
    """An agent killed with -9 left a folder whose supervisor had not begun, or begins right now."""
    house.script(body="echo once >> count; exec sleep 600")
    spec = house.start(house.spec(free_port))
    run = house.node.scripts.runs / spec.member
    house.node.close()
    (run / "state.json").rename(run / "state.hidden")
    supervisor = script_process.supervisor_start(run)
    assert supervisor.wait(60) == 0  # the first holds the lock
    (run / "state.hidden").rename(run / "state.json")
    house.again()
    assert house.node.entry(spec)["phase"] == "running"  # type: ignore[index, arg-type]
    assert (house.folder / "scripts" / "one" / "count").read_text() == "once\n"


def test_supervisor_killed_ends_the_rest_and_says_so(house: House, free_port: int) -> None:
    house.script(body="sleep 600 & sleep 600")
    spec = house.start(house.spec(free_port))
    wait_for(lambda: len(house.processes(spec)) == 3, "all of it runs", PATIENT)
    ran = house.processes(spec)
    os.kill(house.state(spec).supervisor[0], signal.SIGKILL)
    assert "killed by someone else" in house.wait_fact(spec, "container_gone")["reason"]
    wait_for(lambda: not [one for one in ran if _lives(one)], "nothing is left", PATIENT)
    wait_for(lambda: house.node.entry(spec) is None, "it left the report", PATIENT)  # type: ignore[arg-type]


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def test_run_of_an_earlier_boot_is_told_and_nothing_is_signalled(house: House, free_port: int) -> None:
    house.script()
    spec = house.start(house.spec(free_port))
    run = house.node.scripts.runs / spec.member
    house.node.close()
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    before = script_process.file_read(run / "state.json")
    assert before
    os.kill(house.state(spec).supervisor[0], signal.SIGKILL)
    started = script_process.stat_fields(stranger.pid)[19]
    told = {"supervisor": [1, 1], "script": [stranger.pid, int(started)], "boot": "another"}
    script_process.file_write(run / "state.json", {**before, **told})
    house.again()
    assert house.wait_fact(spec, "container_gone")["reason"] == "The machine was started anew while it ran"
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    with contextlib.suppress(OSError):
        os.killpg(before["script"][0], signal.SIGKILL)


def test_environment_is_small_and_holds_nothing_of_the_agents(
    house: House, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKWEB_SECRET_KEY", "canary")
    monkeypatch.setenv("REDIS_URL", "redis://:canary@x")
    house.script(body="env; pwd; exec sleep 600")
    spec = house.start(house.spec(free_port, env={"PORT": str(free_port), "A": "$(id)"}))
    house.wait_line(spec, str(house.folder / "scripts" / "one"))
    said = "\n".join(house.node.log_lines(spec))  # type: ignore[arg-type]
    names = {line.split(" ", 1)[1].split("=")[0] for line in said.splitlines() if "=" in line}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "PORT", "A", "PWD", "OLDPWD"}
    assert "A=$(id)" in said and f"PORT={free_port}" in said and "canary" not in said


# Refusals -----------------------------------------------------------------------


def refusal(house: House, spec: ScriptSpec) -> tuple[str, str]:
    house.start(spec)
    told = house.node.facts(spec, "start_refused")  # type: ignore[arg-type]
    assert len(told) == 1 and house.verbs(spec) == ["start_refused"]
    assert house.node.entry(spec) is None  # type: ignore[arg-type]
    assert not list(house.node.scripts.runs.glob("*"))
    return told[0][1]["code"], told[0][1]["reason"]


def test_missing_folder_and_missing_serve_sh(house: House, free_port: int) -> None:
    code, reason = refusal(house, house.spec(free_port, folder="two/three"))
    assert code == "script_missing" and "There is no folder" in reason
    (house.folder / "scripts" / "four").mkdir()
    code, reason = refusal(house, house.spec(free_port, folder="four"))
    assert code == "script_missing" and "There is no serve.sh in" in reason


def test_links_are_not_followed(house: House, free_port: int) -> None:
    (house.folder / "outside").mkdir()
    house.script(folder="../outside")
    (house.folder / "scripts" / "link").symlink_to(house.folder / "outside")
    (house.folder / "scripts" / "real").mkdir()
    (house.folder / "scripts" / "real" / "serve.sh").symlink_to(house.folder / "outside" / "serve.sh")
    for folder in ("link", "real"):
        code, reason = refusal(house, house.spec(free_port, folder=folder))
        assert code == "script_outside" and "is a symbolic link" in reason
    house.script()
    (house.folder / "scripts" / "one" / "stop.sh").symlink_to(house.folder / "outside" / "serve.sh")
    assert refusal(house, house.spec(free_port))[0] == "script_outside"


@pytest.mark.parametrize("folder", ["../outside", "/etc", "a/../../b", "a//b", ".", "", "a\0b", "-rf", "a b"])
def test_folder_outside_is_refused_before_anything_is_looked_at(
    house: House, free_port: int, folder: str
) -> None:
    spec = house.spec(free_port)
    house.node.models.container_start({**spec.to_json(), "folder": folder})
    [(verb, data)] = house.node.facts(spec)  # type: ignore[arg-type]
    assert verb == "start_refused"
    assert "expected a folder below the node's scripts folder" in data["reason"]


def test_not_executable_open_to_everyone_or_no_program(house: House, free_port: int) -> None:
    path = house.script()
    path.chmod(0o644)
    assert refusal(house, house.spec(free_port)) == (
        "script_not_executable",
        f"{path} is not executable: chmod +x {path}",
    )
    path.chmod(0o777)
    assert refusal(house, house.spec(free_port))[0] == "script_unsafe"
    path.chmod(0o755)
    path.write_text("no shell is named\n")
    code, reason = refusal(house, house.spec(free_port))
    assert code == "script_failed" and "Exec format error" in reason


def test_port_in_use_names_the_holder(house: House, free_port: int) -> None:
    house.script()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_port))
        holder.listen(1)
        code, reason = refusal(house, house.spec(free_port))
    assert code == "port_in_use" and f"Port {free_port} is in use by python" in reason


def test_scripts_are_off_without_a_folder(house: House, free_port: int, tmp_path: Path) -> None:
    house.script()
    object.__setattr__(house.node.scripts, "root", None)
    code, reason = refusal(house, house.spec(free_port))
    assert code == "scripts_off" and "SPARKWEB_SCRIPTS_DIR" in reason
