"""Asking for storage jobs, what nodes tell about them, and what a launch or deletion is refused for."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from metrics_app.models import Node, NodeStatus
from metrics_app.services import NodeInUse, node_delete
from models_app import services, storage_jobs
from models_app.exceptions import LaunchRefused, StorageRefused
from models_app.models import LaunchMember, NodeStorage, StorageEvent, StorageItem, StorageJob
from models_app.storage_observing import StorageReconciler, StorageSeen, storage_job_ended, storage_listed
from models_app.storage_observing import storage_reported as reported
from models_app.storage_selectors import storage_rows
from models_app.storage_uses import image_reference, needs
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import AuditEntry
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

pytestmark = pytest.mark.django_db
Nudges = list[tuple[str, str, dict[str, Any]]]
GB = 2**30


def entry(key: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "kind": "hf_model", "name": name, "bytes": 5, "revisions": []} | fields


def listed(node: Node, *entries: dict[str, Any], free: int = 10**13) -> None:
    areas = {"hf": {"bytes": 5, "free_bytes": free, "disk_bytes": 10**13, "status": "ok"}}
    with transaction.atomic():
        storage_listed(
            node.name, {"areas": areas, "entries": list(entries), "left_out": {"count": 3, "bytes": 9}}
        )


MODEL = entry("hf:models--org--model", "org/model", revisions=[{"commit": "1" * 40, "refs": ["main"]}])
IMAGE = entry("image:sha256:aa", "vllm/vllm-openai:v0.11", kind="image", tags=["vllm/vllm-openai:v0.11"])


def download(node: Node, someone: Actor, repo: str = "org/model", **wish: Any) -> StorageJob:
    return storage_jobs.download_create(node=node, repo=repo, actor=someone, **({"patterns": []} | wish))[0]


def runs(node: Node, **fields: Any) -> LaunchMember:
    launch = LaunchFactory(definition=DefinitionFactory(**fields), node=node)
    return MemberFactory(attempt=AttemptFactory(launch=launch))


# Asking ---------------------------------------------------------------------------


def test_a_download_is_a_row_an_event_an_audit_entry_and_a_nudge(
    node: Node, someone: Actor, nudges: Nudges, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = download(node, someone, revision="v1", patterns=["*.json"])
    subject = {"repo_type": "model", "repo": "org/model", "revision": "v1", "patterns": ["*.json"]}
    sent = {"job": job.uid, "generation": 1, "kind": "hf_download", "subject": subject}
    assert nudges == [("spark-1", "storage.job_run", sent)]
    assert (job.state, job.title) == ("requested", "org/model@v1")
    assert StorageEvent.objects.get(job=job).kind == "requested"
    assert AuditEntry.objects.get(action="storage_hf_download").detail["repo"] == "org/model"


def test_a_second_wish_joins_the_first(node: Node, someone: Actor, nudges: Nudges) -> None:
    first, again = (
        storage_jobs.image_pull_create(node=node, image="busybox", actor=someone) for _ in range(2)
    )
    assert (first[0], first[1], again[1]) == (again[0], True, False)


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"repo": "../../etc"}, "repo_invalid"),
        ({"repo": "a/b/c"}, "repo_invalid"),
        ({"repo": "org/na--me"}, "repo_invalid"),
        ({"repo": "org/a\0"}, "repo_invalid"),
        ({"repo": ""}, "repo_invalid"),
        ({"repo": "x" * 300}, "repo_invalid"),
        ({"repo_type": "space"}, "repo_invalid"),
        ({"revision": "../main"}, "revision_invalid"),
        ({"revision": "a b"}, "revision_invalid"),
        ({"revision": "-x"}, "revision_invalid"),
        ({"patterns": ["a\0"]}, "patterns_invalid"),
        ({"patterns": ["a"] * 21}, "patterns_invalid"),
        ({"patterns": [""]}, "patterns_invalid"),
    ],
)
def test_odd_downloads_are_refused(
    node: Node, someone: Actor, nudges: Nudges, wish: dict[str, Any], code: str
) -> None:
    with pytest.raises(StorageRefused) as refused:
        download(node, someone, **wish)
    assert refused.value.code == code
    assert not StorageJob.objects.exists()


@pytest.mark.parametrize("image", ["", "a b", "-x", "a;rm -rf /", "a//x", "a\0", "x" * 301, "a@sha256:12"])
def test_odd_images_are_refused(node: Node, someone: Actor, image: str) -> None:
    with pytest.raises(StorageRefused, match="is no image name"):
        storage_jobs.image_pull_create(node=node, image=image, actor=someone)


@pytest.mark.parametrize(
    "image", ["busybox", "vllm/vllm-openai:v0.11", "127.0.0.1:5000/a/b:latest", "a@sha256:" + "1" * 64]
)
def test_image_names_pass(node: Node, someone: Actor, nudges: Nudges, image: str) -> None:
    assert storage_jobs.image_pull_create(node=node, image=image, actor=someone)[1]


def test_a_silent_node_is_asked_for_nothing(node: Node, someone: Actor, nudges: Nudges) -> None:
    Node.objects.update(status=NodeStatus.OFFLINE)
    node.refresh_from_db()
    with pytest.raises(StorageRefused, match="nothing is heard from it"):
        storage_jobs.ollama_pull_create(node=node, model="qwen3:8b", actor=someone)


# What the node tells --------------------------------------------------------------


def test_a_listing_replaces_the_one_before(node: Node) -> None:
    listed(node, MODEL, entry("hf:models--org--old", "org/old"))
    listed(node, MODEL, IMAGE)
    assert set(StorageItem.objects.values_list("key", flat=True)) == {MODEL["key"], IMAGE["key"]}
    assert NodeStorage.objects.get(node=node).left_out_count == 3


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"entries": "x", "areas": 3, "left_out": {}},
        {"areas": {"hf\0": {"message": "\0", "bytes": 2**70}}},
        {"entries": [None, {"key": "a\0b", "name": None, "bytes": "many", "used_at": "soon", "kind": "odd"}]},
        {"entries": [entry("k", "n"), entry("k", "n")]},
        {"entries": [entry("k", "n", bytes=2**70, used_at=1e300, revisions={"a\0": ["b\0"]})]},
    ],
)
def test_odd_listings_harm_nothing(node: Node, data: dict[str, Any]) -> None:
    with transaction.atomic():
        storage_listed(node.name, data)
    assert all("\0" not in item.key for item in StorageItem.objects.all())


def test_progress_of_reports_is_stored_and_the_end_is_a_fact(
    node: Node, someone: Actor, nudges: Nudges
) -> None:
    job = download(node, someone)
    seen = StorageSeen()
    seen.jobs["spark-1"] = {
        job.uid: {"job": job.uid, "done_bytes": 5, "total_bytes": 10, "message": "2 files"}
    }
    StorageReconciler(seen).storage_reconcile()
    job.refresh_from_db()
    assert (job.state, job.percent, job.message) == ("running", 50.0, "2 files")
    storage_job_ended("spark-1", {"job": job.uid, "generation": 1, "outcome": "done", "done_bytes": 10})
    storage_job_ended("spark-1", {"job": job.uid, "generation": 1, "outcome": "failed", "reason": "late"})
    job.refresh_from_db()
    assert (job.state, job.live, job.done_bytes) == ("done", False, 10)
    assert [event.kind for event in job.events.all()] == ["done", "running", "requested"]


def test_another_node_ends_nothing(node: Node, someone: Actor, nudges: Nudges) -> None:
    job = download(node, someone)
    storage_job_ended("spark-2", {"job": job.uid, "generation": 1, "outcome": "done"})
    assert StorageJob.objects.get().live


def test_what_the_node_does_not_see_is_asked_again(node: Node, someone: Actor, nudges: Nudges) -> None:
    job = download(node, someone)
    now = [0.0]
    reconciler = StorageReconciler(StorageSeen(), clock=lambda: now[0])
    nudges.clear()
    for now[0] in (0.0, 1.0, 4.9, 5.0, 6.0, 10.1):
        reconciler.storage_reconcile()
    assert [(task, data["job"]) for _, task, data in nudges] == [("storage.job_run", job.uid)] * 2


def test_a_job_of_a_removed_node_fails(node: Node, someone: Actor, nudges: Nudges) -> None:
    job = download(node, someone)
    Node.objects.all().delete()
    StorageReconciler(StorageSeen()).storage_reconcile()
    job.refresh_from_db()
    assert (job.state, job.failure_code) == ("failed", "node_gone")


def test_cancel_is_told_until_the_node_confirms(node: Node, someone: Actor, nudges: Nudges) -> None:
    job = download(node, someone)
    job = storage_jobs.job_cancel(job=job, actor=someone)
    assert (job.state, job.generation) == ("cancelling", 2)
    assert storage_jobs.job_cancel(job=job, actor=someone).generation == 2
    now = [0.0]
    reconciler = StorageReconciler(StorageSeen(), clock=lambda: now[0])
    nudges.clear()
    for now[0] in (0.0, 6.0):
        reconciler.storage_reconcile()
    assert nudges[-1][1:] == ("storage.job_cancel", {"job": job.uid, "generation": 2})
    storage_job_ended("spark-1", {"job": job.uid, "generation": 2, "outcome": "cancelled"})
    job.refresh_from_db()
    assert (job.state, job.live) == ("cancelled", False)
    again, made = storage_jobs.job_again(job=job, actor=someone)
    assert made
    assert again.subject == job.subject


@pytest.mark.parametrize("section", [None, {}, {"jobs": None}, {"jobs": [None, {"job": 3}, {}]}, "x"])
def test_odd_sections_harm_nothing(section: Any) -> None:
    reported("spark-9", section, {})


def test_a_node_with_a_download_is_not_removed(node: Node, someone: Actor, nudges: Nudges) -> None:
    download(node, someone)
    with pytest.raises(NodeInUse, match="the download of org/model"):
        node_delete(node=node, actor=someone)


# Uses and deletions ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "model_id", "settings", "need"),
    [
        ("vllm", "org/model", [], ("hf", "org/model")),
        ("llamacpp", "org/model-GGUF:Q4_K_M", [], ("hf", "org/model-GGUF")),
        ("vllm", "org/model", ['{"model": "org/draft"}'], ("hf", "org/draft")),
        ("vllm", "org/model", [{"model": "org/draft"}], ("hf", "org/draft")),
        ("ollama", "Qwen3", [], ("ollama", "qwen3:latest")),
    ],
)
def test_what_a_model_needs(engine: str, model_id: str, settings: list[Any], need: tuple[str, str]) -> None:
    assert need in needs(engine, model_id, "", settings)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("ollama/ollama", "ollama/ollama:latest"),
        ("docker.io/library/busybox:1", "busybox:1"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
        ("a@sha256:11", "a@sha256:11"),
    ],
)
def test_image_names_are_compared_as_docker_lists_them(name: str, reference: str) -> None:
    assert image_reference(name) == reference


def test_rows_name_who_needs_them(node: Node) -> None:
    listed(node, MODEL, IMAGE, entry("hf:models--org--other", "org/other"))
    DefinitionFactory(slug="idle", model_id="org/model")
    runs(node, slug="busy", model_id="org/model")
    by_name = {row.item.name: [(use.slug, use.live) for use in row.uses] for row in storage_rows(node)}
    assert by_name["org/model"] == [("busy", True), ("idle", False)]
    assert ("busy", True) in by_name["vllm/vllm-openai:v0.11"]
    assert by_name["org/other"] == []


@pytest.mark.parametrize("key", [MODEL["key"], f"{MODEL['key']}@{'1' * 40}", IMAGE["key"]])
def test_what_a_launch_needs_is_not_deleted(node: Node, someone: Actor, nudges: Nudges, key: str) -> None:
    listed(node, MODEL, IMAGE)
    runs(node, slug="busy", model_id="org/model")
    with pytest.raises(StorageRefused, match="is used by Busy, which runs on spark-1") as refused:
        storage_jobs.delete_create(node=node, key=key, actor=someone)
    assert refused.value.data == {"used_by": ["Busy"]}


def test_partial_files_may_go_while_it_runs(node: Node, someone: Actor, nudges: Nudges) -> None:
    listed(node, MODEL)
    runs(node, model_id="org/model")
    assert storage_jobs.delete_create(node=node, key=f"{MODEL['key']}@partial", actor=someone)[1]


def test_a_launch_on_another_node_holds_nothing_here(node: Node, someone: Actor, nudges: Nudges) -> None:
    listed(node, MODEL)
    runs(NodeFactory(name="spark-2"), model_id="org/model")
    job, _ = storage_jobs.delete_create(node=node, key=MODEL["key"], actor=someone)
    assert job.subject["key"] == MODEL["key"]
    assert AuditEntry.objects.get(action="storage_delete").detail["key"] == MODEL["key"]


@pytest.mark.parametrize(
    "key",
    ["", "x", "/etc/passwd", "hf:..", f"{MODEL['key']}@../x", f"{MODEL['key']}\0", f"{MODEL['key']}@22"],
)
def test_only_listed_keys_are_deleted(node: Node, someone: Actor, key: str) -> None:
    listed(node, MODEL)
    with pytest.raises(StorageRefused, match="lists no such thing"):
        storage_jobs.delete_create(node=node, key=key, actor=someone)


def test_what_is_being_downloaded_is_not_deleted(node: Node, someone: Actor, nudges: Nudges) -> None:
    listed(node, MODEL)
    download(node, someone)
    with pytest.raises(StorageRefused, match="under way; cancel it first"):
        storage_jobs.delete_create(node=node, key=MODEL["key"], actor=someone)


# Launches -------------------------------------------------------------------------


def start(definition: Any, node: Node, someone: Actor, **options: Any) -> Any:
    return services.launch_create(definition=definition, node=node, actor=someone, **options)


def test_a_launch_waits_for_a_deletion_of_its_weights(
    node: Node, someone: Actor, nudges: Nudges, memory: Any
) -> None:
    memory(100)
    listed(node, MODEL)
    storage_jobs.delete_create(node=node, key=MODEL["key"], actor=someone)
    with pytest.raises(LaunchRefused, match="org/model is being deleted") as refused:
        start(DefinitionFactory(model_id="org/model"), node, someone)
    assert refused.value.code == "being_deleted"


def test_weights_that_are_known_and_do_not_fit_are_refused(
    node: Node, someone: Actor, nudges: Nudges, memory: Any
) -> None:
    memory(100)
    listed(NodeFactory(name="spark-2"), entry("hf:models--org--model", "org/model", bytes=60 * GB))
    listed(
        node, entry("hf:models--org--model", "org/model", bytes=20 * GB, incomplete="1 file"), free=30 * GB
    )
    definition = DefinitionFactory(slug="big", model_id="org/model")
    with pytest.raises(
        LaunchRefused, match=r"need 40\.0 GiB more on spark-1; its disk has 30\.0 GiB"
    ) as refused:
        start(definition, node, someone)
    assert refused.value.code == "disk_short"
    assert start(definition, node, someone, force_reason="I make room meanwhile")[1]


@pytest.mark.parametrize("item", [entry("hf:models--org--model", "org/model", bytes=60 * GB), IMAGE])
def test_weights_that_are_here_or_of_unknown_size_start(
    node: Node, someone: Actor, nudges: Nudges, memory: Any, item: dict[str, Any]
) -> None:
    memory(100)
    listed(node, item, free=1)
    assert start(DefinitionFactory(model_id="org/model"), node, someone)[1]


# The page and the API --------------------------------------------------------------


def test_the_page_shows_and_the_buttons_work(
    node: Node, someone: Actor, nudges: Nudges, client_of: Any, operator: Any, admin: Any
) -> None:
    listed(node, MODEL, IMAGE)
    client: Client = client_of(operator)
    page = client.get("/nodes/spark-1/storage/").content.decode()
    assert "org/model" in page
    assert 'data-confirm-title="Delete org/model?"' not in page
    answer = client.post(
        "/nodes/spark-1/storage/get/", {"what": "hf", "repo": "org/new", "patterns": "*.json, a/"}
    )
    assert answer.status_code == 204
    assert StorageJob.objects.get().subject["patterns"] == ["*.json", "a/"]
    assert client.post("/nodes/spark-1/storage/get/", {"what": "image", "image": "a b"}).status_code == 409
    jobs = client.get("/nodes/spark-1/storage/jobs/").content.decode()
    assert "org/new" in jobs
    boss: Client = client_of(admin)
    assert 'data-confirm-title="Delete org/model?"' in boss.get("/nodes/spark-1/storage/").content.decode()
    assert boss.post("/nodes/spark-1/storage/delete/", {"key": MODEL["key"]}).status_code == 204
    assert boss.post("/nodes/spark-1/storage/delete/", {"key": "hf:../x"}).status_code == 409


@pytest.mark.parametrize("query", ["", "?kind=image", "?kind=odd&order=used", "?order=name", "?kind=%00"])
def test_the_list_is_chosen_and_ordered(node: Node, client_of: Any, viewer: Any, query: str) -> None:
    listed(node, MODEL, IMAGE)
    assert client_of(viewer).get(f"/nodes/spark-1/storage/{query}").status_code == 200


def test_an_empty_page_says_what_to_do(node: Node, client_of: Any, operator: Any) -> None:
    client = client_of(operator)
    assert "has not told yet" in client.get("/nodes/spark-1/storage/").content.decode()
    listed(node)
    assert "Nothing lies here yet" in client.get("/nodes/spark-1/storage/").content.decode()


def test_the_api_lists_asks_cancels_and_deletes(node: Node, nudges: Nudges, bearer: Any, admin: Any) -> None:
    listed(node, MODEL)
    api: Client = bearer(admin, "admin")
    body = api.get("/api/nodes/spark-1/storage").json()
    assert [item["key"] for item in body["items"]] == [MODEL["key"]]
    wish = {"kind": "hf_download", "repo": "org/new", "node": "spark-1"}
    made = api.post("/api/storage-jobs", wish, content_type="application/json")
    assert (made.status_code, made.json()["state"]) == (202, "requested")
    assert api.post("/api/storage-jobs", wish, content_type="application/json").status_code == 200
    uid = made.json()["uid"]
    assert api.post(f"/api/storage-jobs/{uid}/cancel").json()["state"] == "cancelling"
    assert api.get(f"/api/storage-jobs/{uid}/events").json()["results"][-1]["kind"] == "requested"
    gone = api.post(
        "/api/nodes/spark-1/storage/delete", {"key": MODEL["key"]}, content_type="application/json"
    )
    assert gone.status_code == 202
    odd = api.post("/api/nodes/spark-1/storage/delete", {"key": "x"}, content_type="application/json")
    assert (odd.status_code, odd.json()["code"]) == (409, "not_listed")
    assert api.get("/api/nodes/spark-9/storage").status_code == 404


def test_a_delete_is_no_kind_to_ask_an_operator_for(node: Node, bearer: Any, operator: Any) -> None:
    api: Client = bearer(operator, "operate")
    wish = {"kind": "delete", "node": "spark-1"}
    assert api.post("/api/storage-jobs", wish, content_type="application/json").status_code == 400
