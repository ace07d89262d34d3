"""Rows that fill the page of a node's storage."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from metrics_app.models import Node
from models_app.models import NodeStorage, StorageItem, StorageJob
from sparkweb.accounts.models import User

GB = 10**9
PARTLY = "4 files are partly here"
ITEMS: list[tuple[str, str, float, int, str, dict[str, Any]]] = [
    ("hf_model", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 61.1, 2, "", {"revisions": 2}),
    ("hf_model", "cpatonn/Qwen3-Coder-30B-A3B-Instruct-AWQ-4bit", 17.6, 0, "", {"revisions": 1}),
    (
        "hf_model",
        "mistralai/Ministral-3-14B-Instruct-2512",
        19.2,
        40,
        "4 files are partly here",
        {"revisions": 1},
    ),
    ("hf_dataset", "HuggingFaceFW/fineweb-edu-sample", 3.4, 90, "", {"revisions": 1}),
    ("ollama", "qwen3-vl:32b", 20.9, 5, "", {}),
    ("image", "nvcr.io/nvidia/vllm:25.11-py3", 24.8, 0, "", {"tags": ["nvcr.io/nvidia/vllm:25.11-py3"]}),
    ("image", "untagged 4be1c2d90aa1", 18.3, 0, "", {"containers": ["old-experiment"]}),
]


def storage_seed(now: datetime, admin: User) -> None:
    """A listing of spark-1 with incomplete, used and unused things, and jobs in every state."""
    node = Node.objects.get(name="spark-1")
    NodeStorage.objects.create(node=node, listed_at=now, areas=_areas(), left_out_count=3, left_out_bytes=GB)
    for number, (kind, name, size, days, incomplete, detail) in enumerate(ITEMS):
        count = detail.get("revisions") or 0
        rows = [
            {
                "commit": f"{number}{place}" * 20,
                "refs": ["main"][place:],
                "bytes": int(size * GB / count),
                "files": 19,
            }
            for place in range(count)
        ]
        StorageItem.objects.create(
            node=node,
            kind=kind,
            key=f"{kind}:{number}",
            name=name,
            size_bytes=int(size * GB),
            partial_bytes=int(8.1 * GB) if incomplete else 0,
            used_at=now - timedelta(days=days) if kind != "image" else None,
            incomplete=incomplete,
            detail=detail | {"revisions": rows},
        )
    _jobs(node, now, admin)


def _areas() -> dict[str, Any]:
    disk = {"free_bytes": 812 * GB, "disk_bytes": 3840 * GB, "status": "ok", "message": ""}
    return {
        "hf": {"path": "/home/spark/.cache/huggingface/hub", "bytes": 101 * GB, "count": 4, **disk},
        "ollama": {"path": "/home/spark/.ollama", "bytes": 21 * GB, "count": 1, **disk},
        "images": {"path": "/var/lib/docker", "bytes": 43 * GB, "count": 2, **disk},
    }


def _jobs(node: Node, now: datetime, admin: User) -> None:
    def job(kind: str, title: str, state: str, **fields: Any) -> None:
        ended = state in ("done", "failed", "cancelled")
        StorageJob.objects.create(
            node=node,
            node_name=node.name,
            kind=kind,
            title=title,
            state=state,
            live=not ended,
            requested_by=admin,
            ended_at=now - timedelta(minutes=9) if ended else None,
            **fields,
        )

    gated = "meta-llama/Llama-4-Scout-17B-16E-Instruct"
    reason = (
        f"{gated} is gated and this node has no token: accept its terms at "
        f"https://huggingface.co/{gated}, then put a token into the node's secrets folder "
        "as the file hf_token"
    )
    job("delete", "untagged 99ab", "done", done_bytes=18 * GB)
    job("hf_download", gated, "failed", failure_code="token_missing", failure_reason=reason)
    job("image_pull", "vllm/vllm-openai:v0.11", "requested")
    moving = {"done_bytes": 12 * GB, "total_bytes": 31 * GB, "message": "Downloading 14 files"}
    job("hf_download", "mistralai/Ministral-3-14B-Instruct-2512", "running", **moving)
