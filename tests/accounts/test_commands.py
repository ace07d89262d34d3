"""prepare, create_api_key, create_node, web: what they print, make and refuse."""

from __future__ import annotations

import asyncio
import io
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from metrics_app.models import Node
from sparkweb import config
from sparkweb.accounts.models import ApiKey, AuditEntry, NodeKey, User
from sparkweb.accounts.services import admin_ensure
from sparkweb.management.commands.prepare import ACTOR, node_ensure
from sparkweb.node_link.signatures import Signer
from sparkweb.web_server import PortTaken, listen
from tests.support.web import WebProcess, free_port


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


# prepare -------------------------------------------------------------------------


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "agent" / "spark-1" / "node.key"
    monkeypatch.setattr(config, "NODE_KEY_FILE", file)
    return file


@pytest.mark.usefixtures("archive")
def test_first_start_makes_admin_and_node_and_later_ones_nothing(key_file: Path, settings: Any) -> None:
    settings.ADMIN_PASSWORD = ""
    said = run("prepare")
    password = said.split("One-time password: ")[1].split()[0]
    admin = User.objects.get()
    assert (admin.username, admin.role, admin.must_change_password) == ("admin", "admin", True)
    assert admin.check_password(password)
    assert Node.objects.get().name == config.NODE_NAME
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert Signer.load(key_file, "spark-1").public_text == NodeKey.objects.get().public_key
    made = AuditEntry.objects.count()
    assert run("prepare") == ""
    assert AuditEntry.objects.count() == made
    assert password not in str(AuditEntry.objects.values())


@pytest.mark.usefixtures("archive")
def test_given_password_is_neither_printed_nor_one_time(key_file: Path, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "the owner's own"
    assert run("prepare") == ""
    admin = User.objects.get()
    assert (admin.must_change_password, admin.check_password("the owner's own")) == (False, True)


@pytest.mark.django_db
def test_password_in_the_environment_changes_no_admin_that_is_there(settings: Any) -> None:
    admin_ensure(password="first", actor=ACTOR)
    assert admin_ensure(password="second", actor=ACTOR) is None
    assert User.objects.get().check_password("first")


@pytest.mark.django_db
def test_lost_key_file_is_made_again_with_a_new_key(key_file: Path) -> None:
    node_ensure("spark-1", key_file)
    before = NodeKey.objects.get().public_key
    key_file.unlink()
    node_ensure("spark-1", key_file)
    after = NodeKey.objects.get().public_key
    assert after != before
    assert Signer.load(key_file, "spark-1").public_text == after


# create_api_key, create_node -----------------------------------------------------


def test_create_api_key_prints_just_the_key(viewer: User) -> None:
    said = run("create_api_key", "viewer", "--scope", "read", "--name", "cron", "--days", "7")
    assert said.count("\n") == 1
    answer = Client().get("/api/me", headers={"Authorization": f"Bearer {said.strip()}"})
    assert answer.json()["username"] == "viewer"
    key = ApiKey.objects.get()
    assert (key.name, key.scopes, key.expires_at is not None) == ("cron", ["read"], True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ghost"], "There is no user 'ghost'"),
        (["viewer", "--scope", "operate"], "exceeds that"),
        (["viewer", "--scope", "everything"], "invalid choice"),
        (["viewer", "--days", "0"], "must lie between"),
    ],
)
def test_create_api_key_refuses(viewer: User, words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("create_api_key", *words)
    assert not ApiKey.objects.exists()


@pytest.mark.django_db
def test_create_node_prints_key_and_settings_of_the_second_machine(settings: Any) -> None:
    settings.REDIS_URL = "redis://:geheim@10.0.0.1:6379/0"
    lines = run("create_node", "spark-2").splitlines()
    key = next(line for line in lines if line and not line.startswith("#"))
    assert Signer("spark-2", key).public_text == NodeKey.objects.get(node_name="spark-2").public_key
    assert "SPARKWEB_NODE=spark-2" in lines
    address = next(line for line in lines if line.startswith("REDIS_URL="))
    assert address.endswith("@10.0.0.1:6379/0")
    assert "geheim" not in "".join(lines)
    assert any(line.startswith("SPARKWEB_INSTALLATION=") for line in lines)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Spark 2", "", "-x", "x" * 41, "a/b", "ä"])
def test_create_node_refuses_odd_names(name: str) -> None:
    with pytest.raises(CommandError):
        run("create_node", "--", name)
    assert not Node.objects.exists()


# web -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def web() -> Iterator[WebProcess]:
    compat = free_port()
    process = WebProcess(SPARKWEB_COMPAT_PORTS=str(compat))
    try:
        yield process.start()
    finally:
        process.close()


def test_port_in_use_is_one_sentence(web: WebProcess) -> None:
    done = web.manage("web", check=False)
    assert done.returncode != 0
    said = done.stderr.strip().splitlines()[-1]
    assert f"Port {web.port} on 127.0.0.1 is in use" in said
    assert "SPARKWEB_PORT" in said
    assert "Traceback" not in done.stderr


def test_compat_ports_answer_too(web: WebProcess) -> None:
    port = int(web.environment["SPARKWEB_COMPAT_PORTS"])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_static_files_are_served_without_login_and_compressed(web: WebProcess) -> None:
    page = web.folder / "static" / "staticfiles.json"
    name = page.read_text().split('"css/base.css": "')[1].split('"')[0]
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        lines = [
            f"GET /static/{name} HTTP/1.1",
            "Host: localhost",
            "Accept-Encoding: gzip",
            "Connection: close",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        head = connection.recv(2000).lower()
    assert head.startswith(b"http/1.1 200")
    assert b"content-encoding: gzip" in head
    assert b"immutable" in head


@pytest.mark.parametrize(
    "what",
    [
        b"\x00\x01\x02",
        b"GET / HTTP/9\r\n\r\n",
        b"GET /" + b"a" * 100_000,
        b"POST /api/keys HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_nonsense_on_the_port_harms_nobody(web: WebProcess, what: bytes) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        connection.sendall(what)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(100)
    assert web.call("GET", "/health", "")[0] == 200


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_without_end_is_cut_short(web: WebProcess, announced: bool) -> None:
    size = 11 * 2**20
    length = f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked"
    head = f"POST /api/catalogue HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        connection.sendall(head.encode())
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(0 if announced else 11):
            connection.sendall(piece)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


async def test_web_stops_while_a_call_waits(web: WebProcess) -> None:
    """Stands last: it stops the process. A start that waits for its container holds a thread meanwhile."""
    key = web.key("admin")
    web.call("POST", "/api/definitions", key, {"slug": "q", "name": "Q", "model_id": "a/b", "port": 8100})
    with web.redis.client() as client:
        client.ping()
    web.manage("shell", "-c", "from metrics_app.models import Node; Node.objects.update(status='online')")
    waiting = asyncio.create_task(
        asyncio.to_thread(_quiet, web.call, "POST", "/api/models/q/start?wait=10", key)
    )
    deadline = time.monotonic() + 60
    while web.call("GET", "/api/launches?live=true", key)[1]["count"] == 0:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    code, _ = await asyncio.to_thread(web.stop, signal.SIGINT)
    await waiting
    assert code == 0


def _quiet(call: Callable[..., Any], *arguments: Any) -> None:
    try:
        call(*arguments)
    except (OSError, ValueError):
        return  # the server went away under it, as it should


# Addresses -----------------------------------------------------------------------


def test_a_taken_port_leaves_the_others_unbound() -> None:
    free, taken = free_port(), socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    with pytest.raises(PortTaken, match=str(taken.getsockname()[1])):
        listen("127.0.0.1", [free, taken.getsockname()[1]])
    [again] = listen("127.0.0.1", [free])
    again.close()
    taken.close()


@pytest.mark.parametrize(
    ("host", "sentence"), [("192.0.2.1", "no address of this machine"), ("no such host", "SPARKWEB_HOST")]
)
def test_odd_hosts_are_refused_in_words(host: str, sentence: str) -> None:
    with pytest.raises(PortTaken, match=sentence):
        listen(host, [free_port()])
