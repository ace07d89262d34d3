"""The main job with PostgreSQL, which is cut off and restarted on the way."""

from __future__ import annotations

import os
import tempfile
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import Postgres, PostgresUnavailable
from tests.support.second_node import Browsing, events, launch_stopped, log_complaints, standins_import
from tests.support.stack import Stack, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.postgres]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of this module alone: it is stopped and started."""
    server = Postgres(Path(tempfile.mkdtemp(prefix="swpg")))
    try:
        server.start()
    except PostgresUnavailable as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, docker_host: str, postgres: Postgres) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("postgres")
    with Stack(folder, docker_host=docker_host, DATABASE_URL=postgres.url) as running:
        standins_import(running, quick={}, slow={"STANDIN_LOAD_SECONDS": "6"})
        running.wait_online()
        yield running


def loading(stack: Stack) -> tuple[str, str]:
    """A launch that is loading right now, and its container."""
    uid = stack.launch_start("slow")
    stack.wait_state(uid, "loading")
    (container,) = stack.containers()
    return uid, container.id


def adopted_and_stopped(stack: Stack, uid: str, container: str) -> None:
    launch = stack.wait_state(uid, "ready", seconds=40)
    assert [one.id for one in stack.containers()] == [container]
    assert len(launch["attempts"]) == 1
    launch_stopped(stack, uid)


def sessions_end(postgres: Postgres) -> int:
    """Cut off every session, as an administrator or a failover does; how many there were."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
    assert ended
    return int(ended[0])


def test_start_ready_stop_and_history(stack: Stack) -> None:
    uid = stack.launch_start("quick")
    stack.wait_state(uid, "ready")
    launch_stopped(stack, uid)
    assert events(stack, uid)[-3:] == ["ready", "stopping", "stopped"]
    assert not (stack.folder / "data" / "db.sqlite3").exists()
    assert "/launches/" + uid in Browsing(stack).get("/launches/")


def test_fifty_starts_at_once_make_one_container(stack: Stack) -> None:
    uids: set[str] = set()
    barrier = threading.Barrier(50)

    def press() -> None:
        barrier.wait()
        uids.add(stack.launch_start("quick"))

    threads = [threading.Thread(target=press) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (uid,) = uids
    stack.wait_state(uid, "ready")
    assert len(stack.containers()) == 1
    launch_stopped(stack, uid)


def test_up_killed_mid_launch_and_started_again(stack: Stack) -> None:
    uid, container = loading(stack)
    stack.kill()
    stack.start()
    adopted_and_stopped(stack, uid, container)


def test_every_session_cut_off_mid_launch(stack: Stack, postgres: Postgres) -> None:
    uid, container = loading(stack)
    for _ in range(3):
        sessions_end(postgres)
        assert stack.call("GET", "/api/launches/")[0] in (200, 503)
        wait_for(lambda: stack.call("GET", "/api/launches/")[0] == 200, "the API is back", 5)
    assert stack.get("/api/nodes/spark-1/")["status"] == "online"
    adopted_and_stopped(stack, uid, container)


def test_database_stopped_mid_launch_and_back(stack: Stack, postgres: Postgres) -> None:
    uid, container = loading(stack)
    browsing = Browsing(stack)
    postgres.halt()
    try:
        status, answer = stack.call("GET", "/api/launches/")
        assert (status, answer["code"]) == (503, "database_unavailable")
        assert "try again" in answer["error"]
        status, answer = stack.call("POST", "/api/launches/", {"definition": "quick"})
        assert (status, answer["code"]) == (503, "database_unavailable")
        with pytest.raises(urllib.error.HTTPError) as page:
            browsing.get("/")
        assert page.value.code == 503
        assert "does not answer" in page.value.read().decode()
        assert stack.call("GET", "/health", key="")[0] == 200
    finally:
        postgres.resume()
    wait_for(lambda: stack.call("GET", "/api/launches/")[0] == 200, "the API is back", 10)
    assert "Containers" in browsing.get("/")
    adopted_and_stopped(stack, uid, container)


def test_a_container_that_dies_while_the_database_is_away_is_told(stack: Stack, postgres: Postgres) -> None:
    uid, _ = loading(stack)
    (container,) = stack.containers()
    postgres.halt()
    try:
        container.kill()
        container.wait()
    finally:
        postgres.resume()
    launch = stack.wait_state(uid, "failed", seconds=20)
    assert "SIGKILL" in launch["failure_reason"]
    wait_for(lambda: not stack.containers(), "it is removed once its end is stored")


def test_no_process_ended_and_none_raised_what_it_did_not_know(stack: Stack) -> None:
    assert "ended with exit status" not in stack.log()
    complaints = [line for line in log_complaints(stack.folder) if "traceback" in line.lower()]
    assert complaints == []
