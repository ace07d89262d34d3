"""What goes wrong around a run: the agent is killed, Docker hangs or dies, web and Redis are away."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.support.dockerd import Dockerd
from tests.support.sandbox_image import sandbox_image
from tests.support.sandbox_node import SandboxNode
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker

LONG = "print('up', flush=True)\nimport time; time.sleep(600)"


@pytest.fixture
def node(docker_host: str, installation: str, tmp_path: Path) -> Iterator[SandboxNode]:
    sandbox_image(docker_host)
    made = SandboxNode(docker_host, tmp_path, installation)
    yield made
    made.close()
    made.wait_clean()


def test_a_killed_agent_loses_its_run_and_leaves_no_container(
    docker_host: str, installation: str, tmp_path: Path
) -> None:
    sandbox_image(docker_host)
    doomed = subprocess.Popen(
        [sys.executable, "-m", "tests.support.doomed_sandbox", docker_host, str(tmp_path), installation],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert doomed.stdout
    run = doomed.stdout.readline().split()[1]
    doomed.kill()
    doomed.wait()
    after = SandboxNode(docker_host, tmp_path, installation)
    try:
        ended = wait_for(lambda: after.facts(run, "tool_run_ended"), "the run is told lost")
        assert [one["outcome"] for one in ended] == ["lost"]
        after.send(after.job(run=run))  # the nudge comes again: what may have had effects is not run twice
        after.wait_clean()
        assert len(after.facts(run, "tool_run_began")) == 1
    finally:
        after.close()


def test_docker_that_hangs_ends_a_run_with_a_sentence(own_dockerd: Dockerd, tmp_path: Path) -> None:
    sandbox_image(own_dockerd.host)
    node = SandboxNode(own_dockerd.host, tmp_path, "5a4d0003")
    try:
        job = node.send(node.job(LONG, timeout_seconds=5))
        wait_for(lambda: any(entry["kind"] == "out" for entry in node.stream(job.run)), "its first line")
        own_dockerd.freeze()
        ending = node.wait_end(job)
        assert (ending["outcome"], ending["stdout"]) == ("engine", "up\n")
        assert "did not answer" in ending["reason"]
        own_dockerd.thaw()
        node.wait_clean()
        assert wait_for(lambda: node.do()["outcome"] == "ok", "runs work again")
    finally:
        node.close()


def test_docker_that_dies_ends_a_run_and_is_used_again(own_dockerd: Dockerd, tmp_path: Path) -> None:
    sandbox_image(own_dockerd.host)
    node = SandboxNode(own_dockerd.host, tmp_path, "5a4d0004")
    try:
        job = node.send(node.job(LONG, timeout_seconds=600))
        wait_for(lambda: any(entry["kind"] == "out" for entry in node.stream(job.run)), "its first line")
        own_dockerd.kill()
        ending = node.wait_end(job)
        assert (ending["outcome"], bool(ending["reason"])) == ("engine", True)
        own_dockerd.start()
        node.wait_clean()
        assert node.do()["outcome"] == "ok"
    finally:
        node.close()


def test_a_container_removed_by_hand_ends_its_run(
    node: SandboxNode, docker_client: docker.DockerClient
) -> None:
    job = node.send(node.job(LONG, timeout_seconds=600))
    wait_for(lambda: any(entry["kind"] == "out" for entry in node.stream(job.run)), "its first line")
    docker_client.containers.get(node.containers()[0]).remove(force=True)
    ending = node.wait_end(job)
    assert (ending["outcome"], ending["stdout"]) == ("engine", "up\n")


def test_what_the_memory_guardian_ends_says_so(node: SandboxNode) -> None:
    job = node.send(node.job(LONG, timeout_seconds=600))
    wait_for(lambda: any(entry["kind"] == "out" for entry in node.stream(job.run)), "its first line")
    (victim,) = node.sandbox.victims()
    assert (victim.key, victim.kind) == (job.run, "sandbox")
    assert victim.pid
    node.sandbox.guardian_acted({"victim": {"key": victim.key}, "sentence": "10 MiB were left."})
    os.kill(victim.pid, signal.SIGKILL)
    ending = node.wait_end(job)
    assert (ending["outcome"], ending["reason"]) == ("memory", "10 MiB were left.")


def test_long_output_keeps_head_and_tail_and_all_of_it_for_web(node: SandboxNode) -> None:
    code = "import sys\nfor n in range(400_000): print(f'line {n:07}')\nprint('end', end='')"
    job = node.send(node.job(code, output_bytes=32 << 20))
    ending = node.wait_end(job)
    whole = "".join(f"line {n:07}\n" for n in range(400_000)) + "end"
    assert (ending["outcome"], ending["stdout_bytes"], ending["truncated"]) == ("ok", len(whole), True)
    assert ending["stdout"].startswith("line 0000000\n")
    assert ending["stdout"].endswith("line 0399999\nend")
    assert "bytes left out" in ending["stdout"]
    kept = wait_for(lambda: node.web.headers, "the artifact reaches web")[0]
    assert (kept["kind"], kept["sha256"]) == ("stdout", hashlib.sha256(whole.encode()).hexdigest())
    assert any(entry["kind"] == "skipped" for entry in node.stream(job.run))


def test_files_and_pictures_become_artifacts_and_links_do_not(node: SandboxNode) -> None:
    code = """
import os
os.mkdir('/artifacts/sub')
open('/artifacts/sub/a.txt', 'w').write('text')
open('/artifacts/p.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(9))
open('/artifacts/page.html', 'w').write('<script>')
os.symlink('/etc/passwd', '/artifacts/link')
os.mkfifo('/artifacts/fifo')
open('/artifacts/twice', 'w').close()
os.link('/artifacts/twice', '/artifacts/hard')
"""
    ending = node.do(code)
    found = {one["name"]: (one["kind"], one["media_type"]) for one in ending["artifacts"]}
    assert found == {
        "p.png": ("image", "image/png"),
        "page.html": ("file", "text/plain"),
        "sub_a.txt": ("file", "text/plain"),
    }
    wait_for(lambda: len(node.web.headers) == 3, "all reach web")
    assert node.web.artifacts[(ending["run"], "sub_a.txt")] == b"text"


def test_artifacts_wait_while_web_is_away(node: SandboxNode) -> None:
    job = node.job("open('/artifacts/a', 'w').write('x')")
    node.do("print('the folder is fetched')")
    node.web.down = True
    node.wait_end(node.send(job))
    assert node.web.headers == []
    node.web.down = False
    wait_for(lambda: node.web.headers, "it reaches web", 90)


def test_redis_away_costs_the_stream_and_nothing_else(node: SandboxNode) -> None:
    node.streams.down = True
    job = node.send(node.job("print('heard by the journal')"))
    ended = wait_for(lambda: node.facts(job.run, "tool_run_ended"), "the end is in the journal")[0]
    assert (ended["outcome"], ended["stdout"]) == ("ok", "heard by the journal\n")
    assert node.stream(job.run) == []


def test_large_arguments_come_from_web_and_reach_a_tool_that_reads_late(node: SandboxNode) -> None:
    text = "x" * 4_000_000
    late = "import sys, time, json\ntime.sleep(0.3)\nprint(len(json.load(sys.stdin)['arguments']['t']))"
    tool = node.tool_add({"run.py": late})
    job = node.job(arguments=None, tool_digest=tool)
    node.web.arguments[job.run] = {"t": text}
    assert node.wait_end(node.send(job))["stdout"] == "4000000\n"
    deaf = node.tool_add({"run.py": "print('deaf')"})
    job = node.job(arguments=None, tool_digest=deaf)
    node.web.arguments[job.run] = {"t": text}
    ending = node.wait_end(node.send(job))
    assert (ending["outcome"], ending["stdout"]) == ("ok", "deaf\n")


def test_a_folder_that_is_not_its_digest_is_refused(node: SandboxNode) -> None:
    wrong = hashlib.sha256(b"another").hexdigest()
    node.web.folders[wrong] = node.web.folders[node.tool]
    ending = node.do(tool_digest=wrong)
    assert (ending["outcome"], "another" in ending["reason"]) == ("refused", True)
    assert node.do(tool_digest="../../etc")["outcome"] == "refused"


def test_jobs_for_others_and_jobs_that_are_none(node: SandboxNode) -> None:
    foreign = node.send(node.job(installation="ffffffff"))
    assert node.wait_end(foreign)["outcome"] == "refused"
    elsewhere = node.send(node.job(node="spark-2"))
    old = node.job(generation=1)
    node.journal.fence(old.run, 2)
    node.send(old)
    node.sandbox.run({"run": "abc", "generation": 1, "nonsense": True})
    node.sandbox.run("nonsense")
    told = wait_for(lambda: node.facts("abc", "tool_run_ended"), "the unreadable one is told")
    assert told[0]["outcome"] == "refused"
    assert node.facts(elsewhere.run, "tool_run_ended") == node.facts(old.run, "tool_run_ended") == []
