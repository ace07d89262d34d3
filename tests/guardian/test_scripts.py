"""A script that takes too much memory: its whole session is ended, and its launch told why."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkweb import config
from sparkweb.agent import guardian_make
from tests.models.test_script_runs import PATIENT, House, house  # noqa: F401
from tests.support.guardian import FakeMeminfo
from tests.support.stack import wait_for


def test_script_is_ended_with_all_that_it_started(
    house: House,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "GUARDIAN_FLOOR_MB", 100)
    monkeypatch.setattr(config, "GUARDIAN_LOWER_FLOOR_MB", 50)
    house.script(body="sleep 600 & sleep 600 & wait")
    spec = house.start(house.spec(1, "http"))
    memory = FakeMeminfo(tmp_path / "meminfo")
    guardian = guardian_make(tmp_path / "guardian", house.node.models, meminfo=memory.path)
    guardian.start()
    try:
        wait_for(
            lambda: (guardian._fresh_status() or {}).get("reach") == {spec.member: "signal"},
            "it is known",
            PATIENT,
        )
        assert [one["kind"] for one in guardian.section()["victims"]] == ["start"]
        memory.set(80)
        act = house.wait_fact(spec, "guardian_acted")["act"]
        assert (act["victim"]["name"], act["victim"]["scope"], act["left"]) == ("qwen", "session", 0)
        end = house.wait_fact(spec, "container_exited")
        assert end["signal"] == "SIGKILL"
        assert house.processes(spec) == []
        wait_for(lambda: house.node.models.guarded.victims() == [], "nothing is left to end", PATIENT)
    finally:
        guardian.close()
        memory.close()
