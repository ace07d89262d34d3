"""An engine that answers its health path and works no more: found, told in words, no false alarm."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app.engines.spec import ProbeSpec
from models_app.hang_restarts import hang_to_mend
from models_app.models import Launch
from models_app.node import engine_watch
from models_app.node.engine_figures import Reading, reading_prometheus
from models_app.node.engine_watch import EngineWatch
from models_app.node.hangs import REST_MOST, Pulse
from models_app.observing import Observations, container_exited
from models_app.reconcile import Reconciler, next_step
from models_app.transitions import launch_move
from sparkweb.adapters.connections import clients_of
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory
from tests.support.node import Node
from tests.support.stack import wait_for

PATIENCE = 60.0


def reading(running: int = 0, waiting: int = 0, tokens: int = 0, moves: float = 0.0) -> Reading:
    figures = {"requests_running": running, "requests_waiting": waiting, "generation_tokens_total": tokens}
    return Reading(figures, (float(tokens), moves))


def pulse(*fed: tuple[float, Reading]) -> Pulse:
    made = Pulse()
    for at, one in fed:
        made.feed(one, (), at)
    return made


def test_requests_and_nothing_moves_is_a_reason_to_ask_once() -> None:
    made = pulse((0, reading(1, 2, 100)), (5, reading(1, 2, 100)), (61, reading(1, 2, 100)))
    assert not made.wants_token(59, PATIENCE)
    assert made.wants_token(61, PATIENCE)
    assert not made.wants_token(62, PATIENCE), "one question at a time"


def test_no_token_is_a_hang_in_words_until_something_moves() -> None:
    made = pulse((0, reading(1, 2, 100)), (61, reading(1, 2, 100)))
    assert made.wants_token(61, PATIENCE)
    made.unanswered(91, "got none within 30 s")
    assert made.hang == (
        "It hangs: 3 requests are there, nothing has moved for 91 s, "
        "and a question for one token got none within 30 s"
    )
    made.feed(reading(1, 2, 100), (), 95)
    assert made.hang
    made.feed(reading(1, 2, 101), (), 100)
    assert made.hang == ""


def test_a_hang_ends_when_nobody_waits_any_more() -> None:
    made = pulse((0, reading(1, 0, 100)), (61, reading(1, 0, 100)))
    made.unanswered(91, "got none within 30 s")
    made.feed(reading(0, 0, 100), (), 95)
    assert made.hang == ""


def test_a_long_prompt_is_no_hang() -> None:
    """No token comes out for minutes, and the KV cache fills: vLLM reads the prompt in pieces."""
    made = pulse(*[(float(at), reading(1, 0, 100, moves=at / 10)) for at in range(0, 600, 5)])
    assert not made.wants_token(599, PATIENCE)


def test_an_idle_engine_is_never_asked() -> None:
    made = pulse(*[(float(at), reading()) for at in range(0, 6000, 5)])
    assert not made.wants_token(5999, PATIENCE)


@pytest.mark.parametrize("patience", [1.0, 5.0, 15.0])
def test_an_idle_engine_is_never_asked_however_short_the_patience(patience: float) -> None:
    """Figures come every 5 s, and a client's connection stays open for a while after its answer."""
    made = Pulse()
    for at in range(300):
        if at % 5 == 0:
            made.feed(reading(), {f"0A000001:{at // 15:04X}"}, at)
        assert not made.wants_token(at + 0.9, patience)


def test_one_question_at_a_time_until_it_is_answered() -> None:
    made = pulse((0, reading(1)), (5, reading(1)))
    assert made.wants_token(5, 5.0)
    assert not any(made.wants_token(float(at), 5.0) for at in range(6, 36))
    made.unanswered(36, "got none within 30 s")
    assert made.wants_token(37, 5.0)


def test_a_client_that_stays_although_the_engine_says_it_is_idle() -> None:
    """An engine core that stands still tells its server nothing: the figures say 0 requests."""
    made = Pulse()
    for at in range(0, 130, 5):
        made.feed(reading(), {"0A000001:D431"} if at >= 10 else set(), at)
    assert made.wants_token(129, PATIENCE)
    made.unanswered(159, "got none within 30 s")
    assert made.hang.startswith("It hangs: a client waits, nothing has moved for")


def test_who_is_connected_is_looked_up_only_where_it_can_tell_something() -> None:
    made = Pulse()
    made.feed(reading(0, 0, 100), None, 0)
    assert made.wants_clients(reading(0, 0, 100), 5, PATIENCE)
    assert not made.wants_clients(reading(0, 0, 101), 5, PATIENCE), "it moves"
    assert not made.wants_clients(reading(1, 0, 100), 5, PATIENCE), "its figures say that someone waits"
    assert not made.wants_clients(Reading({"requests_running": 0}), 5, PATIENCE), "it counts no tokens"
    assert not made.wants_clients(reading(0, 0, 100), 5, 0)
    made.feed(reading(0, 0, 100), {"0A000001:D431"}, 5)
    assert not made.wants_clients(reading(0, 0, 100), 15, PATIENCE)
    assert made.wants_clients(reading(0, 0, 100), 20, PATIENCE)


def test_a_client_is_noticed_when_it_is_looked_up_now_and_then() -> None:
    made, looks = Pulse(), 0
    for at in range(0, 130, 5):
        look = made.wants_clients(reading(), at, PATIENCE)
        looks += look
        made.feed(reading(), {"0A000001:D431"} if look else None, at)
    assert looks <= 10
    assert made.wants_token(129, PATIENCE)


def test_clients_that_come_and_go_are_no_sign() -> None:
    made = Pulse()
    for at in range(0, 300, 5):
        made.feed(reading(), {f"0A000001:{at:04X}"}, at)
    assert not made.wants_token(299, PATIENCE)


def test_figures_that_stop_coming_are_a_reason_to_ask() -> None:
    made = pulse((0, reading()), (5, reading()))
    assert not made.wants_token(60, PATIENCE)
    assert made.wants_token(66, PATIENCE)
    made.unanswered(96, "was cut off")
    assert "it tells no figures" in made.hang


def test_who_answers_is_asked_more_and_more_rarely() -> None:
    made, asked = Pulse(), []
    made.feed(reading(1), (), 0)
    for at in range(1, 40_000):
        if made.wants_token(float(at), PATIENCE):
            asked.append(at)
            made.answered(float(at))
    gaps = [after - before for before, after in pairwise(asked)]
    assert gaps == sorted(gaps) and gaps[-1] > gaps[0]
    assert gaps[-1] <= REST_MOST * PATIENCE
    assert len(asked) < 20


def test_engines_that_count_no_tokens_are_left_alone_and_zero_turns_it_off() -> None:
    blind = Pulse()
    blind.feed(Reading({"requests_running": 3}), (), 0)
    assert not blind.wants_token(9_999, PATIENCE)
    assert not pulse((0, reading(1)), (100, reading(1))).wants_token(100, 0)


@pytest.mark.parametrize(
    "moving", ["vllm:kv_cache_usage_perc", "sglang:num_used_tokens", "llamacpp:n_decode_total"]
)
def test_what_moves_while_a_prompt_is_read_counts(moving: str) -> None:
    def at(value: int) -> Reading:
        return reading_prometheus(f"vllm:num_requests_running 1\n{moving} {value}\n".encode())

    assert at(1).progress != at(2).progress
    queue = b"vllm:num_requests_waiting %d\n"
    assert reading_prometheus(queue % 1).progress == reading_prometheus(queue % 9).progress


# Connections -----------------------------------------------------------------------

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 020011AC:1F40 010011AC:D431 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 020011AC:1F40 010011AC:D432 06 00000000:00000000 00:00000000 00000000     0        0 3
   3: 020011AC:9A10 08080808:01BB 01 00000000:00000000 00:00000000 00000000     0        0 4
"""


def test_clients_are_those_of_the_servers_inside(tmp_path: Path) -> None:
    (tmp_path / "7" / "net").mkdir(parents=True)
    (tmp_path / "7" / "net" / "tcp").write_text(TABLE)
    assert clients_of(7, proc=tmp_path) == {"010011AC:D431"}
    assert clients_of(7, 8000, proc=tmp_path) == {"010011AC:D431"}
    assert clients_of(8, proc=tmp_path) == set()


# vLLM 0.32 with two ranks: gloo keeps a connection between them for as long as they live.
RANKS = """  sl  local_address rem_address   st
   0: 00000000:1F40 00000000:0000 0A
   1: 02C7DF0A:AD11 00000000:0000 0A
   2: 02C7DF0A:EC78 02C7DF0A:AD11 01
   3: 02C7DF0A:AD11 02C7DF0A:EC78 01
"""
CLIENT = "   4: 02C7DF0A:1F40 01C7DF0A:D431 01\n"


def test_ranks_that_are_connected_to_each_other_are_no_clients(tmp_path: Path) -> None:
    (tmp_path / "7" / "net").mkdir(parents=True)
    table = tmp_path / "7" / "net" / "tcp"
    table.write_text(RANKS)
    assert clients_of(7, 8104, proc=tmp_path) == set()
    table.write_text(RANKS + CLIENT)
    assert clients_of(7, 8104, proc=tmp_path) == {"01C7DF0A:D431"}


def test_in_the_hosts_network_clients_of_the_same_machine_count(tmp_path: Path) -> None:
    (tmp_path / "7" / "net").mkdir(parents=True)
    rows = "   2: 0100007F:1F40 0100007F:D431 01\n   3: 0100007F:D431 0100007F:1F40 01\n"
    (tmp_path / "7" / "net" / "tcp").write_text("\n".join(RANKS.splitlines()[:2]) + "\n" + rows)
    assert clients_of(7, 8000, proc=tmp_path) == {"0100007F:D431"}


# Over HTTP ---------------------------------------------------------------------------


class Wedged:
    """Its health and figures answer; requests do as `works` says."""

    def __init__(self) -> None:
        self.works = threading.Event()
        self.asked: list[dict[str, Any]] = []
        wedged = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(b"vllm:num_requests_running 1\nvllm:generation_tokens_total 7\n")

            def do_POST(self) -> None:
                wedged.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if wedged.works.wait(120):
                    self._say(b"{}")

            def _say(self, body: bytes) -> None:
                try:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return

            def log_message(self, *_words: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.works.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def wedged() -> Iterator[Wedged]:
    made = Wedged()
    yield made
    made.close()


def test_a_wedged_engine_is_found_and_found_well_again(
    wedged: Wedged, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("TICK", 0.02), ("EVERY", 0.05), ("TOKEN_LIMIT", 0.3)):
        monkeypatch.setattr(engine_watch, f"{name}_SECONDS", seconds)
    probe = ProbeSpec("openai", wedged.port, model="m")
    watch = EngineWatch(lambda: {"a": probe}, lambda _: None, 0.2)
    watch.start()
    try:
        words = wait_for(lambda: watch.hang("a"), "the hang is seen", 60)
        assert words.startswith("It hangs: a request is there, nothing has moved for")
        assert wedged.asked[0] == {"model": "m", "prompt": "1", "max_tokens": 1}
        assert (watch.entry("a") or {})["requests_running"] == 1, "its figures are read on"
        wedged.works.set()
        wait_for(lambda: watch.hang("a") is None, "it answers again", 60)
    finally:
        watch.close()


# What control makes of it --------------------------------------------------------------


def step(state: str, **entry: Any) -> tuple[str, str]:
    seen = {"phase": "running", "probe": {"ready": True, "failures": 0}, **entry}
    made = next_step(state=state, desired="running", node_status="online", entry=seen)
    return made.state, made.message


def test_a_hang_is_degraded_with_its_reason_although_health_is_well() -> None:
    assert step("ready", hang="It hangs: …") == ("degraded", "It hangs: …")
    assert step("degraded", hang="It hangs: …") == ("degraded", "It hangs: …")
    assert step("degraded", hang=None)[0] == "ready"
    assert step("loading", hang="It hangs: …")[0] == "ready"


@pytest.mark.parametrize(
    ("settings", "state", "expected"),
    [
        ({"restart_on_hang": True}, "degraded", "It hangs"),
        ({"restart_on_hang": "yes"}, "degraded", "It hangs"),
        ({"restart_on_hang": True}, "ready", ""),
        ({}, "degraded", ""),
        ({"restart_on_hang": False}, "degraded", ""),
    ],
)
def test_it_is_started_again_only_where_its_definition_says_so(
    db: None, settings: dict[str, Any], state: str, expected: str
) -> None:
    launch: Launch = LaunchFactory(definition=DefinitionFactory(settings=settings), state=state)
    assert hang_to_mend(launch, [None, {"hang": "It hangs"}]) == expected
    assert hang_to_mend(launch, [{"hang": None}]) == ""


def test_the_next_attempt_waits_until_the_one_that_hangs_has_ended(
    node: Any, nudges: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    """It ends by SIGKILL after half a minute; until then its port and memory are taken."""
    definition = DefinitionFactory(settings={"restart_on_hang": True})
    launch = LaunchFactory(definition=definition, node=node, state="degraded", ready_at=timezone.now())
    member = MemberFactory(attempt=AttemptFactory(launch=launch), node=node)
    told = {"member": member.uid, "launch": launch.uid, "phase": "running", "hang": "It hangs: …",
            "probe": {"ready": True, "failures": 0}}  # fmt: skip
    observed = Observations()
    observed.report("spark-1", [told], docker_ok=True)
    clock = iter(range(0, 1000, 60))
    reconciler = Reconciler(observed, clock=lambda: float(next(clock)))
    for _ in range(3):
        with django_capture_on_commit_callbacks(execute=True):
            reconciler.launch_reconcile()
    launch.refresh_from_db()
    assert (launch.state, launch.retry_at, launch.attempts.count()) == ("stopping", None, 1)
    assert {task for _, task, _ in nudges} == {"models.container_stop"}
    container_exited("spark-1", {"member": member.uid, "exit_code": 137, "reason": "stopped as asked"})
    launch.refresh_from_db()
    assert (launch.state, launch.failure_code) == ("requested", "hang")
    assert launch.failure_reason == "It hangs: …"
    assert launch.retry_at is not None


def test_the_launchs_page_says_why_it_is_degraded_until_it_is_well(admin_client: Client) -> None:
    launch: Launch = LaunchFactory(definition=DefinitionFactory(), state="ready")
    launch_move(launch, "degraded", message="It hangs: a request is there & nothing moves")
    page = admin_client.get(launch.get_absolute_url()).content.decode()
    notice = page.partition("data-trouble>")[2].partition("</div>")[0]
    assert "It hangs: a request is there &amp; nothing moves" in notice
    launch_move(launch, "ready", message="Ready: it answers and lists its model")
    assert "data-trouble" not in admin_client.get(launch.get_absolute_url()).content.decode()


# The stand-in, in a container ------------------------------------------------------------


@pytest.fixture
def docker_node(
    docker_host: str, tmp_path: Path, installation: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Node]:
    monkeypatch.setattr("models_app.agent.config.HANG_SECONDS", 3)
    monkeypatch.setattr(engine_watch, "TOKEN_LIMIT_SECONDS", 2.0)
    made = Node(docker_host, tmp_path, installation)
    yield made
    made.close()


@pytest.mark.docker
def test_a_wedged_container_is_told_in_the_report(docker_node: Node, free_port: int) -> None:
    node = docker_node
    spec = node.start(node.spec(free_port, env={"STANDIN_LOAD_SECONDS": "0", "STANDIN_WEDGE_AFTER": "0"}))
    node.wait_entry(spec, lambda entry: (entry["probe"] or {}).get("ready"), 60)
    client = http.client.HTTPConnection("127.0.0.1", free_port, timeout=120)
    asked = {"model": "standin", "messages": [{"role": "user", "content": "hello"}]}
    client.request("POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"})
    try:
        entry = node.wait_entry(spec, lambda entry: entry["hang"], 60)
        assert "nothing has moved for" in entry["hang"]
        assert entry["probe"]["ready"] is True, "its health path still says that it is well"
    finally:
        client.close()
