"""The engine stand-in and the real vLLM, held to the same: what SparkWeb relies on.

The real one runs with `script/test --real-engine`, which names its image in
SPARKWEB_TEST_REAL_IMAGE.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from models_app.engines.spec import ContainerSpec
from tests.support.images import STANDIN
from tests.support.node import Node
from tests.support.stack import free_port, wait_for

pytestmark = pytest.mark.docker

READY_SECONDS = 300.0
METRICS = (
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "prompt_tokens_total",
    "generation_tokens_total",
    "request_success_total",
    "num_preemptions_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "time_to_first_token_seconds_bucket",
    "inter_token_latency_seconds_bucket",
    "e2e_request_latency_seconds_count",
    "request_queue_time_seconds_sum",
)


class Engine:
    """One running engine and how to talk to it."""

    def __init__(self, node: Node, spec: ContainerSpec) -> None:
        self.node = node
        self.spec = spec

    def call(self, method: str, path: str, data: Any = None) -> tuple[int, str, bytes]:
        """Status, content type and body of one call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.spec.probe.port, timeout=120)
        body = None if data is None else json.dumps(data)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = answer.status, answer.headers.get_content_type(), answer.read()
        connection.close()
        return found

    def chat(self, **fields: Any) -> tuple[int, str, bytes]:
        messages = [{"role": "user", "content": "Say one two three four five six."}]
        return self.call(
            "POST",
            "/v1/chat/completions",
            {"model": "contract", "max_tokens": 4, "messages": messages} | fields,
        )


@pytest.fixture(scope="module", params=["standin", pytest.param("real", marks=pytest.mark.real_engine)])
def engine(
    request: pytest.FixtureRequest, docker_host: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    real = request.param == "real"
    image = os.environ.get("SPARKWEB_TEST_REAL_IMAGE", "") if real else STANDIN
    if not image:
        pytest.fail("SPARKWEB_TEST_REAL_IMAGE names no image: script/test --real-engine builds one")
    node = Node(docker_host, tmp_path_factory.mktemp("contract"), os.urandom(4).hex())
    model = "/models/smollm2" if real else "test/model"
    spec = node.spec(
        free_port(),
        image=image,
        command=["vllm", "serve", model, "--served-model-name", "contract", "--port", "8000",
                 "--max-model-len", "512"],
        shm_bytes=1 << 30,
    )  # fmt: skip
    probe = type(spec.probe)("openai", spec.ports[0].host, model="contract")
    spec = type(spec)(**{**spec.__dict__, "probe": probe})
    node.start(spec)
    node.wait_entry(spec, lambda entry: entry["probe"]["ready"], READY_SECONDS)
    yield Engine(node, spec)
    node.stop(spec, timeout_seconds=30)
    end = node.wait_fact(spec, "container_exited", 60)
    node.acknowledge_all()
    node.wait_fact(spec, "container_removed", 60)
    node.close()
    assert end["exit_code"] == 0, end


def test_log_names_the_milestones(engine: Engine) -> None:
    def told() -> bool:
        text = "\n".join(engine.node.log_lines(engine.spec))
        return all(
            words in text
            for words in (
                "Loading weights took",
                "KV cache size",
                "Maximum concurrency",
                "Application startup complete",
            )
        )

    wait_for(told, "the milestones")


def test_model_list(engine: Engine) -> None:
    status, kind, body = engine.call("GET", "/v1/models")
    model = json.loads(body)["data"][0]
    assert (status, kind) == (200, "application/json")
    assert (model["id"], model["object"], model["owned_by"], model["max_model_len"]) == (
        "contract", "model", "vllm", 512
    )  # fmt: skip
    assert {"created", "root", "parent", "permission"} <= set(model)


def test_health_and_version(engine: Engine) -> None:
    assert engine.call("GET", "/health")[0] == 200
    assert "version" in json.loads(engine.call("GET", "/version")[2])


def test_whole_answer(engine: Engine) -> None:
    status, _, body = engine.chat()
    answer = json.loads(body)
    assert status == 200
    assert answer["object"] == "chat.completion" and answer["model"] == "contract"
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"]
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + 4


def test_streamed_answer(engine: Engine) -> None:
    status, kind, body = engine.chat(stream=True, stream_options={"include_usage": True})
    assert (status, kind) == (200, "text/event-stream")
    events = [part.removeprefix("data: ") for part in body.decode().split("\n\n") if part]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize(
    "fields, status, kind",
    [
        ({"model": "nobody"}, 404, "NotFoundError"),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, 400, "BadRequestError"),
    ],
    ids=["unknown model", "too long"],
)
def test_refusals(engine: Engine, fields: dict[str, Any], status: int, kind: str) -> None:
    found, _, body = engine.chat(**fields)
    error = json.loads(body)["error"]
    assert (found, error["type"], error["code"]) == (status, kind, status)
    assert error["message"]


def test_metric_names(engine: Engine) -> None:
    engine.chat()
    status, kind, body = engine.call("GET", "/metrics")
    assert (status, kind) == (200, "text/plain")
    lines = body.decode().splitlines()
    for name in METRICS:
        found = [line for line in lines if line.startswith(f"vllm:{name}{{")]
        assert found, name
        assert 'model_name="contract"' in found[0]
