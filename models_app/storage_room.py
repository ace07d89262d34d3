"""Whether a launch's weights fit on its node's disk, where their size is known; nor are being deleted."""

from __future__ import annotations

from metrics_app.models import Node
from models_app.exceptions import LaunchRefused
from models_app.models import ModelDefinition
from models_app.models_storage import JobKind, JobState, NodeStorage, StorageItem, StorageJob, StorageKind
from models_app.storage_uses import definition_needs, provides
from sparkweb import config

GIB = 2**30
HF_ENGINES = ("vllm", "sglang", "trtllm")


def launch_storage_check(definition: ModelDefinition, node: Node, *, forced: bool) -> None:
    """Raise LaunchRefused: being_deleted; disk_short (not when forced) by known sizes."""
    _deletions_check(definition, node)
    if not forced:
        _room_check(definition, node)


def _deletions_check(definition: ModelDefinition, node: Node) -> None:
    jobs = StorageJob.objects.filter(node=node, kind=JobKind.DELETE, live=True)
    keys = {str(job.subject.get("item")) for job in jobs}
    wanted = definition_needs(definition) if keys else set()
    for item in StorageItem.objects.filter(node=node, key__in=keys):
        if provides(item) & wanted:
            raise LaunchRefused(f"{item.name} is being deleted on {node}; wait for its end", "being_deleted")


def _room_check(definition: ModelDefinition, node: Node) -> None:
    if definition.engine not in HF_ENGINES:
        return
    listing = NodeStorage.objects.filter(node=node).first()
    free = ((listing.areas if listing else {}).get("hf") or {}).get("free_bytes")
    missing = weights_missing_bytes(definition.model_id, node)
    reserve = config.DISK_RESERVE_GB * GIB
    if isinstance(free, int) and missing is not None and missing > free - reserve:
        raise LaunchRefused(
            f"The weights of {definition.name} need {missing / GIB:.1f} GiB more on {node}; its disk has "
            f"{free / GIB:.1f} GiB free, of which {config.DISK_RESERVE_GB} GiB stay free. Delete something",
            "disk_short",
        )


def weights_missing_bytes(repo: str, node: Node) -> int | None:
    """Return how many bytes of a repository a start would download; None where the size is not known.

    It is known from a node that holds all of it, or from an earlier download of all its files.
    """
    here = StorageItem.objects.filter(node=node, kind=StorageKind.HF_MODEL, name=repo).first()
    if here is not None and not here.incomplete:
        return 0
    whole = StorageItem.objects.filter(kind=StorageKind.HF_MODEL, name=repo, incomplete="").first()
    told = StorageJob.objects.filter(
        kind=JobKind.HF_DOWNLOAD,
        title=repo,
        total_bytes__gt=0,
        state__in=[JobState.FAILED, JobState.CANCELLED],
    )
    job = next((job for job in told[:5] if not job.subject.get("patterns")), None)
    size = whole.size_bytes if whole else job.total_bytes if job else None
    return None if size is None else max(0, size - (here.size_bytes if here else 0))
