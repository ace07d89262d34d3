"""Energy and tokens: counted between reports, by day and model, unknown where nothing is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from metrics_app.energy.ledger import EnergyLedger
from metrics_app.energy.meter import NodeMeter, Share
from metrics_app.energy.selectors import energy_totals
from metrics_app.models_energy import EnergyDay
from models_app import history
from sparkweb.accounts.models import User
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory


def gpu(**fields: Any) -> dict[str, Any]:
    return {"index": 0, "uuid": "GPU-0", "power_watts": None, "energy_joules": None, **fields}


def metered(
    *readings: tuple[float, dict[str, Any]], held: dict[str, float] | None = None
) -> dict[str, Share]:
    meter, total = NodeMeter(), {}
    for at, row in readings:
        for slug, share in meter.step([row], held or {}, {}, at).items():
            total.setdefault(slug, Share()).add(share)
    return total


@pytest.mark.parametrize(
    ("readings", "joules"),
    [
        ([(0, gpu(power_watts=50)), (1, gpu(power_watts=50)), (3, gpu(power_watts=100))], 250),
        ([(0, gpu(energy_joules=900)), (1, gpu(energy_joules=960)), (2, gpu(energy_joules=1_000))], 100),
        (
            [(0, gpu(energy_joules=900, power_watts=9)), (600, gpu(energy_joules=30_900, power_watts=9))],
            30_000,
        ),
        ([(0, gpu(energy_joules=900, power_watts=40)), (1, gpu(energy_joules=5, power_watts=40))], 40),
        ([(0, gpu(power_watts=50)), (60, gpu(power_watts=50))], 0),
        ([(0, gpu(energy_joules=0)), (1, gpu(energy_joules=9e9))], 0),
        ([(0, gpu(power_watts=float("nan"))), (1, gpu(power_watts=float("nan")))], 0),
    ],
    ids=["power", "counter", "counter over a silence", "counter began anew", "silence", "nonsense", "nan"],
)
def test_joules_of_a_gpu(readings: list[tuple[float, dict[str, Any]]], joules: float) -> None:
    assert sum(share.joules for share in metered(*readings).values()) == pytest.approx(joules)


def test_a_machine_that_tells_nothing_is_unknown_and_not_0() -> None:
    assert metered((0, gpu()), (1, gpu())) == {}


def test_what_is_shared_is_divided_by_memory_and_marked() -> None:
    readings = ((0, gpu(power_watts=60)), (1, gpu(power_watts=60)))
    alone = metered(*readings, held={"qwen": 5.0})
    assert (alone["qwen"].joules, alone["qwen"].estimated, alone[""].joules) == (60, False, 0)
    shared = metered(*readings, held={"qwen": 30.0, "phi": 10.0, "idle": 0.0})
    assert (shared["qwen"].joules, shared["phi"].joules) == (45, 15)
    assert shared["qwen"].estimated
    assert "idle" not in shared


def test_days_add_up_and_cost_what_they_cost(db: None, settings: Any) -> None:
    settings.ELECTRICITY_PRICE = 0.30
    now = [100.0]
    ledger = EnergyLedger(clock=lambda: now[0])
    figures = {"model_gpu_memory_bytes|qwen": 9.0}
    for _ in range(61):
        ledger.take("spark-1", {"gpus": [gpu(power_watts=3_600)]}, figures)
        now[0] += 1
    assert ledger.take("spark-1", {"gpus": "nonsense"}, {}) is True
    ledger.flush()
    ledger.flush()
    row = EnergyDay.objects.get(model="qwen")
    assert row.joules == pytest.approx(60 * 3_600)
    EnergyDay.objects.filter(pk=row.pk).update(generation_tokens=2_000)
    found = energy_totals(30)
    assert found["total"].watt_hours == pytest.approx(60)
    assert found["total"].cost == pytest.approx(0.018)
    (qwen, rest) = found["models"]
    assert (qwen.name, rest.name) == ("qwen", "")
    assert qwen.watt_hours_per_thousand == pytest.approx(30)


def test_a_database_that_does_not_answer_loses_nothing(db: None, monkeypatch: Any) -> None:
    now = [100.0]
    ledger = EnergyLedger(clock=lambda: now[0])
    for _ in range(3):
        ledger.take("spark-1", {"gpus": [gpu(power_watts=100)]}, {})
        now[0] += 1
    with monkeypatch.context() as patched:
        patched.setattr("metrics_app.energy.ledger._write", _raise)
        with pytest.raises(OSError):
            ledger.flush()
    ledger.flush()
    assert EnergyDay.objects.get().joules == pytest.approx(200)


def _raise(*_arguments: Any) -> None:
    raise OSError("locked")


def test_tokens_are_growth_and_an_engine_begun_anew_counts_from_0(db: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(history, "_slugs", {})
    monkeypatch.setattr(history, "_totals", {})
    launch = LaunchFactory(definition=DefinitionFactory(slug="qwen"))
    member = MemberFactory(attempt=AttemptFactory(launch=launch))

    def grown(prompt: Any, generated: Any) -> tuple[float, float] | None:
        engine = {"prompt_tokens_total": prompt, "generation_tokens_total": generated}
        return history.token_growth("n", {"launches": [{"member": member.uid, "engine": engine}]}).get("qwen")

    assert grown(100, 1_000) == (0, 0), "what it made before is nobody's day"
    assert grown(150, 1_400) == (50, 400)
    assert grown(None, float("nan")) == (0, 0)
    assert grown(10, 30) == (10, 30)


def test_page_and_api(db: None, viewer: User, client_of: Any) -> None:
    client: Client = client_of(viewer)
    assert "Nothing was counted yet" in client.get("/energy/").content.decode()
    EnergyDay.objects.create(day="2026-11-30", node_name="spark-1", model="qwen", joules=7_200, seconds=5)
    EnergyDay.objects.create(day="2026-11-30", node_name="spark-2", generation_tokens=500)
    page = client.get("/energy/?days=365").content.decode()
    assert "2.0 Wh" in page
    assert "tell neither power nor energy" in page, "spark-2 has tokens and no readings"
    body = client.get("/api/energy/?days=731").json()
    assert body["total"]["watt_hours"] == 2.0
    assert {row["name"]: row["watt_hours"] for row in body["nodes"]} == {"spark-1": 2.0, "spark-2": None}
    for odd in ("0", "x", "-3", "99999999999", "\0"):
        assert client.get("/energy/", {"days": odd}).status_code == 200
    assert client.get("/api/energy/?node=nobody").json()["days"] == []
