"""Made-up alerts, energy and last minutes for screenshots and page tests."""

from __future__ import annotations

import time
from datetime import timedelta

from django.utils import timezone

from metrics_app.alerts.notices import channel_save, channel_test
from metrics_app.alerts.shipped import rules_ship
from metrics_app.flight_file import Flight, flight_pack
from metrics_app.flights import flight_store
from metrics_app.models_alerts import Alert, AlertChannel, AlertRule, Silence
from metrics_app.models_energy import EnergyDay
from sparkweb.accounts.actor import SYSTEM
from tests.support import frames


def alerts_seed(node_name: str) -> None:
    """Two alerts that fire, two that are over, a silence and a channel."""
    now = timezone.now()
    rules_ship()
    rows = (
        ("GPU hot", "gpu_temperature_celsius|0", "GPU 0 temperature is 88 °C, above 85 °C for 60 s", 240, 0),
        (
            "Model failed",
            "launch_failed|qwen3-coder-30b",
            "qwen3-coder-30b: Free memory on device is less",
            3_600,
            0,
        ),
        (
            "Disk nearly full",
            "disk_used_percent|/",
            "Used on / is 93 %, above 92 % for 300 s",
            90_000,
            80_000,
        ),
        ("Node offline", "node_offline", "Nothing was heard from it for 10 s", 200_000, 199_000),
    )
    for name, series, message, fired, over in rows:
        rule = AlertRule.objects.get(name=name)
        Alert.objects.create(
            rule=rule,
            rule_name=name,
            severity=rule.severity,
            node_name=node_name,
            series=series,
            message=message,
            told=True,
            state="resolved" if over else "firing",
            fired_at=now - timedelta(seconds=fired),
            resolved_at=now - timedelta(seconds=over) if over else None,
            url=f"/nodes/{node_name}/history/?range=3600",
        )
    Silence.objects.create(
        rule=AlertRule.objects.get(name="Swap in use"), reason="known", ends_at=now + timedelta(hours=5)
    )
    channel = AlertChannel(name="Phone", least_severity="warning")
    channel_test(
        channel=channel_save(channel=channel, actor=SYSTEM, url="ntfy://127.0.0.1/spark"), actor=SYSTEM
    )


def energy_seed(node_name: str) -> None:
    """Ten days of two models."""
    for ago in range(10):
        day = timezone.localdate() - timedelta(days=ago)
        for model, joules, made in (
            ("", 4e5, 0),
            ("qwen3-coder-30b-awq", 1.9e6, 420_000),
            ("qwen2-vl-7b", 3e5, 51_000),
        ):
            EnergyDay.objects.create(
                day=day, node_name=node_name, model=model, joules=joules * (1 + ago % 3), seconds=80_000,
                prompt_tokens=9 * made, generation_tokens=made, estimated=bool(model),
            )  # fmt: skip


def flight_seed(node_name: str) -> None:
    """The last two minutes of a machine that ran out of memory."""
    began = time.time() - 7_200
    reports = []
    for n in range(120):
        report = frames.report(now=began + n) | {"sampled_at": began + n, "agent": {"host_boot": "before"}}
        report["host"] = report["host"] | {"memory_available_bytes": int((60 - n / 2) * 2**30)}
        reports.append(report)
    flight_store(node_name, flight_pack(Flight(reports, closed=False)))
