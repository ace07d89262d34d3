"""Whatever is done to the chain behind SparkWeb's back, verification names the first bad entry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from sandbox_app.audit_heads import HeadCopy, file_copies, head_copy, heads_file
from sandbox_app.audit_prune import AuditBroken, audit_prune, checkpoint_append, covered_delete
from sandbox_app.audit_verify import chain_verify
from sandbox_app.models_audit import AuditHead, AuditRecord
from tests.sandbox.audit_data import TABLE, aged, entries_make, tamper

pytestmark = pytest.mark.django_db
OLD = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
COLUMNS = "at, kind, run_uid, tool_name, user_label, outcome, covers, body, previous, mac"


@pytest.fixture(autouse=True)
def _no_copies() -> None:
    heads_file().unlink(missing_ok=True)


def copy_row(number: int, to: int) -> str:
    return (
        f"INSERT INTO {TABLE} (number, {COLUMNS}) SELECT {to}, {COLUMNS} FROM {TABLE} WHERE number = {number}"
    )


def head_to(number: int) -> str:
    return (
        f"UPDATE sandbox_app_audithead SET number = {number}, "
        f"mac = (SELECT mac FROM {TABLE} WHERE number = {number})"
    )


TAMPERED: dict[str, tuple[list[str], int, str]] = {
    "body": ([f"UPDATE {TABLE} SET body = replace(body, 'print', 'pront') WHERE number = 4"], 4, "changed"),
    "outcome": ([f"UPDATE {TABLE} SET outcome = 'exit' WHERE number = 6"], 6, "changed"),
    "user": ([f"UPDATE {TABLE} SET user_label = 'bob' WHERE number = 3"], 3, "changed"),
    "time": ([f"UPDATE {TABLE} SET at = '2026-01-01 00:00:00' WHERE number = 5"], 5, "changed"),
    "kind": ([f"UPDATE {TABLE} SET kind = 'refused' WHERE number = 5"], 5, "changed"),
    "text moved into its neighbour": (
        [f"UPDATE {TABLE} SET tool_name = 'code_execution' || chr(10) || 'ann', user_label = outcome, "
         "outcome = '' WHERE number = 6"], 6, "changed",
    ),
    "first": ([f"UPDATE {TABLE} SET outcome = 'exit' WHERE number = 1"], 1, "changed"),
    "hash": ([f"UPDATE {TABLE} SET mac = previous WHERE number = 8"], 8, "changed"),
    "deleted": ([f"DELETE FROM {TABLE} WHERE number = 4"], 4, "missing"),
    "several deleted": ([f"DELETE FROM {TABLE} WHERE number IN (4, 5, 8)"], 4, "missing"),
    "first deleted": ([f"DELETE FROM {TABLE} WHERE number = 1"], 1, "missing"),
    "all deleted": ([f"DELETE FROM {TABLE}"], 1, "truncated"),
    "swapped": (
        [f"UPDATE {TABLE} SET number = 99 WHERE number = 4",
         f"UPDATE {TABLE} SET number = 4 WHERE number = 5",
         f"UPDATE {TABLE} SET number = 5 WHERE number = 99"], 4, "changed",
    ),
    "closed up": (
        [f"DELETE FROM {TABLE} WHERE number = 4", *(f"UPDATE {TABLE} SET number = {n - 1} WHERE number = {n}"
         for n in range(5, 11)), head_to(9)], 4, "changed",
    ),
    "inserted": (
        [*(f"UPDATE {TABLE} SET number = {n + 1} WHERE number = {n}" for n in range(10, 4, -1)),
         copy_row(4, 5), head_to(11)], 5, "changed",
    ),
    "behind the head": ([copy_row(10, 11)], 11, "inserted"),
    "end cut off": ([f"DELETE FROM {TABLE} WHERE number > 7"], 8, "truncated"),
    "head changed": (["UPDATE sandbox_app_audithead SET mac = 'ff'"], 10, "head"),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
def test_first_bad_entry_is_named(how: str) -> None:
    statements, number, code = TAMPERED[how]
    entries_make(10)
    assert chain_verify().ok
    if connection.vendor == "sqlite":
        statements = [text.replace("chr(10)", "char(10)") for text in statements]
    tamper(*statements)
    verdict = chain_verify()
    assert not verdict.ok
    assert (verdict.faults[0].number, verdict.faults[0].code) == (number, code), verdict.sentence


def test_an_empty_and_a_whole_chain_hold() -> None:
    assert chain_verify().ok
    entries_make(25)
    seen: list[tuple[int, int]] = []
    verdict = chain_verify(lambda done, total: seen.append((done, total)))
    assert (verdict.ok, verdict.rows, verdict.first, verdict.last) == (True, 25, 1, 25)
    assert seen == [(25, 25)]


def test_end_cut_off_with_its_head_is_seen_by_copies() -> None:
    entries_make(6)
    assert head_copy() is True and head_copy() is False
    entries_make(2)
    tamper(f"DELETE FROM {TABLE} WHERE number > 4", head_to(4))
    verdict = chain_verify()
    assert (verdict.faults[0].number, verdict.faults[0].code) == (5, "rolled_back")
    assert "the file audit_heads" in verdict.sentence
    assert chain_verify(copies=[HeadCopy(7, "ab", "node spark-2")]).sentence.startswith(
        "The chain ends at 4, but node spark-2 holds its head at 7"
    )


def test_old_backup_that_grew_on_is_seen_by_copies() -> None:
    entries_make(6)
    head_copy()
    tamper(f"DELETE FROM {TABLE} WHERE number > 4", head_to(4))
    entries_make(5)
    verdict = chain_verify()
    assert (verdict.faults[0].number, verdict.faults[0].code) == (6, "rewritten")


def test_file_of_heads_stays_bounded_and_bears_rubbish(monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox_app import audit_heads

    monkeypatch.setattr(audit_heads, "FILE_LINES_MOST", 6)
    monkeypatch.setattr(audit_heads, "FILE_LINES_KEPT", 3)
    heads_file().write_text('half a li\n[]\n{"number": true, "mac": "x"}\n{"number": -1, "mac": "x"}\n')
    for _ in range(4):
        entries_make(1)
        head_copy()
    assert [copy.number for copy in file_copies()] == [1, 2, 3, 4]  # three, and one more since
    assert heads_file().stat().st_mode & 0o777 == 0o600
    assert chain_verify().ok


def test_key_of_another_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entries_make(3)
    monkeypatch.setattr("sandbox_app.audit_verify.audit_key", lambda: b"x" * 32)
    verdict = chain_verify()
    assert verdict.faults[0].number == 1
    assert "audit_key" in verdict.sentence


def test_missing_guards_are_a_fault() -> None:
    entries_make(2)
    tamper(guarded=False)
    assert [fault.code for fault in chain_verify().faults] == ["guard"]


# Retention ---------------------------------------------------------------------------


def test_checkpoint_stands_for_what_was_pruned() -> None:
    made = entries_make(20)
    aged(12, OLD)
    assert audit_prune(OLD + timedelta(days=1), least=1) == 12
    assert AuditRecord.objects.order_by("number").first().number == 13  # type: ignore[union-attr]
    checkpoint = AuditRecord.objects.get(covers=12)
    assert checkpoint.kind == "checkpoint" and checkpoint.number == made[-1].number + 1
    assert checkpoint.content["count"] == 12 and checkpoint.content["first"] == 1
    verdict = chain_verify()
    assert (verdict.ok, verdict.first, verdict.pruned_through, verdict.rows) == (True, 13, 12, 9)
    assert "up to 12" in verdict.sentence
    assert audit_prune(OLD + timedelta(days=1), least=1) == 0


def test_second_checkpoint_takes_the_first_along() -> None:
    entries_make(10)
    aged(6, OLD)
    audit_prune(OLD + timedelta(days=1), least=1)
    entries_make(5)
    later = timezone.now() + timedelta(seconds=1)
    assert audit_prune(later, least=1) == 9  # all but the head
    verdict = chain_verify()
    assert (verdict.ok, verdict.first, verdict.pruned_through) == (True, 16, 15)
    assert AuditRecord.objects.get(covers=15).content["earlier_checkpoint"] == 11


def test_pruning_that_was_cut_short_holds_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    entries_make(10)
    checkpoint_append(1, 6, 0, OLD)
    assert chain_verify().ok
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE number <= 3")
    verdict = chain_verify()
    assert (verdict.ok, verdict.first) == (True, 4)
    monkeypatch.setattr("sandbox_app.audit_prune.DELETE_ROWS", 2)
    assert covered_delete() == 3
    assert chain_verify().ok


def test_hole_within_what_may_be_pruned_is_found() -> None:
    entries_make(10)
    checkpoint_append(1, 6, 0, OLD)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE number = 3")
    assert chain_verify().faults[0].number == 3


def test_delete_beyond_the_checkpoint_is_refused_and_found() -> None:
    entries_make(10)
    checkpoint_append(1, 6, 0, OLD)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE number <= 7")
    tamper(f"DELETE FROM {TABLE} WHERE number <= 7")
    assert chain_verify().faults[0].number == 7


def test_forged_checkpoint_opens_the_guard_but_not_the_chain() -> None:
    made = entries_make(10)
    body = json.dumps({"through": 5, "last_mac": made[4].mac})
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (number, {COLUMNS}) SELECT 11, at, 'checkpoint', '', '', '', '', 5, "
            f"'{body}', mac, '{'ab' * 32}' FROM {TABLE} WHERE number = 10"
        )
        cursor.execute(head_to(11))
        cursor.execute(f"DELETE FROM {TABLE} WHERE number <= 5")
    fault = chain_verify().faults[0]
    assert (fault.number, fault.code) == (11, "changed")


def test_broken_chain_is_not_pruned() -> None:
    entries_make(10)
    aged(6, OLD)
    tamper(f"UPDATE {TABLE} SET outcome = 'exit' WHERE number = 2")
    with pytest.raises(AuditBroken, match="Entry 2 was changed"):
        audit_prune(OLD + timedelta(days=1), least=1)
    assert AuditRecord.objects.count() == 10


# The command -------------------------------------------------------------------------


def test_command_says_so_and_ends_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    entries_make(4)
    call_command("verify_audit")
    assert "All 4 entries hold" in capsys.readouterr().out
    with pytest.raises(CommandError, match="nothing to accept"):
        call_command("verify_audit", "--accept", "why not")
    tamper(f"UPDATE {TABLE} SET outcome = 'exit' WHERE number = 2")
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", "--json")
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert (said["ok"], said["faults"][0]["number"], said["faults"][0]["code"]) == (False, 2, "changed")
    assert AuditHead.objects.get().number == 4
