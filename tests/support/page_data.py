"""Rows that fill every page: the owners' catalogue, launches in every state, an audit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from metrics_app.models import Node
from models_app.definition_changes import picture
from models_app.models import (
    CatalogueDefaults,
    Launch,
    LaunchAttempt,
    LaunchEvent,
    LaunchMember,
    ModelDefinition,
    Schedule,
    Turn,
    Webhook,
)
from models_app.models_changes import DefinitionChange
from sparkweb.accounts.models import AuditEntry, User
from sparkweb.outbox.models import Notice
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

CATALOGUE = [
    (
        "qwen3-coder-30b-awq",
        "Qwen3-Coder-30B-AWQ",
        "vllm",
        8104,
        45,
        "cpatonn/Qwen3-Coder-30B-A3B-Instruct-AWQ-4bit",
    ),
    ("qwen3-coder-30b", "Qwen3-Coder-30B", "vllm", 8100, 65, "Qwen/Qwen3-Coder-30B-A3B-Instruct"),
    ("qwen2-vl-7b", "Qwen2-VL-7B", "vllm", 8101, 20, "Qwen/Qwen2-VL-7B-Instruct"),
    ("ministral-3-14b", "Ministral-3-14B", "vllm", 8103, 30, "mistralai/Ministral-3-14B-Instruct-2512"),
    ("chandra-ocr", "Chandra OCR", "vllm", 8106, 24, "datalab-to/chandra"),
    ("qwen3-vl-32b", "Qwen3-VL-32B", "ollama", 11435, 70, "qwen3-vl:32b"),
    (
        "qwen3-235b-awq",
        "Qwen3-235B-A22B-AWQ",
        "script",
        8235,
        116,
        "QuantTrio/Qwen3-235B-A22B-Instruct-2507-AWQ",
    ),
    (
        "nemotron-3-nano-30b",
        "Nemotron-3-Nano-30B",
        "script",
        8105,
        65,
        "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    ),
]
SETTINGS = {
    "max_model_len": 65536,
    "max_num_seqs": 8,
    "gpu_memory_utilization": 0.4,
    "swap_space": 16,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "qwen3_coder",
    "enable_prefix_caching": True,
}
DEFAULTS = {
    "vllm": {
        "image": "nvcr.io/nvidia/vllm:25.11-py3",
        "max_num_seqs": 8,
        "gpu_memory_utilization": 0.4,
        "dtype": "auto",
        "restart_policy": "unless-stopped",
        "gpus": "all",
        "ipc": "host",
    }
}
OUT_OF_MEMORY = (
    "The engine exited with code 1: ValueError: Free memory on device (38.2/121.69 GiB) on startup is less "
    "than desired GPU memory utilization (0.85, 103.4 GiB). Lower gpu_memory_utilization, or stop another "
    "model first."
)
CONDITIONS = {
    "settings": {"gpu_memory_utilization": 0.4},
    "driver": "580.95",
    "cuda": "13.0",
    "docker": "28.3.3",
    "agent_version": "0.1.0",
    "memory_available_bytes": 74 * 2**30,
}
TRACEBACK = """INFO 11-23 17:40:02 [gpu_worker.py:77] Starting to load model Qwen/Qwen3-Coder-30B-A3B-Instruct
ERROR 11-23 17:40:09 [core.py:708] EngineCore failed to start.
ERROR 11-23 17:40:09 [core.py:708] Traceback (most recent call last):
ERROR 11-23 17:40:09 [core.py:708]   File "/usr/lib/vllm/v1/gpu_worker.py", line 187, in init_device
ERROR 11-23 17:40:09 [core.py:708] ValueError: Free memory on device (38.2/121.69 GiB) is less than desired
RuntimeError: Engine core initialization failed. See root cause above."""


def spec(slug: str, port: int, uid: str) -> dict[str, Any]:
    """A container spec as the vLLM engine makes it."""
    return {
        "launch": uid,
        "member": "0" * 16,
        "generation": 1,
        "installation": "1a2b3c4d",
        "node": "spark-1",
        "slug": slug,
        "ttl_seconds": 60,
        "name": f"sparkweb-{slug}-1a2b3c4d-1",
        "image": "nvcr.io/nvidia/vllm:25.11-py3",
        "entrypoint": None,
        "command": [
            "vllm",
            "serve",
            "cpatonn/Qwen3-Coder-30B-A3B-Instruct-AWQ-4bit",
            "--served-model-name",
            slug,
            "--max-model-len",
            "65536",
            "--max-num-seqs",
            "8",
            "--gpu-memory-utilization",
            "0.4",
            "--enable-auto-tool-choice",
            "--tool-call-parser",
            "qwen3_coder",
        ],
        "env": {},
        "secret_env": {"HF_TOKEN": "hf_token"},
        "ports": [{"container": 8000, "host": port, "address": "127.0.0.1"}],
        "mounts": [{"source": "/home/spark/hf", "target": "/root/.cache/huggingface", "read_only": False}],
        "gpus": "all",
        "ipc": "host",
        "shm_bytes": None,
        "ulimits": {"memlock": -1, "stack": 67108864},
        "labels": {},
        "probe": {"kind": "openai", "port": port, "path": "/health", "model": slug},
    }


def _changes(definition: ModelDefinition, admin: User) -> None:
    """Two entries in the history of a definition."""
    after = picture(definition)
    before = {**after, "port": 8099, "settings": {**SETTINGS, "max_model_len": 32768, "enforce_eager": True}}
    for kind, old, new in (("imported", None, before), ("edited", before, after)):
        DefinitionChange.objects.create(
            definition=definition,
            definition_slug=definition.slug,
            kind=kind,
            actor=admin,
            actor_label=admin.username,
            via="page",
            before=old,
            after=new,
        )


def seed(now: datetime, admin: User, days: int = 29) -> Node:
    """Fill the database, with one stopped launch on each of the last `days`; returns the node spark-1."""
    node = NodeFactory(name="spark-1")
    Node.objects.filter(pk=node.pk).update(
        label="Spark 1",
        role="primary",
        lan_address="192.168.1.89",
        fabric_address="192.168.100.10",
        fabric_interface="enp1s0f1np1",
        status="online",
        last_seen_at=now,
        agent_version="0.1.0",
        unified_memory=True,
        capabilities={
            "gpus": ["NVIDIA GB10"],
            "memory_total_bytes": 130_673_000_000,
            "docker": {"gpu_runtime": True},
            "hf_cache": "/home/spark/.cache/huggingface",
            "secrets": ["hf_token"],
            "architecture": "aarch64",
        },
    )
    node.refresh_from_db()
    CatalogueDefaults.objects.create(pk=1, defaults=DEFAULTS)
    for position, (slug, name, engine, port, memory, model_id) in enumerate(CATALOGUE):
        DefinitionFactory(
            slug=slug,
            name=name,
            engine=engine,
            port=port,
            estimated_memory_gb=memory,
            model_id=model_id,
            position=position,
            settings=SETTINGS if position == 0 else {},
            script_dir=slug if engine == "script" else "",
            enabled=slug != "chandra-ocr",
            description="Mixture of experts for code, 4-bit; calls tools." if position == 0 else "",
        )
    by_slug = {row.slug: row for row in ModelDefinition.objects.all()}
    _changes(by_slug["qwen3-coder-30b-awq"], admin)
    _launches(by_slug, node, admin, now, days)
    for minutes, action, target in (
        (1, "launch_start", "qwen2-vl-7b on spark-1"),
        (40, "catalogue_import", "models.yaml"),
        (90, "login", "admin"),
        (2000, "node_create", "spark-1"),
    ):
        AuditEntry.objects.create(
            at=now - timedelta(minutes=minutes),
            actor=admin,
            actor_label="admin",
            via="page",
            address="192.168.1.20",
            action=action,
            target=target,
            detail={"created": ["a", "b"]} if "import" in action else {},
        )
    _webhooks(by_slug, now)
    _schedules(by_slug, node, now)
    return node


def _schedules(by_slug: dict[str, ModelDefinition], node: Node, now: datetime) -> None:
    for name, days, start, end, slugs, mode in (
        ("Day", range(5), "07:30", "20:00", ("qwen3-coder-30b-awq", "qwen2-vl-7b"), "exclusive"),
        ("Night", range(7), "20:00", "07:30", ("qwen3-235b-awq",), "exclusive"),
        ("Scans on Friday", [4], "14:00", "18:00", ("chandra-ocr",), "additive"),
    ):
        row = Schedule.objects.create(
            name=name, node=node, days=list(days), starts_at=start, ends_at=end, mode=mode
        )
        row.definitions.set([by_slug[slug] for slug in slugs])
    for hours, title, cause, steps in (
        (9, "schedule Night", "schedule", [("stop", "qwen2-vl-7b", "done", "No request was running")]),
        (
            0.1,
            "schedule Day",
            "schedule",
            [
                ("stop", "qwen3-235b-awq", "done", "Stopped after 5 min; requests still at work: 1"),
                ("start", "qwen2-vl-7b", "done", "Ready"),
                ("start", "qwen3-coder-30b-awq", "asked", "Starting"),
            ],
        ),
    ):
        keys = ("do", "definition", "state", "message")
        Turn.objects.create(
            node=node,
            cause=cause,
            title=title,
            steps=[dict(zip(keys, step, strict=True)) for step in steps],
            began_at=now - timedelta(hours=hours),
            ended_at=now - timedelta(hours=hours) if hours > 1 else None,
        )


def _webhooks(by_slug: dict[str, ModelDefinition], now: datetime) -> None:
    hook = Webhook.objects.create(
        name="Home Assistant",
        url="https://home.lan:8123/api/webhook/5c2f",
        events=["ready", "failed", "parked"],
    )
    hook.definitions.set([by_slug["qwen3-coder-30b-awq"], by_slug["qwen2-vl-7b"]])
    Webhook.objects.create(name="Chat room", url="https://chat.lan/hooks/a", enabled=False)
    for minutes, subject, state, attempts, result in (
        (2800, "Test, by admin", "failed", 9, "No connection: Connection refused"),
        (1200, "Test, by admin", "delivered", 1, "It answers 200"),
        (45, "qwen2-vl-7b on spark-1: ready", "delivered", 2, "It answers 200"),
        (3, "qwen3-coder-30b-awq on spark-1: failed", "waiting", 3, "No answer within 10 s"),
    ):
        Notice.objects.create(
            channel="webhook",
            recipient=hook.uid,
            subject=subject,
            state=state,
            attempts=attempts,
            last_result=result,
            created_at=now - timedelta(minutes=minutes),
        )


def _launches(by_slug: dict[str, ModelDefinition], node: Node, admin: User, now: datetime, days: int) -> None:
    def launch(slug: str, state: str, minutes: float, **changes: Any) -> Launch:
        live = state not in ("stopped", "failed", "parked")
        began = now - timedelta(minutes=minutes)
        row = LaunchFactory(
            definition=by_slug[slug],
            node=node,
            state=state,
            live=live,
            created_at=began,
            state_changed_at=began,
            requested_by=admin,
            memory_needed_bytes=round(48.7 * 2**30) if state == "ready" else None,
            **changes,
        )
        attempt = AttemptFactory(launch=row, started_at=began, outcome="open" if live else "failed")
        MemberFactory(
            attempt=attempt,
            live=live,
            image="nvcr.io/nvidia/vllm:25.11-py3",
            port=by_slug[slug].port,
            container_name=f"sparkweb-{slug}-1a2b3c4d-1",
            container_id="a" * 64 if state != "pulling" else "",
            image_digest="sha256:" + "5d" * 32,
            spec=spec(slug, by_slug[slug].port, row.uid),
            conditions=CONDITIONS,
            notes=["swap_space is left out: it left vLLM in 0.18; this image may be newer"],
            last_log=TRACEBACK if state in ("failed", "parked") else "",
            exit_code=None if live else 1,
        )
        steps = ["requested", "pulling", "starting", "loading", "ready"]
        reached = {"ready": 5, "loading": 4, "pulling": 2, "failed": 4, "parked": 5, "stopped": 5}.get(
            state, 1
        )
        for place, step in enumerate(steps[:reached]):
            words = {
                "requested": "Start requested by admin",
                "pulling": "The image is pulled: nvcr.io/nvidia/vllm:25.11-py3",
                "starting": "The container is created",
                "loading": "The engine loads the model",
                "ready": "Ready: /health answers and the model is listed",
            }[step]
            LaunchEvent.objects.create(
                launch=row,
                at=began + timedelta(seconds=12 * place),
                kind="state",
                to_state=step,
                message=words,
                from_state=steps[place - 1] if place else "",
                actor_label="admin" if step == "requested" else "",
            )
        if not live:
            LaunchEvent.objects.create(
                launch=row,
                at=row.ended_at or now,
                kind="state",
                from_state=steps[reached - 1],
                to_state=state,
                message=row.failure_reason or "Stopped by admin",
            )
        return row

    def ended(minutes: float) -> dict[str, Any]:
        return {"ended_at": now - timedelta(minutes=minutes)}

    for day in range(1, days + 1):
        launch(
            "qwen2-vl-7b",
            "stopped",
            1440 * day,
            ready_at=now - timedelta(minutes=1440 * day - 2),
            **ended(1440 * day - 300),
        )
    launch("qwen3-coder-30b", "stopped", 900, ready_at=now - timedelta(minutes=880), **ended(700))
    LaunchAttempt.objects.filter(launch__definition_slug="qwen3-coder-30b").update(ready_at=now)
    LaunchMember.objects.filter(attempt__launch__definition_slug="qwen3-coder-30b").update(
        image_digest="sha256:" + "4c" * 32,
        conditions=CONDITIONS | {"driver": "575.57", "memory_available_bytes": 112 * 2**30},
    )
    launch("qwen3-coder-30b", "failed", 65, failure_code="exited", failure_reason=OUT_OF_MEMORY, **ended(64))
    launch(
        "ministral-3-14b",
        "parked",
        200,
        failure_code="exited",
        ready_at=now - timedelta(minutes=198),
        failure_reason="It ended three times in ten minutes; the last time with exit code 137",
        **ended(190),
    )
    launch("qwen3-coder-30b-awq", "ready", 184, ready_at=now - timedelta(minutes=182.5))
    launch("qwen2-vl-7b", "loading", 1.2)
    launch("qwen3-vl-32b", "pulling", 0.6)
    LaunchMember.objects.filter(attempt__launch__state="stopped").update(exit_code=0)
    LaunchAttempt.objects.filter(launch__state="stopped").update(outcome="stopped", ended_at=timezone.now())
