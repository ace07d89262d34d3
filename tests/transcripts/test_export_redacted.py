"""With a profile no secret of any of its rules is in any file of an export, nor in a file's name."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.claude_code import Transcript
from tests.transcripts.secrets_made import secrets
from tests.transcripts.test_export import FORMATS, export, tree
from transcripts_app.archive.models import Session
from transcripts_app.export.out import manifest_read
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer
from transcripts_app.redaction.rules import SHARING

PROFILE = {"name": "sharing", "rules": list(SHARING), "patterns": [{"name": "ticket", "pattern": r"ZZ-\d+"}]}


def spread(root: Path, secret: str, text: str) -> None:
    """A session that says it everywhere."""
    one = Transcript(root, cwd=f"/srv/{len(text)}")
    one.branch = text
    one.prompt(f"{text} ZZ-1234")
    one.answer({"type": "thinking", "thinking": text, "signature": "s"}, f"```sh\n{text}\n```", text)
    call = one.call("Bash", command=text, description=text)
    one.result(call, text, told={"stdout": text, text: text})
    edit = one.call("Edit", file_path=f"/srv/{text}", old_string=text, new_string=f"{text}\nmore")
    one.result(edit, [{"type": "text", "text": text}], error=True)
    task = one.call("Task", description=text, prompt=text)
    one.result(task, text, told={"agentId": "abc123", "content": text})
    one.add("system", subtype="informational", content=text)
    one.add("attachment", attachment={"type": "file", "filename": text, "content": text})
    one.bare(type="custom-title", customTitle=text, sessionId=one.session_id)
    one.bare(type="summary", summary=text, leafUuid=one.parent)
    one.bare(type=text, anything={text: [text]})
    one.write()
    one.append(json.dumps(text).encode() + b"\n")
    agent = Transcript(root, one.cwd, one.session_id, agent="abc123")
    agent.prompt(text)
    agent.write()
    meta = {"agentType": text[:60], "toolUseId": task, "description": text}
    agent.path.with_suffix(".meta.json").write_text(json.dumps(meta))
    output = one.path.parent / one.session_id / "tool-results" / f"{call}.txt"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)


@given(secrets(), st.sampled_from(FORMATS))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_secret_survives_in_any_format(
    archive: Path, projects: Path, tmp_path: Path, made: tuple[str, str], format: str
) -> None:
    secret, text = made
    shutil.rmtree(projects)
    spread(projects, secret, text)
    with Writer(archive) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", projects)
        run.end()
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    export(out, format, profile=PROFILE)
    told = manifest_read(out)
    assert (told["redacted"], told["profile"]) == (True, "sharing")
    escaped = json.dumps(secret)[1:-1].encode()
    for name, data in tree(out).items():
        if name.startswith("assets/"):
            continue
        data = zlib.decompress(data) if name.endswith(".z") else data
        assert secret not in name
        assert secret.encode() not in data, name
        assert escaped not in data, name
        assert b"ZZ-1234" not in data, name


def test_a_value_has_one_number_in_all_sessions_and_files(
    archive: Path, projects: Path, tmp_path: Path
) -> None:
    for number in range(3):
        one = Transcript(projects, cwd=f"/srv/{number}")
        one.prompt(f"ask bob{number}@example.com and ada@example.com")
        one.write()
    with Writer(archive) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", projects)
        run.end()
    export(tmp_path / "a", "markdown", profile=PROFILE)
    export(tmp_path / "b", "markdown", profile=PROFILE)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    texts = [(tmp_path / "a" / "sessions" / f"{one.key}.md").read_text() for one in Session.objects.all()]
    numbers = [text.split("and \\[email ")[1].split("\\]")[0] for text in texts]
    assert len(set(numbers)) == 1
    assert "ada@example.com" not in "".join(texts)
