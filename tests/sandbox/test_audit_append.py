"""Entries of the tool audit: a chain without gaps, whoever writes; a database that refuses to change it."""

from __future__ import annotations

import json
import stat
import threading

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction

from sandbox_app.audit import audit_append, audit_key
from sandbox_app.audit_chain import BODY_MOST_BYTES, record_mac, time_text
from sandbox_app.audit_triggers import triggers_install, triggers_missing
from sandbox_app.models_audit import AuditHead, AuditKind, AuditRecord


def append(number: int = 1, **fields: object) -> AuditRecord:
    body = {"arguments": {"n": number}}
    return audit_append(AuditKind.STARTED, run_uid=f"{number:016x}", tool_name="t", body=body, **fields)


def links_hold(records: list[AuditRecord]) -> bool:
    before = ""
    for place, record in enumerate(records, 1):
        if record.number != place or record.previous != before:
            return False
        before = record.mac
    return True


@pytest.mark.django_db
def test_entry_is_bound_to_the_one_before_and_to_the_key() -> None:
    first, second = append(1), append(2, user_label="ann", outcome="ok")
    stored = AuditRecord.objects.get(pk=2)
    assert (first.number, first.previous, second.previous) == (1, "", first.mac)
    assert stored.mac == record_mac(
        audit_key(), previous=first.mac, number=2, at=time_text(stored.at), kind="started",
        run_uid="0000000000000002", tool_name="t", user_label="ann", outcome="ok", covers=None,
        body='{"arguments":{"n":2}}',
    )  # fmt: skip
    head = AuditHead.objects.get()
    assert (head.number, head.mac) == (2, second.mac)


@pytest.mark.django_db
def test_key_is_a_file_of_the_owner_alone() -> None:
    append()
    path = settings.DATA_DIR / "audit_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bytes.fromhex(path.read_text()) == audit_key()
    assert len(audit_key()) == 32


@pytest.mark.django_db
def test_odd_text_is_taken_as_one_line() -> None:
    record = append(user_label="a\nb\0c\ud800" + "x" * 200, outcome="ok\n")
    record.refresh_from_db()
    assert record.user_label == ("a b c?" + "x" * 200)[:160]
    assert record.outcome == "ok "
    odd = audit_append(
        AuditKind.ENDED, body={"nan": float("nan"), "nul": "\0", "lone": "\udc00", 3: {"at": time_text}}
    )
    odd.refresh_from_db()
    assert "\n" not in odd.body and odd.body.isascii()
    assert json.loads(odd.body)["nan"] == "nan"


@pytest.mark.django_db
def test_huge_body_leaves_its_digest() -> None:
    record = audit_append(AuditKind.ENDED, body={"outcome": "ok", "egress": ["x" * 100] * 10_000})
    assert len(record.body) < BODY_MOST_BYTES
    assert record.content["outcome"] == "ok"
    assert record.content["too_large"]["bytes"] > 1_000_000


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_leaves_no_gap() -> None:
    append(1)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        append(2)
        raise ZeroDivisionError
    append(2)
    assert links_hold(list(AuditRecord.objects.order_by("number")))


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_chain() -> None:
    go, broken = threading.Event(), []

    def write(who: int) -> None:
        go.wait()
        try:
            for n in range(12):
                with transaction.atomic():
                    append(who * 100 + n)
        except DatabaseError as error:
            broken.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    records = list(AuditRecord.objects.order_by("number"))
    assert broken == []
    assert len(records) == 72 and len({record.run_uid for record in records}) == 72
    assert links_hold(records)


REFUSED = {
    "edit": "UPDATE sandbox_app_auditrecord SET outcome = 'ok' WHERE number = 1",
    "renumber": "UPDATE sandbox_app_auditrecord SET number = 9 WHERE number = 1",
    "delete": "DELETE FROM sandbox_app_auditrecord WHERE number = 2",
    "delete all": "DELETE FROM sandbox_app_auditrecord",
    "head back": "UPDATE sandbox_app_audithead SET number = 1",
    "head away": "DELETE FROM sandbox_app_audithead",
}
ONLY_ON = {
    "sqlite": {
        "replace": "INSERT OR REPLACE INTO sandbox_app_auditrecord SELECT * FROM sandbox_app_auditrecord"
    },
    "postgresql": {"truncate": "TRUNCATE sandbox_app_auditrecord"},
}


@pytest.mark.django_db
def test_database_refuses_to_change_or_delete() -> None:
    append(1), append(2)
    before = list(AuditRecord.objects.values())
    for name, statement in (REFUSED | ONLY_ON[connection.vendor]).items():
        with pytest.raises(DatabaseError, match="audit"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            pytest.fail(f"{name} was let through")
    assert list(AuditRecord.objects.values()) == before
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditRecord.objects.all().delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditRecord.objects.get(pk=1).save()


@pytest.mark.django_db
def test_triggers_that_were_dropped_are_missed_and_put_back() -> None:
    assert triggers_missing(connection) == []
    on = " ON sandbox_app_auditrecord" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER sandbox_audit_no_delete{on}")
    assert triggers_missing(connection) == ["sandbox_audit_no_delete"]
    triggers_install(connection)
    assert triggers_missing(connection) == []
