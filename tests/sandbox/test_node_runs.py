"""One run on a real engine: from the job to its end in the journal and on its stream."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox_image import sandbox_image
from tests.support.sandbox_node import SandboxNode, session_job
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def node(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxNode]:
    sandbox_image(docker_host)
    folder: Path = tmp_path_factory.mktemp("sandbox")
    made = SandboxNode(docker_host, folder, secrets.token_hex(4))
    yield made
    made.close()
    made.wait_clean()


def test_a_run_prints_ends_and_leaves_nothing(node: SandboxNode) -> None:
    job = node.send(node.job("print('grüße')"))
    ending = node.wait_end(job)
    assert (ending["outcome"], ending["exit_code"], ending["stdout"]) == ("ok", 0, "grüße\n")
    assert ending["limits"]["capabilities"] == []
    assert ending["limits"]["memory_bytes"] == job.policy.memory_bytes
    began = node.facts(job.run, "tool_run_began")
    assert [one["container_id"] for one in began] == [ending["container_id"]]
    kinds = [entry["kind"] for entry in node.stream(job.run)]
    assert kinds == ["state", "out", "end"]
    assert base64.b64decode(node.stream(job.run)[1]["data"]) == "grüße\n".encode()
    node.wait_clean()


def test_second_nudge_joins_and_third_finds_it_done(node: SandboxNode) -> None:
    job = node.job("print(1)")
    node.send(job)
    node.send(job)
    node.wait_end(job)
    node.send(job)
    assert len(node.facts(job.run, "tool_run_began")) == 1
    wait_for(lambda: not node.sandbox.section()["runs"], "no run under way")
    assert len(node.facts(job.run, "tool_run_ended")) == 1


def test_a_shell_runner_returns_a_result_beside_its_output(node: SandboxNode) -> None:
    ending = node.do(program="run.sh")
    assert (ending["outcome"], ending["exit_code"]) == ("exit", 3)
    assert (ending["stdout"], ending["result"]) == ("from bash\n", {"n": 1})


@pytest.mark.parametrize(
    ("code", "fields", "outcome"),
    [
        ("import time; time.sleep(600)", {"timeout_seconds": 1}, "wall"),
        ("while True: pass", {"cpu_seconds": 1}, "cpu"),
        ("x = bytearray(2 << 30)", {}, "memory"),
        ("import os\nwhile True: os.fork()", {"memory_bytes": 2**30}, "pids"),
        ("f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(1 << 20))", {"tmp_bytes": 8 << 20}, "disk"),
        ("f = open('/tmp/x', 'wb')\nf.truncate(1 << 30)", {"file_bytes": 1 << 20}, "disk"),
        ("while True: print('x' * 100_000)", {"output_bytes": 1 << 20}, "output"),
        ("import os; os.kill(os.getpid(), 11)", {}, "signal"),
        ("raise SystemExit(7)", {}, "exit"),
        ("open(3, 'w').write('{\"result\": NaN}')", {}, "exit"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 8 else None,
)
def test_the_reason_of_a_death_is_exact(
    node: SandboxNode, code: str, fields: dict[str, int], outcome: str
) -> None:
    ending = node.do(code, **fields)
    assert (ending["outcome"], bool(ending["reason"])) == (outcome, True)


def test_cancel_ends_a_run_and_one_that_has_not_come(node: SandboxNode) -> None:
    job = node.send(node.job("print('up', flush=True)\nimport time; time.sleep(600)"))
    wait_for(lambda: any(entry["kind"] == "out" for entry in node.stream(job.run)), "its first line")
    node.sandbox.cancel(job.run, 1, "changed my mind")
    ending = node.wait_end(job)
    assert (ending["outcome"], ending["reason"], ending["stdout"]) == ("cancelled", "changed my mind", "up\n")
    later = node.job()
    node.sandbox.cancel(later.run, 1, "")
    node.send(later)
    assert node.wait_end(later)["outcome"] == "cancelled"
    assert node.facts(later.run, "tool_run_began") == []


def test_a_session_keeps_python_and_files(node: SandboxNode) -> None:
    session = session_job()
    code = "__session__['n'] = __session__.get('n', 0) + 1; print(__session__['n'])"
    first = node.do(code, session=session)
    second = node.do(code, session=session)
    other = node.do(code, session=session_job())
    assert [one["stdout"] for one in (first, second, other)] == ["1\n", "2\n", "1\n"]
    assert (first["warm"], second["warm"]) == (False, True)
    assert node.do("open('kept', 'w').write('x')", session=session)["outcome"] == "ok"
    assert node.do("print(open('/workspace/kept').read())", session=session)["stdout"] == "x\n"
    ready = node.session_facts(session.uid, "tool_session_ready")
    assert [(one["workspace"], one["generation"]) for one in ready] == [("ext4", 1)]
    node.journal.fence(session.uid, 2)
    node.sandbox.session_end(session.uid)
    ended = node.do(code, session=session)
    assert (ended["outcome"], "ended" in ended["reason"]) == ("refused", True)


def test_a_session_whose_call_is_killed_begins_anew(node: SandboxNode) -> None:
    session = session_job()
    count = "__session__['n'] = __session__.get('n', 0) + 1; print(__session__['n'])"
    assert node.do(count, session=session)["stdout"] == "1\n"
    late = node.do("import time; time.sleep(600)", session=session, timeout_seconds=1)
    assert late["outcome"] == "wall"
    crashed = node.do("import os; os.kill(os.getpid(), 11)", session=session)
    assert crashed["outcome"] == "signal"
    after = node.do(count, session=session)
    assert (after["outcome"], after["stdout"]) == ("ok", "1\n")


def test_modules_beside_a_runner_are_found(node: SandboxNode) -> None:
    files = {
        "run.py": "import helper_of_mine\nprint(helper_of_mine.VALUE)",
        "helper_of_mine.py": "VALUE = 42",
    }
    assert node.do(tool_digest=node.tool_add(files))["stdout"] == "42\n"
    broken = node.tool_add({"run.py": "import helper_of_mine", "helper_of_mine.py": "def ("})
    ending = node.do(tool_digest=broken)
    assert (ending["outcome"], "SyntaxError" in ending["stderr"]) == ("exit", True)
