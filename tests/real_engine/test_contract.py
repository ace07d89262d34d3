"""One contract for two engines: the stand-in that ordinary tests use, and the real vLLM.

What SparkWeb, its gateway and its probes rely on is written here once, and both
must keep it. The stand-in's half runs always, the real one's with --real-engine.
Shapes are of vLLM 0.32.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from models_app.node.stages import milestone_of_line
from tests.real_engine.engine import MAX_MODEL_LEN, NAME, Engine, Kind, shape
from tests.real_engine.shapes import ANSWER, COMPLETION, FIRST, LAST, MODELS, USAGE, WORD
from tests.support.stack import wait_for

# In this order in the log of each start, all on stdout.
MILESTONES = [
    r"^\(APIServer pid=\d+\) INFO \d\d-\d\d \d\d:\d\d:\d\d \[\w+\.py:\d+\] non-default args: \{'model_tag'",
    r"^\(EngineCore pid=\d+\) INFO .* Initializing a V1 LLM engine \(v[\d.]+\) with config: model='",
    r"^\(Worker pid=\d+\) INFO .* Starting to load model \S+\.\.\.$",
    r"^\(Worker pid=\d+\) INFO .* Loading weights took [\d.]+ seconds$",
    r"^\(EngineCore pid=\d+\) INFO .* [CG]PU KV cache size: [\d,]+ tokens, Maximum concurrency for 512 ",
    r"^\(APIServer pid=\d+\) INFO .* Starting vLLM server on http://0\.0\.0\.0:8000$",
    r"^\S*(\(APIServer pid=\d+\) )?INFO:     Waiting for application startup\.$",
    r"^\S*(\(APIServer pid=\d+\) )?INFO:     Application startup complete\.$",
]
STAGES = {
    "Loading the weights",
    "Loading the weights: N of N shards",
    "Weights loaded in N s",
    "KV cache holds N tokens",
    "Started; answers soon",
}

OWN = {"engine", "model_name"}
COUNTERS = {
    "num_preemptions_total": OWN,
    "prefix_cache_queries_total": OWN,
    "prefix_cache_hits_total": OWN,
    "prompt_tokens_total": OWN,
    "generation_tokens_total": OWN,
    "request_success_total": OWN | {"finished_reason"},
}
GAUGES = {
    "num_requests_running": OWN,
    "num_requests_waiting": OWN,
    "kv_cache_usage_perc": OWN,
    "engine_sleep_state": OWN | {"sleep_state"},
}
HISTOGRAMS = [
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
    "request_prefill_time_seconds",
    "request_decode_time_seconds",
]


def plain(stage: str) -> str:
    return re.sub(r"[\d.,]*\d", "N", stage)


def events(engine: Engine, **fields: Any) -> list[dict[str, Any]]:
    """The chunks of one streamed answer, without the [DONE] that must end it."""
    *chunks, last = engine.chat_stream(**fields)
    assert last == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


# Coming up --------------------------------------------------------------------


def test_nobody_answers_until_it_is_loaded(engine: Engine) -> None:
    assert engine.before_ready
    assert set(engine.before_ready) == {None}, "no 503 while loading: the port is closed"
    health = engine.ask("GET", "/health", key="")
    assert (health.status, health.body) == (200, "")


def test_log_milestones_come_in_order(engine: Engine) -> None:
    lines = iter(engine.log())
    for milestone in MILESTONES:
        assert any(re.search(milestone, line) for line in lines), f"not found, or out of order: {milestone}"


def test_progress_is_read_from_the_log(engine: Engine) -> None:
    """The order of the lines is not looked at: progress bars come by stderr, the rest by stdout."""
    said = {plain(found.words) for found in map(milestone_of_line, engine.log()) if found}
    assert said >= STAGES


def test_version_is_told(engine: Engine) -> None:
    assert re.fullmatch(r"0\.\d+\.\d+\S*", engine.ask("GET", "/version", key="").json()["version"])


# Models and answers -----------------------------------------------------------


def test_models_are_listed_under_the_served_name(engine: Engine) -> None:
    listed = engine.ask("GET", "/v1/models").json()
    assert shape(listed) == MODELS
    (model,) = listed["data"]
    assert (model["id"], model["root"]) == (NAME, engine.kind.model)
    assert model["max_model_len"] == MAX_MODEL_LEN
    assert (listed["object"], model["object"], model["owned_by"]) == ("list", "model", "vllm")


def test_whole_answer(engine: Engine) -> None:
    reply = engine.chat(max_tokens=3)
    assert (reply.status, reply.type) == (200, "application/json")
    answer = reply.json()
    assert shape(answer) == ANSWER
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", NAME)
    (choice,) = answer["choices"]
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "length")
    usage = answer["usage"]
    assert usage["completion_tokens"] == 3
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3


def test_streamed_answer(engine: Engine) -> None:
    first, *words, last = events(engine, max_tokens=3)
    assert shape(first) == FIRST
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [shape(word) for word in words] == [WORD, WORD]
    assert shape(last) == LAST | {"system_fingerprint": "text"}
    assert last["choices"][0]["finish_reason"] == "length"
    assert len({chunk["id"] for chunk in (first, *words, last)}) == 1
    assert {chunk["object"] for chunk in (first, *words, last)} == {"chat.completion.chunk"}


def test_streamed_text_is_the_whole_text(engine: Engine) -> None:
    streamed = "".join(chunk["choices"][0]["delta"]["content"] for chunk in events(engine, max_tokens=4))
    assert streamed == engine.chat(max_tokens=4).json()["choices"][0]["message"]["content"]


def test_usage_comes_last_when_asked_for(engine: Engine) -> None:
    *chunks, usage = events(engine, max_tokens=3, stream_options={"include_usage": True})
    assert shape(usage) == USAGE
    assert shape(chunks[-1]) == LAST
    assert usage["usage"]["completion_tokens"] == 3
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + 3


def test_model_may_be_left_out(engine: Engine) -> None:
    reply = engine.ask(
        "POST", "/v1/chat/completions", {"max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    )
    assert (reply.status, reply.json()["model"]) == (200, NAME)


def test_the_question_for_one_token(engine: Engine) -> None:
    """What an engine is asked that seems to hang; its answer counts as a request, and as its tokens."""
    before = engine.metric("generation_tokens_total")
    reply = engine.ask("POST", "/v1/completions", {"model": NAME, "prompt": "1", "max_tokens": 1})
    assert (reply.status, reply.type) == (200, "application/json")
    answer = reply.json()
    assert shape(answer) == COMPLETION
    assert answer["id"].startswith("cmpl-")
    assert (answer["object"], answer["model"]) == ("text_completion", NAME)
    assert answer["usage"]["completion_tokens"] == 1
    wait_for(lambda: engine.metric("generation_tokens_total") == before + 1, "the token is counted")
    refused = engine.ask("POST", "/v1/completions", {"model": "nothing", "prompt": "1", "max_tokens": 1})
    assert (refused.status, refused.json()["error"]["type"]) == (404, "NotFoundError")


# Refusals ---------------------------------------------------------------------

REFUSED = {
    "unknown model": (
        {"model": "nothing"},
        404,
        "NotFoundError",
        "model",
        rf"^The model `nothing` does not exist\. Valid aliases: {NAME}\.$",
    ),
    "too long": (
        {"said": "z1 " * 600},
        400,
        "BadRequestError",
        "input_tokens",
        r"^This model's maximum context length is 512 tokens\. However, your prompt contains at least 513 "
        r"input tokens, .*reduce the length of the input prompt\. \(parameter=input_tokens, value=513\)$",
    ),
    "too much asked for": (
        {"max_tokens": 9999},
        400,
        "BadRequestError",
        "max_tokens",
        r"^max_tokens=9999 cannot be greater than max_model_len=512\.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals(engine: Engine, case: str, stream: bool) -> None:
    fields, status, kind, param, message = REFUSED[case]
    reply = engine.chat(**fields, stream=stream)
    assert (reply.status, reply.type) == (status, "application/json")
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == (kind, param, status)
    assert re.search(message, error["message"])


def test_messages_are_needed(engine: Engine) -> None:
    reply = engine.ask("POST", "/v1/chat/completions", {"model": NAME})
    assert reply.status == 400
    error = reply.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("Bad Request", "body.messages", 400)
    assert "Field required" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "/v1/chat/completions", 405, "Method Not Allowed"),
        ("POST", "/v1/models", 405, "Method Not Allowed"),
    ],
)
def test_no_such_route(engine: Engine, method: str, path: str, status: int, detail: str) -> None:
    reply = engine.ask(method, path)
    assert (reply.status, reply.json()) == (status, {"detail": detail})


@pytest.mark.parametrize("key", ["", "wrong"])
def test_key_guards_v1_alone(engine: Engine, key: str) -> None:
    refused = engine.ask("GET", "/v1/models", key=key)
    assert (refused.status, refused.json()) == (401, {"error": "Unauthorized"})
    assert engine.ask("GET", "/health", key=key).status == 200
    assert engine.ask("GET", "/metrics", key=key).status == 200


# Metrics ----------------------------------------------------------------------


def families(engine: Engine) -> dict[str, tuple[str, set[str]]]:
    """Type and label names of each of vLLM's metrics, by name; a histogram's of its buckets."""
    text = engine.ask("GET", "/metrics").body
    samples = engine.metrics()
    return {
        name: (
            kind,
            {
                label
                for labels in samples[name if name in samples else f"{name}_bucket"]
                for label, _ in labels
            },
        )
        for name, kind in re.findall(r"^# TYPE vllm:(\w+) (\w+)$", text, re.M)
        for name in [f"vllm:{name}"]
    }


def test_metric_names_types_and_labels(engine: Engine) -> None:
    assert engine.ask("GET", "/metrics").type.startswith("text/plain; version=")
    wanted = {f"vllm:{name}": ("counter", labels) for name, labels in COUNTERS.items()}
    wanted |= {f"vllm:{name}": ("gauge", labels) for name, labels in GAUGES.items()}
    wanted |= {f"vllm:{name}": ("histogram", OWN | {"le"}) for name in HISTOGRAMS}
    found = families(engine)
    assert {name: found.get(name) for name in wanted} == wanted
    if engine.kind.name == "standin":
        assert set(found) == set(wanted), "the stand-in offers what is checked, and nothing else"


def test_metrics_count_requests_and_tokens(engine: Engine) -> None:
    def counted() -> tuple[float, ...]:
        return (
            engine.metric("request_success_total", finished_reason="length"),
            engine.metric("generation_tokens_total"),
            engine.metric("prompt_tokens_total"),
            engine.metric("e2e_request_latency_seconds_count"),
        )

    before = counted()
    asked = engine.chat(max_tokens=3).json()["usage"]["prompt_tokens"]
    after = tuple(old + new for old, new in zip(before, (1, 3, asked, 1), strict=True))
    wait_for(lambda: counted() == after, f"metrics are {after}")


def test_hanging_up_ends_the_request(engine: Engine) -> None:
    finished = sum(engine.metrics()["vllm:request_success_total"].values())
    stream = engine.chat_stream(said="word " * 200, max_tokens=300, ignore_eos=True)
    for _ in itertools.islice(stream, 3):
        pass
    wait_for(lambda: engine.metric("num_requests_running") == 1, "one request runs")
    made = engine.metric("generation_tokens_total")
    stream.close()  # type: ignore[attr-defined]
    wait_for(lambda: engine.metric("num_requests_running") == 0, "no request runs")
    assert engine.metric("generation_tokens_total") - made < 290
    assert sum(engine.metrics()["vllm:request_success_total"].values()) == finished, "it is not a success"


# Going ------------------------------------------------------------------------


def test_unknown_flag_is_refused_in_words(kind: Kind, docker_host: str) -> None:
    refused = Engine(kind, docker_host, "--swap-space", "4")
    try:
        assert refused.wait_end() == 2
        assert [line for line in refused.log() if line][
            -1
        ] == "vllm: error: unrecognized arguments: --swap-space 4"
    finally:
        refused.remove()


def test_sigterm_ends_it_with_zero(engine: Engine) -> None:
    """The module's last test: no other can use this engine after it."""
    assert engine.stop() == 0
    assert "INFO:     Application shutdown complete." in engine.log()
