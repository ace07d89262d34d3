"""The official clients of OpenAI and Anthropic against the gateway, before the engine stand-in."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from models_app.models import LaunchState
from tests.chat.conftest import ReadyMake
from tests.chat.test_gateway import CHAT, Stream
from tests.support.gateway import RunningGateway
from tests.support.site import Reply, Site

CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "qwen"}


@pytest.fixture
def client(gateway: RunningGateway, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=0, timeout=60)


def _delta(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps(CHUNK | {"choices": [choice]}).encode() + b"\n\n"


def _json(told: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(told).encode(), {"Content-Type": "application/json"})


def test_openai_streams_text_and_tool_calls(client: openai.OpenAI, ready: ReadyMake, engine: Site) -> None:
    ready()
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": '{"a": 1}'}}
    engine.pages[CHAT] = Stream(
        _delta({"role": "assistant", "content": "Let me see"}),
        _delta({"tool_calls": [call]}),
        _delta({"tool_calls": [rest]}, "tool_calls"),
        b"data: [DONE]\n\n",
    )
    text, arguments = "", ""
    for chunk in client.chat.completions.create(model="qwen", messages=[], stream=True):
        delta = chunk.choices[0].delta
        text += delta.content or ""
        arguments += "".join(one.function.arguments for one in delta.tool_calls or [])
    assert (text, json.loads(arguments)) == ("Let me see", {"a": 1})


def test_openai_lists_embeds_and_is_told_what_is_wrong(
    client: openai.OpenAI, ready: ReadyMake, engine: Site
) -> None:
    ready()
    assert [model.id for model in client.models.list()] == ["qwen"]
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    engine.pages["/v1/embeddings"] = _json(
        {"object": "list", "data": [vector], "model": "qwen", "usage": usage}
    )
    answer = client.embeddings.create(model="qwen", input="x", encoding_format="float")
    assert answer.data[0].embedding == [0.5, 1.0]
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=[])
    assert missing.value.code == "model_not_found"
    engine.pages[CHAT] = _json({"error": {"message": "maximum context length is 10", "code": 400}}, 400)
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="qwen", messages=[])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


def test_openai_tries_again_while_a_model_loads(
    gateway: RunningGateway, key: str, ready: ReadyMake, engine: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat_app.gateway.routes.RETRY_SECONDS", 0)
    launch = ready(state=LaunchState.LOADING)
    engine.pages[CHAT] = _json({**CHUNK, "object": "chat.completion", "choices": []})
    client = openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=30, timeout=60)
    with pytest.raises(openai.InternalServerError) as refused:
        client.with_options(max_retries=0).chat.completions.create(model="qwen", messages=[])
    assert refused.value.code == "model_loading"
    launch.state = LaunchState.READY
    launch.save()
    assert client.chat.completions.create(model="qwen", messages=[]).id == "chatcmpl-1"


def test_openai_raises_what_breaks_within_a_stream(
    client: openai.OpenAI, ready: ReadyMake, engine: Site
) -> None:
    ready()
    error = {"error": {"message": "out of memory", "type": "server_error", "code": "oom"}}
    engine.pages[CHAT] = Stream(_delta({"content": "x"}), b"data: " + json.dumps(error).encode() + b"\n\n")
    with pytest.raises(openai.APIError, match="out of memory"):
        list(client.chat.completions.create(model="qwen", messages=[], stream=True))


def test_anthropics_client_talks_to_an_engine_that_speaks_its_form(
    gateway: RunningGateway, key: str, ready: ReadyMake, engine: Site
) -> None:
    ready()
    engine.pages["/v1/messages"] = _json(
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "qwen", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 3, "output_tokens": 1},
        }
    )  # fmt: skip
    client = anthropic.Anthropic(base_url=gateway.url.removesuffix("/v1"), api_key=key, max_retries=0)
    told = client.messages.create(
        model="qwen", max_tokens=10, messages=[{"role": "user", "content": "Hello"}]
    )
    assert told.content[0].text == "Hi"
    assert engine.asked[0].headers.get("anthropic-version")
