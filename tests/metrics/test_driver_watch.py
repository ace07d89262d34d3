"""A driver or card that comes back: told once, with its cause, for a quarter of an hour."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from metrics_app.driver_watch import SHOWN_SECONDS, DriverWatch
from metrics_app.sampler_process import SamplerProcess
from tests.support import nvml as standin
from tests.support.nvml import Control

NOT_LOADED = "The NVIDIA driver is installed but not loaded: run `sudo modprobe nvidia`, or reboot"


class Story:
    """A watch that is told one line a second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.watch = DriverWatch(lambda: self.now, lambda: 5_000.0 + self.now)

    def tell(
        self, status: str = "ok", *, driver: str | None = "580.95.05", message: str | None = None,
        silent: float = 0.0, lost: tuple[int, ...] = (),
    ) -> dict[str, Any] | None:  # fmt: skip
        self.now += 1
        rows = [
            {"index": n, "uuid": f"GPU-{n}", "name": "card", "state": "lost" if n in lost else "ok"}
            for n in (0, 1)
        ]
        gpu = {"status": status, "driver": driver, "message": message}
        return self.watch.take({"gpu": gpu, "gpus": rows, "sampler": {"gpu_silent_seconds": silent}})


def test_the_first_driver_came_from_nowhere() -> None:
    story = Story()
    assert story.tell("error", message="The NVIDIA driver is being opened", silent=0.3) is None
    assert story.tell("none", message=NOT_LOADED, driver=None) is None
    assert story.tell() is None
    assert story.watch.reloads == 0


def test_a_driver_loaded_again_is_told_with_its_cause_and_only_once() -> None:
    story = Story()
    story.tell()
    for _ in range(12):
        assert story.tell("error", message=NOT_LOADED) is None
    told = story.tell()
    assert told is not None
    assert told["kind"] == "reloaded"
    assert told["sentence"] == f"Driver 580.95.05 answers again; no figures for 12 s: {NOT_LOADED}"
    assert told["at"] == 5_114.0
    assert story.tell() is told
    assert story.watch.reloads == 1
    story.now += SHOWN_SECONDS
    assert story.tell() is None


def test_another_version_is_a_replaced_driver() -> None:
    story = Story()
    story.tell()
    told = story.tell(driver="580.105.08")
    assert told is not None
    assert (told["kind"], told["driver_before"]) == ("replaced", "580.95.05")
    assert told["sentence"] == "Driver 580.95.05 was replaced by 580.105.08"


def test_a_hang_that_ends_is_told_and_a_driver_being_opened_is_not() -> None:
    story = Story()
    story.tell()
    story.tell("error", message="The NVIDIA driver is being opened", silent=1.3)
    assert story.tell() is None
    for seconds in (3.3, 4.3, 5.3):
        story.tell("error", message=f"The NVIDIA driver has not answered for {seconds:.0f} s", silent=seconds)
    told = story.tell()
    assert told is not None
    assert told["kind"] == "answers"
    assert "no figures for 6 s: The NVIDIA driver has not answered for 5 s" in told["sentence"]


def test_a_lost_card_that_is_back_is_told_for_that_card() -> None:
    story = Story()
    story.tell()
    for _ in range(30):
        assert story.tell(lost=(1,)) is None
    told = story.tell()
    assert told is not None
    assert (told["kind"], told["gpu"]) == ("found", 1)
    assert told["sentence"] == "GPU 1 (card) answers again; it was lost for 30 s"


def line_where(sampler: SamplerProcess, status: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        line = sampler.read(0.2)
        if line is not None and line["gpu"]["status"] == status:
            return line
    raise AssertionError(f"no line says {status}; the last one was {sampler.last}")


def test_a_driver_taken_out_and_replaced_under_a_real_sampler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control(tmp_path / "control", "discrete")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(standin.build()))
    monkeypatch.setenv("NVML_STANDIN_CONTROL", control.variables["NVML_STANDIN_CONTROL"])
    sampler = SamplerProcess()
    try:
        assert line_where(sampler, "ok")["gpu"]["reloaded"] is None
        control.set("unloaded")
        while sampler.last is None or sampler.last["gpu"]["status"] == "ok":
            sampler.read(0.2)
        control.set("newer")
        gpu = line_where(sampler, "ok")["gpu"]
    finally:
        sampler.close()
    assert gpu["driver"] == "580.105.08"
    assert gpu["reloads"] == 1
    assert gpu["reloaded"]["kind"] == "replaced"
    assert gpu["reloaded"]["sentence"].startswith(
        "Driver 580.95.05 was replaced by 580.105.08; no figures for"
    )
