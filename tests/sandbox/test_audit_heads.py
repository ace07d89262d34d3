"""Nodes remember where the audit ended, and control hears it when that no longer fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metrics_app.alerts.shipped import rules_ship
from metrics_app.models_alerts import Alert, AlertState
from sandbox_app import audit_checks, audit_heads
from sandbox_app.audit_accept import audit_accept
from sandbox_app.audit_heads import HeadCopy, copy_problem, head_copy, head_reported
from sandbox_app.audit_prune import checkpoint_append, covered_delete
from sandbox_app.audit_verify import chain_verify
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_audit import AuditCheck, AuditHead, CheckState
from sandbox_app.node import audit_heads as node_heads
from sandbox_app.node.audit_heads import AuditHeads
from sparkweb.accounts.actor import SYSTEM, Actor
from sparkweb.accounts.models import User
from tests.factories import NodeFactory
from tests.sandbox.audit_data import TABLE, entries_make, tamper

OURS = "0123abcd"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    audit_heads._agreed.clear()
    audit_heads._rolled_back.clear()
    audit_heads.heads_file().unlink(missing_ok=True)


def node(folder: Path) -> AuditHeads:
    return AuditHeads(folder, OURS)


# On the node -------------------------------------------------------------------------


def test_newest_head_outlives_the_agent(tmp_path: Path) -> None:
    heads = node(tmp_path)
    assert heads.section() is None
    heads.take(OURS, 5, "aa")
    heads.take(OURS, 9, "bb")
    heads.take("ffffffff", 2, "zz")
    kept = node(tmp_path).section()
    assert kept is not None
    assert (kept["number"], kept["mac"], kept["rollback"]) == (9, "bb", None)


@pytest.mark.parametrize(("number", "mac"), [(8, "aa"), (9, "cc"), (0, "")])
def test_head_that_goes_back_is_kept_as_a_rollback(tmp_path: Path, number: int, mac: str) -> None:
    heads = node(tmp_path)
    heads.take(OURS, 9, "bb")
    heads.take(OURS, number, mac)
    heads.take(OURS, 3, "dd")  # the first one is told
    heads.take(OURS, 12, "ee")  # and stays told while the chain grows on
    kept = node(tmp_path).section()
    assert kept is not None and kept["number"] == 12
    assert (kept["rollback"]["number"], kept["rollback"]["mac"]) == (number, mac)


def test_same_head_again_is_nothing_and_accepted_one_counts(tmp_path: Path) -> None:
    heads = node(tmp_path)
    heads.take(OURS, 9, "bb")
    heads.take(OURS, 9, "bb")
    heads.take(OURS, 4, "cc")
    heads.take(OURS, 4, "cc", accept=True)
    kept = heads.section()
    assert kept is not None and (kept["number"], kept["rollback"]) == (4, None)


def test_nudge_reaches_the_heads_of_this_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_heads, "_heads", None)
    with pytest.raises(RuntimeError, match="no agent"):
        node_heads.audit_head(OURS, 1, "aa")
    heads = node(tmp_path)
    heads.start()
    node_heads.audit_head(installation=OURS, number=1, mac="aa", accept=False)
    kept = heads.section()
    assert kept is not None and kept["number"] == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"0123abcd": {"number": 1}}', '{"0123abcd": 3}'])
def test_broken_file_begins_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "heads.json").write_text(text)
    heads = node(tmp_path)
    assert heads.section() is None
    heads.take(OURS, 1, "aa")
    assert node(tmp_path).section() is not None


def test_only_so_many_installations(tmp_path: Path) -> None:
    heads = node(tmp_path)
    for n in range(40):
        heads.take(f"{n:08x}", 1, "aa")
    assert len((tmp_path / "heads.json").read_text()) < 2_000


# At control --------------------------------------------------------------------------


def firing() -> list[str]:
    return list(Alert.objects.filter(state=AlertState.FIRING).values_list("message", flat=True))


@pytest.mark.django_db
def test_head_is_told_to_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str, int]] = []
    monkeypatch.setattr(
        audit_heads.commands, "send", lambda node, task, **told: sent.append((node, task, told["number"]))
    )
    NodeFactory(name="spark-1"), NodeFactory(name="spark-2")
    assert head_copy() is False and sent == []
    entries_make(3)
    assert head_copy() is True
    assert head_copy() is False  # told again all the same: a node may have been away
    assert sent == [("spark-1", "sandbox.audit_head", 3), ("spark-2", "sandbox.audit_head", 3)] * 2


@pytest.mark.django_db
def test_node_that_remembers_more_raises_an_alert() -> None:
    rules_ship()
    made = entries_make(6)
    kept = {"number": 6, "mac": made[5].mac}
    head_reported("spark-2", kept, {})
    assert firing() == []
    audit_heads._agreed.clear()  # control was restarted, on an old backup
    tamper(
        f"DELETE FROM {TABLE} WHERE number > 4",
        f"UPDATE sandbox_app_audithead SET number = 4, mac = (SELECT mac FROM {TABLE} WHERE number = 4)",
    )
    head_reported("spark-2", kept, {})
    head_reported("spark-2", kept, {})
    assert firing() == ["The tool audit ends at 4, but node spark-2 holds its head at 6"]
    entries_make(4)
    assert "is not the one that node spark-2 holds" in copy_problem(HeadCopy(6, made[5].mac, "node spark-2"))
    head_reported("spark-2", {"number": 4, "mac": made[3].mac}, {})
    assert firing() == []


@pytest.mark.django_db
def test_node_that_saw_a_rollback_says_so_until_it_is_accepted() -> None:
    rules_ship()
    made = entries_make(3)
    kept = {"number": 3, "mac": made[2].mac, "rollback": {"number": 1, "mac": "x"}}
    head_reported("spark-2", kept, {})
    head_reported("spark-2", kept, {})
    assert firing() == ["Node spark-2 was told a head of the tool audit that lies before the one it keeps"]
    head_reported("spark-2", kept | {"rollback": None}, {})
    assert firing() == []


@pytest.mark.django_db
def test_restored_backup_is_accepted_on_record(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any, admin: User
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(audit_heads.commands, "send", lambda node, task, **told: sent.append(told))
    NodeFactory(name="spark-1")
    actor = Actor(admin, "admin", "page", "127.0.0.1")
    made = entries_make(6)
    head_copy()
    with pytest.raises(ToolRefused, match="nothing to accept"):
        audit_accept(actor=actor, reason="why not")
    tamper(
        f"DELETE FROM {TABLE} WHERE number > 4",
        f"UPDATE sandbox_app_audithead SET number = 4, mac = (SELECT mac FROM {TABLE} WHERE number = 4)",
    )
    assert not chain_verify().ok
    with pytest.raises(ToolRefused, match="Say why"):
        audit_accept(actor=actor, reason=" ")
    with django_capture_on_commit_callbacks(execute=True):
        record = audit_accept(actor=actor, reason="disk died, restored last night's backup")
    assert record.content["remembered"] == [
        {"number": 6, "mac": made[5].mac, "source": "the file audit_heads"}
    ]
    assert chain_verify().ok
    assert sent[-1]["accept"] is True and sent[-1]["number"] == 5
    aside = list(audit_heads.heads_file().parent.glob("audit_heads.until-*"))
    assert len(aside) == 1
    aside[0].unlink()


@pytest.mark.django_db
def test_copy_of_what_was_pruned_is_no_problem() -> None:
    made = entries_make(8)
    checkpoint_append(1, 5, 0, made[5].at)
    covered_delete()
    assert copy_problem(HeadCopy(3, made[2].mac, "x")) == ""
    assert copy_problem(HeadCopy(9, "00", "x")) != ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    "section",
    [None, [], "x", {}, {"number": "1", "mac": "x"}, {"number": 2**70, "mac": "x"},
     {"number": True, "mac": "x"}, {"number": 1, "mac": 5}],
)  # fmt: skip
def test_rubbish_from_a_node_is_nothing(section: object) -> None:
    head_reported("spark-2", section, {})


# Verifications as rows ---------------------------------------------------------------


@pytest.mark.django_db
def test_check_is_stored_and_its_alert_ends() -> None:
    rules_ship()
    entries_make(5)
    tamper(f"UPDATE {TABLE} SET outcome = 'exit' WHERE number = 2")
    check = AuditCheck.objects.create(requested_by="ann")
    audit_checks.check_run(check)
    check.refresh_from_db()
    assert (check.state, check.verdict["faults"][0]["number"], check.rows) == (CheckState.BAD, 2, 0)
    assert firing() == ["The tool audit does not hold: Entry 2 was changed or forged."]
    tamper(f"UPDATE {TABLE} SET outcome = 'ok' WHERE number = 2")
    again = AuditCheck.objects.create(requested_by="ann")
    audit_checks.check_run(again)
    again.refresh_from_db()
    assert (again.state, again.rows, again.sentence) == (
        CheckState.GOOD,
        5,
        "All 5 entries hold, up to number 5.",
    )
    assert firing() == []


@pytest.mark.django_db
def test_one_check_at_a_time_and_a_silent_one_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox_app import audit_tasks

    asked: list[int] = []
    monkeypatch.setattr(audit_tasks.audit_check, "apply_async", lambda given, **_: asked.append(given[0]))
    first, new = audit_checks.check_request(SYSTEM)
    assert new and audit_checks.check_request(SYSTEM) == (first, False)
    AuditCheck.objects.update(told_at=first.told_at - audit_checks.SILENT_AFTER * 2)
    latest = audit_checks.check_latest()
    assert latest is not None and latest.state == CheckState.FAILED
    second, new = audit_checks.check_request(SYSTEM)
    assert new and asked == [first.pk, second.pk]


@pytest.mark.django_db
def test_check_in_a_process_that_breaks_off_is_told() -> None:
    check = AuditCheck.objects.create(requested_by="ann")
    AuditHead.objects.get_or_create(pk=1)
    audit_checks.check_run_apart(check.pk)  # it sees another database than this test's transaction
    check.refresh_from_db()
    assert check.state == CheckState.FAILED
    assert check.reason.startswith("It broke off")
