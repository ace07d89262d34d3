"""The shipped tools in real containers: as each is bounded by its own TOOL.md, alone and in a session."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox_app.job import SessionJob, arguments_digest
from sandbox_app.schema import arguments_check
from sandbox_app.tool_folder import folder_read
from sandbox_app.toolfile import policy_of, runner_of
from tests.sandbox.shipped import TOOLS, definition
from tests.support.sandbox_image import sandbox_image
from tests.support.sandbox_node import SandboxNode, session_job
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker
NASTY = "'\"`$(id)\\ ${x} {0} </script> \u202e é\n"


class ShippedNode(SandboxNode):
    """A node to which web hands the shipped tools."""

    def call(self, tool: str, session: SessionJob | None = None, **arguments: Any) -> dict[str, Any]:
        """Call a tool as it is shipped, and wait for its end."""
        tar = folder_read(TOOLS / tool).tar()
        checked = arguments_check(definition(tool), arguments)
        job = self.job(
            tool=tool,
            program=runner_of(definition(tool))[1],
            policy=replace(policy_of(definition(tool), {}), image=self.image),
            arguments=checked,
            session=session,
            tool_digest=self.tar_add(tar),
        )
        if len(repr(checked)) > 60_000:  # large ones the node fetches
            self.web.arguments[job.run] = checked
            job = replace(job, arguments=None, arguments_digest=arguments_digest(checked))
        return self.wait_end(self.send(job))

    def tar_add(self, tar: bytes) -> str:
        digest = hashlib.sha256(tar).hexdigest()
        self.web.folders[digest] = tar
        return digest


@pytest.fixture(scope="module")
def node(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedNode]:
    sandbox_image(docker_host)
    made = ShippedNode(docker_host, tmp_path_factory.mktemp("sandbox"), secrets.token_hex(4))
    yield made
    made.close()
    made.wait_clean()


@pytest.mark.parametrize(
    ("language", "code", "stdout"),
    [
        ("python", "x = 20\nx + 1", "21\n"),
        ("bash", "printf 'b\\na\\n' | sort", "a\nb\n"),
        ("node", "console.log([3, 1, 2].sort().join())", "1,2,3\n"),
    ],
)
def test_code_runs_in_each_language(node: ShippedNode, language: str, code: str, stdout: str) -> None:
    ending = node.call("code_execution", code=code, language=language)
    assert (ending["outcome"], ending["stdout"]) == ("ok", stdout), ending


def test_a_traceback_is_the_callers_own(node: ShippedNode) -> None:
    ending = node.call("code_execution", code="def f():\n    return 1 / 0\nf()")
    assert (ending["outcome"], ending["exit_code"]) == ("exit", 1)
    assert "return 1 / 0" in ending["stderr"]
    assert "run.py" not in ending["stderr"]
    assert "/sparkweb" not in ending["stderr"]


def test_figures_and_files_come_back_as_artifacts(node: ShippedNode) -> None:
    code = (
        "import os, matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\n"
        "open(os.environ['ARTIFACTS'] + '/numbers.csv', 'w').write('1,2');"
    )
    ending = node.call("code_execution", code=code)
    assert ending["outcome"] == "ok", ending
    assert ending["result"] == {"figures": ["figure-1.png"]}
    assert {artifact["name"] for artifact in ending["artifacts"]} == {"figure-1.png", "numbers.csv"}

    def sent(name: str) -> bytes:  # files follow the end of their run
        key = (ending["run"], name)
        found: bytes = wait_for(lambda: node.web.artifacts.get(key), name)
        return found

    assert sent("figure-1.png").startswith(b"\x89PNG")
    assert sent("numbers.csv") == b"1,2"


def test_a_session_keeps_variables_values_and_files_across_tools(node: ShippedNode) -> None:
    session, stranger = session_job(), session_job()
    assert node.call("code_execution", session, code="n = 41\ndef f(): return n + 1")["outcome"] == "ok"
    assert node.call("code_execution", session, code="f()")["stdout"] == "42\n"
    assert "NameError" in node.call("code_execution", stranger, code="f()")["stderr"]
    made = node.call("bash_command", session, command="mkdir -p in && cat > in/a.json", stdin='{"a": [1, 2]}')
    assert made["outcome"] == "ok", made
    found = node.call(
        "file_analysis", session, operation="extract", format="json", path="in/a.json", query="$.a[*]"
    )
    assert found["result"]["matches"] == [1, 2], found
    assert node.call("data_storage", session, operation="set", key="k", value=NASTY)["outcome"] == "ok"
    kept = node.call("data_storage", session, operation="get", key="k")
    assert kept["result"] == {"key": "k", "value": NASTY}
    listed = node.call("data_storage", session, operation="file_list")
    assert [file["path"] for file in listed["result"]["files"]] == ["in/a.json"]
    assert node.call("data_storage", stranger, operation="get", key="k")["outcome"] == "exit"
    for each in (session, stranger):
        node.sandbox.session_end(each.uid)


def test_without_a_session_nothing_is_kept_and_storage_says_so(node: ShippedNode) -> None:
    alone = node.call("data_storage", operation="get", key="k")
    assert alone["outcome"] == "exit"
    assert node.call("bash_command", command="pwd && touch here")["outcome"] == "ok"
    assert node.call("bash_command", command="ls")["stdout"] == ""


def test_nasty_and_large_arguments_arrive_as_they_are(node: ShippedNode) -> None:
    assert node.call("bash_command", command="cat", stdin=NASTY)["stdout"] == NASTY
    ending = node.call("code_execution", code="# " + "x" * 3_900_000 + "\nprint('done')")
    assert (ending["outcome"], ending["stdout"]) == ("ok", "done\n")


def test_what_the_image_lacks_is_a_sentence(node: ShippedNode) -> None:
    ending = node.call("file_analysis", operation="parse", format="yaml", content="a: 1")
    assert (ending["outcome"], "has no PyYAML" in ending["stderr"]) == ("exit", True)
    xml = node.call(
        "file_analysis", operation="extract", format="xml", content="<a><b>1</b></a>", query="//b/text()"
    )
    assert xml["result"]["matches"] == ["1"]


def test_sql_stays_inside_and_ends(node: ShippedNode, tmp_path: Path) -> None:
    session = session_job()
    for sql in ("ATTACH '/tmp/x' AS x", "VACUUM INTO '/tmp/x'", "SELECT load_extension('x')"):
        ending = node.call("data_storage", session, operation="query", sql=sql)
        assert "not authorized" in ending["stderr"].lower(), ending
    node.sandbox.session_end(session.uid)
