"""The rules that come with SparkWeb. An owner may change or disable them; they are made once."""

from __future__ import annotations

from typing import Any

GIB = 2**30

# Temperatures: GB10 throttles near 90 °C; below 85 nothing is wrong.
RULES: dict[str, dict[str, Any]] = {
    "gpu_hot": {
        "name": "GPU hot",
        "kind": "above",
        "metric": "gpu_temperature_celsius",
        "value": 85,
        "clear_value": 80,
        "for_seconds": 60,
        "severity": "warning",
    },
    "gpu_lost": {
        "name": "GPU lost",
        "kind": "below",
        "metric": "gpu_up",
        "value": 0.5,
        "for_seconds": 5,
        "severity": "critical",
    },
    "memory_short": {
        "name": "Memory nearly exhausted",
        "kind": "below",
        "metric": "memory_available_percent",
        "value": 4,
        "clear_value": 6,
        "for_seconds": 15,
        "severity": "critical",
    },
    "disk_full": {
        "name": "Disk nearly full",
        "kind": "above",
        "metric": "disk_used_percent",
        "value": 92,
        "clear_value": 90,
        "for_seconds": 300,
        "severity": "warning",
    },
    "swap_used": {
        "name": "Swap in use",
        "kind": "above",
        "metric": "swap_used_bytes",
        "value": 8 * GIB,
        "clear_value": 6 * GIB,
        "for_seconds": 300,
        "severity": "info",
    },
    "requests_waiting": {
        "name": "Requests wait long",
        "kind": "above",
        "metric": "model_requests_waiting",
        "value": 10,
        "clear_value": 5,
        "for_seconds": 120,
        "severity": "info",
    },
    "sampler_late": {
        "name": "Figures late",
        "kind": "above",
        "metric": "sampler_late_seconds",
        "value": 2,
        "clear_value": 1,
        "for_seconds": 60,
        "severity": "info",
    },
    "node_offline": {
        "name": "Node offline",
        "kind": "event",
        "metric": "node_offline",
        "severity": "critical",
    },
    "node_reset": {
        "name": "Node went down without warning",
        "kind": "event",
        "metric": "node_reset",
        "severity": "critical",
    },
    "gpu_xid": {"name": "GPU error (Xid)", "kind": "event", "metric": "gpu_xid", "severity": "critical"},
    "oom_kill": {
        "name": "Kernel killed for memory",
        "kind": "event",
        "metric": "oom_kill",
        "severity": "warning",
    },
    "fabric_bad": {
        "name": "Link between nodes sick",
        "kind": "event",
        "metric": "fabric_bad",
        "severity": "warning",
    },
    "verdict_gpu_wedge": {
        "name": "GPU stuck at a low clock",
        "kind": "event",
        "metric": "verdict_gpu_wedge",
        "severity": "critical",
    },
    "verdict_memory_exhaustion": {
        "name": "Memory runs out soon",
        "kind": "event",
        "metric": "verdict_memory_exhaustion",
        "severity": "critical",
    },
    "audit_broken": {
        "name": "Tool audit does not hold",
        "kind": "event",
        "metric": "audit_broken",
        "severity": "critical",
    },
    "launch_failed": {
        "name": "Model failed",
        "kind": "event",
        "metric": "launch_failed",
        "severity": "warning",
    },
    "launch_parked": {
        "name": "Model parked after failures",
        "kind": "event",
        "metric": "launch_parked",
        "severity": "critical",
    },
}


def rules_ship() -> int:
    """Make the shipped rules that were never made; deleted ones stay deleted. Returns how many."""
    from metrics_app.models_alerts import AlertRule, RulesShipped

    made = 0
    for code, fields in RULES.items():
        if not RulesShipped.objects.get_or_create(code=code)[1]:
            continue
        if not AlertRule.objects.filter(name=fields["name"]).exists():
            AlertRule.objects.create(shipped=code, **fields)
            made += 1
    return made
