"""Triggers by which the database itself refuses to change or delete what was recorded.

An entry may go only when an entry of kind checkpoint that covers it has been appended before: the
condition is the record itself, not a flag of a session, so pruning needs no moment in which the guard
is down, goes in small transactions, and goes on after a crash. Whoever forges a checkpoint to get rows
deleted has no key to sign it with, and verify_audit names it.

SQLite drops a table's triggers when a later migration makes the table anew; so they are put in place
after every `migrate` too, not only by the migration that brought them.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

RECORDS = "sandbox_app_auditrecord"
HEAD = "sandbox_app_audithead"
TRIGGERS = {
    "sandbox_audit_no_update": RECORDS,
    "sandbox_audit_no_delete": RECORDS,
    "sandbox_audit_no_replace": RECORDS,
    "sandbox_audit_head_forward": HEAD,
    "sandbox_audit_head_stays": HEAD,
}

SQLITE = (
    f"""CREATE TRIGGER sandbox_audit_no_update BEFORE UPDATE ON {RECORDS}
    BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END""",
    f"""CREATE TRIGGER sandbox_audit_no_delete BEFORE DELETE ON {RECORDS}
    WHEN NOT EXISTS (SELECT 1 FROM {RECORDS} WHERE covers >= OLD.number)
    BEGIN SELECT RAISE(ABORT, 'audit records are deleted after a checkpoint alone'); END""",  # noqa: S608
    # INSERT OR REPLACE deletes a row without firing its DELETE trigger. Source: sqlite.org/lang_conflict.html
    f"""CREATE TRIGGER sandbox_audit_no_replace BEFORE INSERT ON {RECORDS}
    WHEN EXISTS (SELECT 1 FROM {RECORDS} WHERE number = NEW.number)
    BEGIN SELECT RAISE(ABORT, 'this audit record is there already'); END""",  # noqa: S608
    f"""CREATE TRIGGER sandbox_audit_head_forward BEFORE UPDATE ON {HEAD}
    WHEN NEW.number <= OLD.number OR NEW.id <> OLD.id
    BEGIN SELECT RAISE(ABORT, 'the head of the audit only moves on'); END""",
    f"""CREATE TRIGGER sandbox_audit_head_stays BEFORE DELETE ON {HEAD}
    BEGIN SELECT RAISE(ABORT, 'the head of the audit stays'); END""",
)
_POSTGRES_REFUSE = """CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {allow}
    RAISE EXCEPTION '{sentence}' USING ERRCODE = 'integrity_constraint_violation';
END $$"""
POSTGRESQL = (
    _POSTGRES_REFUSE.format(
        name="sandbox_audit_no_update", allow="", sentence="audit records are never changed"
    ),
    _POSTGRES_REFUSE.format(
        name="sandbox_audit_no_delete",
        allow=f"IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM {RECORDS} WHERE covers >= OLD.number) THEN "  # noqa: S608
        "RETURN OLD; END IF;",
        sentence="audit records are deleted after a checkpoint alone",
    ),
    _POSTGRES_REFUSE.format(
        name="sandbox_audit_head_forward",
        allow="IF NEW.number > OLD.number AND NEW.id = OLD.id THEN RETURN NEW; END IF;",
        sentence="the head of the audit only moves on",
    ),
    _POSTGRES_REFUSE.format(
        name="sandbox_audit_head_stays", allow="", sentence="the head of the audit stays"
    ),
    f"CREATE TRIGGER sandbox_audit_no_update BEFORE UPDATE ON {RECORDS} "
    "FOR EACH ROW EXECUTE FUNCTION sandbox_audit_no_update()",
    f"CREATE TRIGGER sandbox_audit_no_delete BEFORE DELETE ON {RECORDS} "
    "FOR EACH ROW EXECUTE FUNCTION sandbox_audit_no_delete()",
    f"CREATE TRIGGER sandbox_audit_no_replace BEFORE TRUNCATE ON {RECORDS} "
    "FOR EACH STATEMENT EXECUTE FUNCTION sandbox_audit_no_delete()",
    f"CREATE TRIGGER sandbox_audit_head_forward BEFORE UPDATE ON {HEAD} "
    "FOR EACH ROW EXECUTE FUNCTION sandbox_audit_head_forward()",
    f"CREATE TRIGGER sandbox_audit_head_stays BEFORE DELETE OR TRUNCATE ON {HEAD} "
    "FOR EACH STATEMENT EXECUTE FUNCTION sandbox_audit_head_stays()",
)


def drop_statements(vendor: str) -> list[str]:
    """Return what takes the triggers away; nothing happens where there are none."""
    on = " ON {table}" if vendor == "postgresql" else ""
    return [f"DROP TRIGGER IF EXISTS {name}{on.format(table=table)}" for name, table in TRIGGERS.items()]


def triggers_install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers in place, as this version has them."""
    with connection.cursor() as cursor:
        for statement in drop_statements(connection.vendor):
            cursor.execute(statement)
        for statement in POSTGRESQL if connection.vendor == "postgresql" else SQLITE:
            cursor.execute(statement)


def triggers_missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return which triggers are not there, or are switched off."""
    query = (
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
        if connection.vendor == "postgresql"
        else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        there = {name for (name,) in cursor.fetchall()}
    return [name for name in TRIGGERS if name not in there]


def after_migrate(*, using: str, **_: Any) -> None:
    """Receiver of post_migrate: the triggers are there once the tables are."""
    from django.db import connections

    connection = connections[using]
    tables = connection.introspection.table_names()
    if RECORDS in tables and HEAD in tables and triggers_missing(connection):
        triggers_install(connection)
