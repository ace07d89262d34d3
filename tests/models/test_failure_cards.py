"""The failure card on page and API, its one-click correction, and the comparison with the last good run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app import failure_cards
from models_app.comparison import Difference, Run, differences, flags
from models_app.exceptions import LaunchRefused
from models_app.failure_cards import comparison_of, failure_of, launch_correct
from models_app.models import Launch, LaunchMember, ModelDefinition
from models_app.observing import container_exited
from models_app.services import launch_create
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import AuditEntry
from tests.factories import DefinitionFactory

SHORT = (
    "ValueError: Free memory on device (38.2/121.69 GiB) on startup is less than desired GPU memory "
    "utilization (0.85, 103.44 GiB)."
)
Nudges = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def definition(db: None) -> ModelDefinition:
    return DefinitionFactory(
        slug="qwen",
        engine="vllm",
        port=8104,
        settings={"gpu_memory_utilization": 0.85},
        estimated_memory_gb=4,
    )


def started(definition: ModelDefinition, node: Any, actor: Actor) -> Launch:
    launch, made = launch_create(definition=definition, node=node, actor=actor)
    assert made
    return launch


def member_of(launch: Launch) -> LaunchMember:
    return LaunchMember.objects.filter(attempt__launch=launch).latest("pk")


def fail(launch: Launch, said: str = SHORT) -> Launch:
    member = member_of(launch)
    told = {"member": member.uid, "exit_code": 1, "log_tail": f"INFO loading\n{said}",
            "reason": f"exited with code 1: {said}"}  # fmt: skip
    container_exited("spark-1", told)
    launch.refresh_from_db()
    return launch


@pytest.fixture
def failed(definition: ModelDefinition, node: Any, someone: Actor, nudges: Nudges, memory: Any) -> Launch:
    memory(100)
    return fail(started(definition, node, someone))


def test_the_card_quotes_the_engine_and_offers_its_own_number(failed: Launch) -> None:
    card = failure_of(failed)
    assert card and card.kind == "gpu_memory"
    assert card.evidence == SHORT
    assert [(c.name, c.before, c.after) for c in card.changes] == [("gpu_memory_utilization", 0.85, 0.29)]


def test_a_launch_that_runs_has_no_card(
    definition: ModelDefinition, node: Any, someone: Actor, nudges: Nudges, memory: Any
) -> None:
    memory(100)
    assert failure_of(started(definition, node, someone)) is None


def test_the_correction_belongs_to_the_new_launch_alone(
    failed: Launch, definition: ModelDefinition, someone: Actor, nudges: Nudges,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        launch, made = launch_correct(launch=failed, actor=someone)
    assert made and launch.pk != failed.pk
    assert (launch.settings_overlay, launch.corrects) == ({"gpu_memory_utilization": 0.29}, failed.uid)
    argv = member_of(launch).argv
    assert argv[argv.index("--gpu-memory-utilization") + 1] == "0.29"
    definition.refresh_from_db()
    assert definition.settings == {"gpu_memory_utilization": 0.85}
    entry = AuditEntry.objects.filter(action="launch_start").latest("pk")
    assert entry.detail["settings_overlay"] == {"gpu_memory_utilization": 0.29}
    assert nudges[-1][1] == "models.container_start"


def test_a_second_correction_keeps_the_first(failed: Launch, someone: Actor, nudges: Nudges) -> None:
    launch, _ = launch_correct(launch=failed, actor=someone)
    again, _ = launch_correct(
        launch=fail(launch, "ValueError: the estimated maximum model length is 41776."),
        actor=someone,
    )
    assert again.settings_overlay == {"gpu_memory_utilization": 0.29, "max_model_len": 41776}


def test_a_definition_changed_since_withdraws_it(
    failed: Launch, definition: ModelDefinition, someone: Actor
) -> None:
    definition.settings = {"gpu_memory_utilization": 0.5}
    definition.save()
    failed = Launch.objects.get(pk=failed.pk)
    card = failure_of(failed)
    assert card and not card.changes
    assert failure_cards.CHANGED_SINCE in card.advice
    with pytest.raises(LaunchRefused) as refused:
        launch_correct(launch=failed, actor=someone)
    assert refused.value.code == "no_correction"


def test_pressed_twice_it_starts_once(failed: Launch, someone: Actor, nudges: Nudges) -> None:
    first, made = launch_correct(launch=failed, actor=someone)
    second, made_again = launch_correct(launch=failed, actor=someone)
    assert made and not made_again and first.pk == second.pk


def test_the_page_shows_card_difference_and_button(failed: Launch, admin_client: Client) -> None:
    page = admin_client.get(failed.get_absolute_url()).content.decode()
    assert 'data-failure="gpu_memory"' in page
    assert "- gpu_memory_utilization: 0.85" in page and "+ gpu_memory_utilization: 0.29" in page
    assert "Start again with this change" in page
    card = admin_client.get(f"/models/qwen/card/?node={failed.node_name}").content.decode()
    assert "Less memory is free than the model&#x27;s share." in card


def test_the_button_goes_to_the_new_launch(failed: Launch, admin_client: Client, nudges: Nudges) -> None:
    answer = admin_client.post(f"/launches/{failed.uid}/correct/")
    launch = Launch.objects.latest("pk")
    assert answer.headers["HX-Redirect"] == launch.get_absolute_url()
    page = admin_client.get(launch.get_absolute_url()).content.decode()
    assert "Settings of its own" in page and f"/launches/{failed.uid}/" in page


def test_the_button_without_a_correction_says_so(failed: Launch, admin_client: Client) -> None:
    fail_again = Launch.objects.get(pk=failed.pk)
    LaunchMember.objects.filter(attempt__launch=fail_again).update(last_log="who knows")
    Launch.objects.filter(pk=failed.pk).update(failure_reason="exited with code 1")
    answer = admin_client.post(f"/launches/{failed.uid}/correct/")
    assert answer.status_code == 409
    assert "There is no correction" in answer.content.decode()


def test_the_api_gives_card_and_correction(failed: Launch, admin_client: Client, nudges: Nudges) -> None:
    card = admin_client.get(f"/api/launches/{failed.uid}/failure").json()["failure"]
    assert (card["kind"], card["evidence"]) == ("gpu_memory", SHORT)
    assert card["changes"] == [{"name": "gpu_memory_utilization", "before": 0.85, "after": 0.29}]
    answer = admin_client.post(f"/api/launches/{failed.uid}/correct", "{}", content_type="application/json")
    assert answer.status_code == 202
    assert answer.json()["corrects"] == failed.uid
    live = answer.json()["uid"]
    assert admin_client.get(f"/api/launches/{live}/failure").json() == {"failure": None}
    refused = admin_client.post(f"/api/launches/{live}/correct", "{}", content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "no_correction")


# The last good run -----------------------------------------------------------------


def ready_then_stopped(launch: Launch, digest: str) -> None:
    now = timezone.now()
    LaunchMember.objects.filter(attempt__launch=launch).update(image_digest=digest, live=False)
    launch.attempts.update(ready_at=now - timedelta(hours=1), outcome="stopped")
    Launch.objects.filter(pk=launch.pk).update(state="stopped", live=False)


def test_a_run_is_compared_with_the_last_good_one(
    definition: ModelDefinition, node: Any, someone: Actor, nudges: Nudges, memory: Any, admin_client: Client
) -> None:
    memory(100)
    good = started(definition, node, someone)
    ready_then_stopped(good, "sha256:old")
    node.capabilities = node.capabilities | {"gpu": {"driver": "590.1", "cuda": "13.1"}}
    node.save()
    definition.settings = {"gpu_memory_utilization": 0.6, "max_model_len": 4096}
    definition.save()
    bad = started(definition, Launch.objects.get(pk=good.pk).node, someone)
    LaunchMember.objects.filter(attempt__launch=bad).update(image_digest="sha256:new")
    compared = comparison_of(fail(bad))
    assert compared and compared.good_launch == good
    found = {row.name: (row.good, row.now) for row in compared.differences}
    assert found["Image digest"] == ("sha256:old", "sha256:new")
    assert found["--gpu-memory-utilization"] == ("0.85", "0.6")
    assert found["--max-model-len"] == ("", "4096")
    assert found["NVIDIA driver"][1] == "590.1"
    assert not any(name.startswith("Setting") for name in found), "flags say it already"

    page = admin_client.get(bad.get_absolute_url()).content.decode()
    assert "Compared with the last good run" in page and "sha256:new" in page
    told = admin_client.get(f"/api/launches/{bad.uid}/comparison").json()["comparison"]
    assert (told["good_launch"], told["good_attempt"]) == (good.uid, 1)
    assert {"name": "--max-model-len", "good": "", "now": "4096"} in told["differences"]


def test_the_first_run_has_nothing_to_compare_with(failed: Launch, admin_client: Client) -> None:
    assert comparison_of(failed) is None
    assert admin_client.get(f"/api/launches/{failed.uid}/comparison").json() == {"comparison": None}


def test_flags_of_a_vector() -> None:
    vector = ["vllm", "serve", "m", "--port", "8000", "--enforce-eager", "--dtype=auto", "--x", "-1"]
    assert flags(vector) == {
        "Command": "vllm serve m", "--port": "8000", "--enforce-eager": "", "--dtype": "auto", "--x": "-1",
    }  # fmt: skip


def test_what_differs_is_named_and_the_rest_is_not() -> None:
    spec = {
        "command": ["serve", "m", "--eager"],
        "env": {"A": "1"},
        "ipc": "host",
        "name": "x-1",
        "member": "a",
    }
    conditions = {"driver": "580", "memory_available_bytes": 100 * 2**30, "settings": {"swap_space": 4}}
    good = Run("image:1", "sha256:a", spec, conditions)
    assert (
        differences(good, Run("image:1", "sha256:a", {**spec, "name": "x-2", "member": "b"}, conditions))
        == []
    )
    now = Run("image:1", "", {**spec, "command": ["serve", "m"], "env": {}, "ipc": None},
              {"driver": "590", "memory_available_bytes": 60 * 2**30, "settings": {}})  # fmt: skip
    assert differences(good, now) == [
        Difference("--eager", "set", ""),
        Difference("env A", "1", ""),
        Difference("IPC", "host", ""),
        Difference("Setting swap_space", "4", ""),
        Difference("NVIDIA driver", "580", "590"),
        Difference("Free memory at start", "100.0 GiB", "60.0 GiB"),
    ]
