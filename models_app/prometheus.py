"""What our Prometheus page says of models: launches by state, and the engines' own figures."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from metrics_app.prometheus.page import Families, NodeView
from models_app.history import slug_of
from models_app.models import Launch

ENGINE = (
    ("requests_running", "Requests that are answered now.", "requests_running", 1.0),
    ("requests_waiting", "Requests that wait.", "requests_waiting", 1.0),
    ("kv_cache_ratio", "KV cache in use.", "kv_cache_percent", 0.01),
)


def model_families(nodes: list[NodeView]) -> Iterable[Metric]:
    """Return the families of live launches."""
    families = Families()
    for launch in Launch.objects.filter(live=True):
        labels = {"model": launch.definition_slug, "node": launch.node_name, "engine": launch.engine}
        families.gauge(
            "sparkweb_launch_state",
            "1 for the state that the launch is in.",
            1,
            labels | {"state": launch.state},
        )
        families.gauge("sparkweb_launch_ready", "1 if the launch answers.", int(launch.is_serving), labels)
    for node in nodes:
        for entry in node.report.get("launches") or []:
            member = entry.get("member")
            slug = slug_of(member) if isinstance(member, str) else None
            if slug is not None:
                _entry(families, entry, {"model": slug, "node": node.name, "member": str(member)})
    return families


def _entry(families: Families, entry: dict[str, object], labels: dict[str, str]) -> None:
    families.gauge(
        "sparkweb_model_memory_bytes", "Memory of the container.", entry.get("memory_bytes"), labels
    )
    families.gauge(
        "sparkweb_model_gpu_memory_bytes", "GPU memory that it holds.", entry.get("gpu_memory_bytes"), labels
    )
    engine = entry.get("engine")
    if isinstance(engine, dict):
        for name, text, field, scale in ENGINE:
            families.gauge(f"sparkweb_model_{name}", text, engine.get(field), labels, scale)
        for kind in ("prompt", "generation"):
            families.counter(
                f"sparkweb_model_{kind}_tokens", "Tokens since the engine began.",
                engine.get(f"{kind}_tokens_total"), labels,
            )  # fmt: skip
