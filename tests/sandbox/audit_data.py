"""Entries of the tool audit for tests, and ways to tamper with them behind the product's back."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from sandbox_app.audit import audit_append, record_hash
from sandbox_app.audit_triggers import drop_statements, triggers_install
from sandbox_app.models_audit import AuditHead, AuditKind, AuditRecord

TABLE = "sandbox_app_auditrecord"


def entries_make(count: int, **fields: str) -> list[AuditRecord]:
    """Append a start and an end by turns."""
    kinds = (AuditKind.STARTED, AuditKind.ENDED)
    made = []
    for n in range(count):
        known = {"run_uid": f"{n // 2:016x}", "tool_name": "code_execution", "user_label": "ann"} | fields
        outcome = "ok" if n % 2 else ""
        known.setdefault("outcome", outcome)
        made.append(audit_append(kinds[n % 2], body={"arguments": {"code": f"print({n})"}}, **known))
    return made


def tamper(*statements: str, guarded: bool = True) -> None:
    """Run SQL as somebody who owns the database: the triggers are away meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        for drop in drop_statements(connection.vendor):
            cursor.execute(drop)
        for statement in statements:
            cursor.execute(statement)
        if guarded:
            triggers_install(connection)


def aged(number: int, at: datetime) -> None:
    """Make the entries up to `number` older, signed anew: as if they had been appended at `at`."""
    records = list(AuditRecord.objects.order_by("number"))
    before, texts = "", []
    for record in records:
        record.at = at if record.number <= number else record.at
        record.previous = before
        record.mac = before = record_hash(record)
        texts.append(
            f"UPDATE {TABLE} SET at = '{record.at:%Y-%m-%d %H:%M:%S.%f}', previous = '{record.previous}', "
            f"mac = '{record.mac}' WHERE number = {record.number}"
        )
    tamper("SET LOCAL TIME ZONE 'UTC'" if connection.vendor == "postgresql" else "SELECT 1", *texts,
           f"UPDATE sandbox_app_audithead SET mac = '{before}'")  # fmt: skip
    assert AuditHead.objects.get().mac == before
