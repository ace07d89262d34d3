"""Pulling an image with an eye on the disk: before a launch, or ahead of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models_app.node.storage.space import GIB, room_of, short_sentence
from sparkweb import config
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import DockerTrouble, PullCancelled, PullFailed
from sparkweb.adapters.docker_pull import PullProgress


class ImageDiskShort(DockerTrouble):
    """The layers that are to come would not leave the reserve free."""

    code = "disk_short"


class ImageDiskFull(DockerTrouble):
    """The disk ran full while the image came; Docker drops the layer that it was at."""

    code = "disk_full"


def image_pull(
    engine: DockerEngine,
    image: str,
    on_progress: Callable[[PullProgress], None],
    on_begin: Callable[[Callable[[], None]], None],
    reserve_bytes: int | None = None,
) -> None:
    """DockerEngine.pull that ends as soon as the known layers cannot fit.

    Sizes are known layer by layer, as the registry tells them; what is fetched lies on
    the disk already, so the rest is compared with what is free now. Raises as
    DockerEngine.pull does, ImageDiskShort and ImageDiskFull.
    """
    folder = Path(engine.images_folder() or "/")
    reserve = config.DISK_RESERVE_GB * GIB if reserve_bytes is None else reserve_bytes
    short: list[str] = []
    ends: list[Callable[[], None]] = []

    def begin(end: Callable[[], None]) -> None:
        ends.append(end)
        on_begin(end)

    def progressed(progress: PullProgress) -> None:
        on_progress(progress)
        missing, room = progress.missing_bytes, room_of(folder)
        if not short and room and missing > 0 and missing > room.free_bytes - reserve:
            short.append(short_sentence(f"Image {image}", folder, missing, room.free_bytes, reserve))
            ends[0]()

    try:
        engine.pull(image, progressed, begin)
    except PullCancelled:
        if short:
            raise ImageDiskShort(short[0]) from None
        raise
    except PullFailed as failed:
        if "no space left on device" in str(failed).lower():
            raise ImageDiskFull(
                f"The disk of {folder} ran full while {image} was pulled. Delete images or weights on the "
                "storage page; what Docker did not finish it drops by itself."
            ) from failed
        raise
