"""The import notes which records hold likely secrets, and never the secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Record, SecretHit, Session
from transcripts_app.importing.ledger import Count

Read = Callable[[], Count]
AWS = "AKIA" + "IOSFODNN7EXAMPLE"


def test_records_with_likely_secrets_are_flagged(read: Read, projects: Path, archive: Path) -> None:
    one = Transcript(projects)
    one.prompt("Nothing to see, token_count is 7")
    one.prompt(f"Use {AWS} and password = 'hunter22'")
    call = one.call("Bash", command="cat .env")
    one.result(call, "DB_PASSWORD=swordfish\n", told={"stdout": "DB_PASSWORD=swordfish\n"})
    one.append(b"this is no record, AKIA" + AWS[4:].encode() + b"\n")
    one.write()
    read()
    hits = [(hit.record.line, hit.rule) for hit in SecretHit.objects.order_by("record__line", "rule")]
    # The line that is no record came first: lines count from it.
    assert hits == [(3, "keys"), (3, "passwords"), (5, "passwords")]
    assert Session.objects.get().secrets == 2
    assert {field.name for field in SecretHit._meta.fields} == {"id", "session", "record", "rule", "count"}


def test_a_copy_is_not_flagged_again_and_a_large_output_is(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt(f"Use {AWS}")
    one.write()
    fork = Transcript(projects)
    fork.records = [one.records[0] | {"sessionId": fork.session_id}]
    fork.write()
    output = one.path.parent / one.session_id / "tool-results" / "toolu_1.txt"
    output.parent.mkdir(parents=True)
    output.write_text(f"key {AWS}\n")
    read()
    assert SecretHit.objects.count() == 2
    assert sorted(Session.objects.values_list("secrets", flat=True)) == [0, 2]
    assert Record.objects.filter(secret_hits__rule="keys").count() == 2
