"""What stands where in the answers of vLLM 0.32, without the values; see `shape` in engine.py."""

from __future__ import annotations

PERMISSION = {
    "id": "text",
    "object": "text",
    "created": "number",
    "allow_create_engine": False,
    "allow_sampling": True,
    "allow_logprobs": True,
    "allow_search_indices": False,
    "allow_view": True,
    "allow_fine_tuning": False,
    "organization": "text",
    "group": None,
    "is_blocking": False,
}
MODELS = {
    "object": "text",
    "data": [
        {
            "id": "text",
            "object": "text",
            "created": "number",
            "owned_by": "text",
            "root": "text",
            "parent": None,
            "max_model_len": "number",
            "permission": [PERMISSION],
        }
    ],
}
ANSWER = {
    "id": "text",
    "object": "text",
    "created": "number",
    "model": "text",
    "choices": [
        {
            "index": "number",
            "message": {
                "role": "text",
                "content": "text",
                "refusal": None,
                "annotations": None,
                "audio": None,
                "function_call": None,
                "reasoning": None,
            },
            "logprobs": None,
            "finish_reason": "text",
            "stop_reason": None,
            "token_ids": None,
            "routed_experts": None,
        }
    ],
    "service_tier": None,
    "system_fingerprint": "text",
    "usage": {
        "prompt_tokens": "number",
        "total_tokens": "number",
        "completion_tokens": "number",
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    },
    "prompt_logprobs": None,
    "prompt_token_ids": None,
    "prompt_text": None,
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "metrics": None,
}
COMPLETION = {
    "id": "text",
    "object": "text",
    "created": "number",
    "model": "text",
    "choices": [
        {
            "index": "number",
            "text": "text",
            "logprobs": None,
            "finish_reason": "text",
            "stop_reason": None,
            "token_ids": None,
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "routed_experts": None,
        }
    ],
    "service_tier": None,
    "system_fingerprint": "text",
    "usage": ANSWER["usage"],
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "metrics": None,
}
CHUNK = {"id": "text", "object": "text", "created": "number", "model": "text"}
FIRST_CHOICE = {
    "index": "number",
    "delta": {"role": "text", "content": "text"},
    "logprobs": None,
    "finish_reason": None,
}
WORD_CHOICE = {
    "index": "number",
    "delta": {"content": "text"},
    "logprobs": None,
    "finish_reason": None,
    "token_ids": None,
}
LAST_CHOICE = WORD_CHOICE | {"finish_reason": "text", "stop_reason": None}
FIRST = CHUNK | {"choices": [FIRST_CHOICE], "prompt_token_ids": None, "prompt_text": None}
WORD = CHUNK | {"choices": [WORD_CHOICE]}
LAST = CHUNK | {"choices": [LAST_CHOICE]}
USAGE = CHUNK | {
    "choices": [],
    "usage": {"prompt_tokens": "number", "total_tokens": "number", "completion_tokens": "number"},
    "system_fingerprint": "text",
}
