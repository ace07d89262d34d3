"""data_storage as a program: values, SQL that leaves no database, files that leave no workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.shipped import Came, run


@pytest.fixture
def store(tmp_path: Path) -> Any:
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    def call(operation: str, **arguments: Any) -> Came:
        return run("data_storage", workspace, operation=operation, **arguments)

    call.workspace = workspace  # type: ignore[attr-defined]
    return call


def test_values_are_kept_by_namespace_and_forgotten_in_time(store: Any) -> None:
    assert store("set", key="colour", value="green\u00e9\n'\"").data == {"key": "colour", "stored": True}
    assert store("get", key="colour").told["result"] == {"key": "colour", "value": "green\u00e9\n'\""}
    other = store("get", key="colour", namespace="other")
    assert (other.code, other.told["error"]) == (
        1, "There is no value named 'colour' in the namespace other."
    )  # fmt: skip
    store("set", key="colour/2", value="red", ttl_seconds=3600)
    assert store("list", key="colour/").data == {"keys": ["colour/2"], "count": 1}
    store("query", sql="UPDATE kv SET expires_at = 1 WHERE key = 'colour/2'")
    assert store("list").data["keys"] == ["colour"]
    assert store("delete", key="colour").data["deleted"] is True
    assert store("delete", key="colour").data["deleted"] is False


def test_without_a_session_nothing_would_be_kept() -> None:
    came = run("data_storage", operation="get", key="a")
    assert came.code == 1
    assert "call it with one" in came.told["error"]


def test_sql_keeps_tables_binds_values_and_cuts_long_answers(store: Any) -> None:
    store("query", sql="CREATE TABLE t (a INTEGER, b TEXT)")
    quoted = "'); DROP TABLE t; --\n\""
    assert store("query", sql="INSERT INTO t VALUES (?, ?)", params=[1, quoted]).data == {"changed": 1}
    assert store("query", sql="SELECT * FROM t").data["rows"] == [[1, quoted]]
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 5000"
    answer = store("query", sql=many).data
    assert (answer["count"], answer["truncated"]) == (1000, True)
    assert store("query", sql="SELECT x'00ff', 9e999").data["rows"] == [["x'00ff'", "inf"]]


# Hostile rows 33 to 37: nothing leaves the database, and nothing goes on for ever.
REFUSED = {
    "attach": ("ATTACH '/tmp/sparkweb-attached.db' AS other", "not authorized"),
    "attach memory": ("ATTACH ':memory:' AS other", "not authorized"),
    "vacuum into": ("VACUUM INTO '/tmp/sparkweb-attached.db'", "not authorized"),
    "load_extension": ("SELECT load_extension('/lib/x86_64-linux-gnu/libc.so.6')", "not authorized"),
    "writable_schema": ("PRAGMA writable_schema = ON", "not authorized"),
    "schema by hand": ("UPDATE sqlite_master SET sql = 'x'", "may not be modified"),
    "journal elsewhere": ("PRAGMA temp_store_directory = '/tmp'", "not authorized"),
    "page count": ("PRAGMA max_page_count = 2147483646", "not authorized"),
    "virtual table": ("CREATE VIRTUAL TABLE v USING csv(filename='/etc/passwd')", "not authorized"),
    "two statements": ("SELECT 1; SELECT 2", "one statement at a time"),
    "zeroblob": ("SELECT zeroblob(1000000000)", "too big"),
    "doubling": ("SELECT replace(hex(zeroblob(4000000)), '0', 'aaaaaaaa')", "too big"),
    "deep": ("SELECT " + "(" * 500 + "1" + ")" * 500, "sqlite says"),
    "nonsense": ("SELEC 1", "syntax error"),
    "many compounds": (" UNION ALL ".join(["SELECT 1"] * 60), "too many terms"),
}


@pytest.mark.parametrize(("sql", "words"), REFUSED.values(), ids=REFUSED)
def test_sql_that_would_leave_its_database_is_refused(sql: str, words: str, store: Any) -> None:
    came = store("query", sql=sql)
    assert came.code == 1
    assert words in came.told["error"].lower(), came.told
    assert not Path("/tmp/sparkweb-attached.db").exists()
    assert store("list").code == 0


def test_an_endless_statement_is_ended(store: Any) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    came = store("query", sql=endless)
    assert came.told["error"] == "The statement took more than 5 seconds and was ended."
    assert store("set", key="a", value="b").code == 0


@pytest.mark.parametrize("namespace", ["../x", "a/b", "a\\b", ".", "-x", "a b"])
def test_a_namespace_is_no_path(namespace: str, store: Any) -> None:
    came = store("set", key="a", value="b", namespace=namespace)
    assert "namespace must be letters" in came.told["error"]


def test_files_are_written_read_and_listed(store: Any) -> None:
    assert store("file_write", path="notes/deep/a.txt", content="hé\n").data["written_bytes"] == 4
    store("file_write", path="notes/deep/a.txt", content="more", append=True)
    assert store("file_read", path="notes/deep/a.txt").data["content"] == "hé\nmore"
    store("file_write", path="b.bin", content="/wA=", encoding="base64")
    assert store("file_read", path="b.bin", encoding="base64").data["content"] == "/wA="
    assert "no UTF-8 text" in store("file_read", path="b.bin").told["error"]
    listed = store("file_list").data
    assert [entry["path"] for entry in listed["files"]] == ["b.bin", "notes/deep/a.txt"]
    assert store("file_list", path="notes").data["count"] == 1


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "", ".", "link", "link/x", "hole", "fifo", "folder"]
)
def test_a_path_leads_nowhere_else(path: str, store: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_text("secret")
    os.symlink(tmp_path / "secret", store.workspace / "link")
    os.symlink(tmp_path / "secret" / "x", store.workspace / "hole")
    os.mkfifo(store.workspace / "fifo")
    (store.workspace / "folder").mkdir()
    for came in (store("file_read", path=path), store("file_write", path=path, content="y")):
        assert came.code == 1, came.stdout
        assert "secret" not in came.stdout
    assert (tmp_path / "secret" / "x").read_text() == "secret"


def test_a_database_that_was_broken_or_linked_away_is_told(store: Any, tmp_path: Path) -> None:
    store("set", key="a", value="b")
    (store.workspace / ".data" / "default.sqlite3").write_bytes(b"nonsense" * 1000)
    assert "cannot be used" in store("get", key="a").told["error"]
    os.symlink("/etc/passwd", store.workspace / ".data" / "evil.sqlite3")
    assert "replaced by a link" in store("get", key="a", namespace="evil").told["error"]
