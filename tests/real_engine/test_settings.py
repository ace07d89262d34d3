"""The table of vLLM settings against the options that a real vLLM offers."""

from __future__ import annotations

import re

import docker
import pytest

from models_app.engines.vllm_settings import VLLM_SETTINGS

pytestmark = pytest.mark.real_engine

VERSION = (0, 32)


@pytest.fixture(scope="module")
def options(docker_host: str, real_image: str) -> dict[str, set[str]]:
    """Each option of `vllm serve`, with its choices where it has some."""
    client = docker.DockerClient(base_url=docker_host, timeout=120)
    try:
        told = client.containers.run(real_image, ["vllm", "serve", "--help=all"], remove=True).decode()
    finally:
        client.close()
    found = {name: set[str]() for name in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", told)}
    found |= {name: set(choices.split(",")) for name, choices in re.findall(r"(--[\w-]+) \{([^}]+)\}", told)}
    return found


def test_every_flag_of_the_table_is_known(options: dict[str, set[str]]) -> None:
    here = [
        row for row in VLLM_SETTINGS.values() if (row.since or VERSION) <= VERSION < (row.until or (99, 0))
    ]
    flags = {flag for row in here for flag in (row.flag, row.off_flag) if flag}
    assert len(flags) > 40
    assert flags <= options.keys(), f"vLLM knows no {sorted(flags - options.keys())}"


def test_flags_that_are_gone_are_gone(options: dict[str, set[str]]) -> None:
    gone = {row.flag for row in VLLM_SETTINGS.values() if row.until and row.until <= VERSION}
    assert gone
    assert not gone & options.keys()


def test_choices_are_vllms(options: dict[str, set[str]]) -> None:
    """Where the parser lists them; some options take a class's name beside their known values."""
    ours = {row.flag: set(row.choices) for row in VLLM_SETTINGS.values() if row.flag and row.choices}
    listed = {flag: options[flag] for flag in ours if options[flag]}
    assert listed
    assert {flag: ours[flag] for flag in listed} == listed
