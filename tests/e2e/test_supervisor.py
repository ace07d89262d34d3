"""`manage.py up`: the real supervisor and a real Redis around services of the test's choice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from sparkweb.installation import redis_socket
from tests.support.stack import REPOSITORY, free_port, wait_for
from tests.support.supervised import SLEEPER, STUBBORN, TELL_ENVIRONMENT, Up


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    house = Up(tmp_path)
    yield house
    house.close()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_everything_runs_and_a_second_start_finds_it_as_it_was(up: Up) -> None:
    up.services |= {
        "control": SLEEPER.format(word="control-is-here"),
        "agent": SLEEPER.format(word="agent-is-here"),
    }
    up.start().ready()
    up.says("agent-is-here")
    text = up.says("control-is-here")
    assert f"http://127.0.0.1:{up.port}" in text
    assert "control  │ control-is-here" in text
    assert up.log("control") == "control-is-here\n"
    up.redis().set("kept", "yes")
    up.signal()
    assert up.ends() == 0
    up.start().ready()
    assert up.redis().get("kept") == "yes"


def test_private_redis_has_no_port_and_is_ours_alone(up: Up) -> None:
    up.start().ready()
    config = up.redis().config_get("*")
    assert (config["port"], config["appendonly"], config["maxmemory-policy"]) == ("0", "yes", "noeviction")
    assert redis_socket(up.data).stat().st_mode & 0o777 == 0o600
    assert not up.child("redis-server").net_connections("inet")
    assert up.data.stat().st_mode & 0o777 == 0o700


def test_environment_of_the_children(up: Up) -> None:
    up.environment = {
        "SPARKWEB_ADMIN_PASSWORD": "once",
        "DATABASE_URL": "postgresql://u:p@h/d",
        "SPARKWEB_SECRET_KEY": "k",
        "OTHER": "1",
    }
    up.prepare = "import os; print('prepare has', os.environ['SPARKWEB_ADMIN_PASSWORD'])"
    up.services |= {"control": TELL_ENVIRONMENT, "agent": TELL_ENVIRONMENT}
    up.start().ready()
    wait_for(lambda: up.log("control") and up.log("agent"), "both told")
    control, agent = json.loads(up.log("control")), json.loads(up.log("agent"))
    assert "prepare has once" in up.text()
    assert control["REDIS_URL"] == agent["REDIS_URL"] == f"unix://{redis_socket(up.data)}"
    assert control["DATABASE_URL"] == "postgresql://u:p@h/d"
    assert agent["OTHER"] == "1"
    assert "SPARKWEB_ADMIN_PASSWORD" not in control
    assert not {"DATABASE_URL", "SPARKWEB_SECRET_KEY", "SPARKWEB_ADMIN_PASSWORD"} & set(agent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_ends_everything(up: Up, number: signal.Signals) -> None:
    up.services["agent"] = SLEEPER.format(word="here")
    up.start().ready()
    family = up.children()
    assert len(family) == 3
    up.signal(number)
    assert up.ends() == 0
    assert gone(family)
    assert "killed" not in up.text()


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(up: Up) -> None:
    up.services["agent"] = STUBBORN
    up.start().ready()
    up.says("grandchild")
    family = up.children()
    assert len(family) == 4
    up.signal()
    assert up.ends() == 0
    assert gone(family)
    assert "agent did not stop by itself and was killed" in up.text()


def test_a_second_ctrl_c_does_not_wait(up: Up) -> None:
    up.services["agent"] = STUBBORN
    up.start().ready()
    up.says("grandchild")
    family = up.children()
    up.signal(signal.SIGINT)
    up.says("stopping")
    wait_for(
        lambda: not any("http.server" in " ".join(c.cmdline()) for c in up.children()), "web has stopped"
    )
    up.signal(signal.SIGINT)
    assert up.ends() == 0
    assert gone(family)


def test_a_stop_while_it_is_starting(up: Up) -> None:
    up.prepare = SLEEPER.format(word="migrating")
    up.start()
    up.says("migrating")
    up.signal(signal.SIGINT)
    assert up.ends() == 0
    assert "ready" not in up.text()


def test_killed_supervisor_takes_its_children_along(up: Up) -> None:
    up.services["agent"] = STUBBORN.replace(
        "child = subprocess.Popen", "child = 0 and subprocess.Popen"
    ).replace("child.pid", "0")
    up.start().ready()
    up.says("grandchild")
    family = up.children()
    assert len(family) == 3
    up.signal(signal.SIGKILL)
    wait_for(lambda: gone(family), "all children died with it", 5)
    up.start().ready()


def test_a_child_that_dies_is_started_again_later_and_later(up: Up) -> None:
    up.services["control"] = "import sys; print('no database', flush=True); sys.exit(3)"
    up.start().ready()
    up.says("control ended with exit status 3; starting it again in 1 s")
    up.says("control ended with exit status 3; starting it again in 2 s")
    up.says("control ended with exit status 3; starting it again in 4 s")
    assert up.log("control").count("no database") >= 3
    assert "starting it again in 4 s" in up.log("up")


def test_killed_redis_comes_back_with_its_data(up: Up) -> None:
    up.start().ready()
    up.redis().set("kept", "yes")
    up.child("redis-server").kill()
    up.says("redis was ended by SIGKILL; starting it again in 1 s")

    def kept() -> bool:
        try:
            return bool(up.redis().get("kept") == "yes")
        except redis.ConnectionError:
            return False

    wait_for(kept, "redis is back")


def test_a_second_up_on_the_same_folder_is_refused(up: Up, tmp_path: Path) -> None:
    up.start().ready()
    (tmp_path / "second").mkdir()
    second = Up(tmp_path / "second")
    second.data = up.data
    try:
        assert second.start().ends() == 1
        assert up.process
        assert f"another `up` (process {up.process.pid}) already uses {up.data}" in second.text()
        assert up.redis().ping()
    finally:
        second.close()


def test_port_in_use_names_who_uses_it(up: Up) -> None:
    with socket.create_server(("127.0.0.1", up.port)):
        assert up.start().ends(10) == 1
    assert f"port {up.port} on 127.0.0.1 is in use by" in up.text()
    assert f"(process {os.getpid()})" in up.text()
    assert "SPARKWEB_PORT" in up.text()
    assert not (up.data / "logs" / "redis.log").exists()


def test_address_of_another_machine(up: Up) -> None:
    up.host = "192.0.2.1"
    assert up.start().ends() == 1
    assert "SPARKWEB_HOST='192.0.2.1' is no address of this machine" in up.text()


def test_failed_preparation_is_shown_and_nothing_else_starts(up: Up) -> None:
    up.prepare = "import sys; print('one-time password: secret'); sys.exit('the database is locked')"
    up.services["agent"] = SLEEPER.format(word="agent-is-here")
    assert up.start().ends(20) == 1
    assert "the database is locked" in up.text()
    assert "preparing the database failed (exit status 1)" in up.text()
    assert not (up.data / "logs" / "agent.log").exists()
    assert not any("secret" in log.read_text() for log in (up.data / "logs").iterdir())


WAIT_FOR_WEB = """
import time, urllib.request
for _ in range(500):
    try:
        urllib.request.urlopen("http://127.0.0.1:{port}/health"); break
    except OSError:
        time.sleep(0.01)
else:
    raise SystemExit("web did not start before prepare had ended")
print("prepare came late")
"""


def test_web_waits_for_prepare_only_when_there_is_something_new(up: Up) -> None:
    up.prepared_for = "release 1"
    up.start().ready()
    up.signal()
    up.ends()
    up.prepare = WAIT_FOR_WEB.format(port=up.port)
    up.start().ready()
    up.says("prepare came late")
    up.signal()
    up.ends()
    up.prepared_for, up.prepare = "release 2", "import sys; sys.exit('a migration failed')"
    assert up.start().ends(20) == 1
    assert "a migration failed" in up.text()
    up.prepared_for = "release 1"
    assert up.start().ends(20) == 1, "a failed prepare is repeated first"


def test_late_prepare_that_fails_is_said_and_web_stays(up: Up) -> None:
    up.prepared_for = "release 1"
    up.start().ready()
    up.signal()
    up.ends()
    up.prepare = "import sys; sys.exit('the backup is older')"
    up.start().ready()
    up.says("preparing the database failed (exit status 1)")
    assert up.child("http.server").is_running()


def test_missing_redis_says_what_to_install(up: Up, tmp_path: Path) -> None:
    up.environment["PATH"] = str(tmp_path)
    assert up.start().ends() == 1
    assert "redis-server is not installed" in up.text()
    assert "sudo apt install redis-server" in up.text()


def test_redis_that_cannot_read_its_data(up: Up) -> None:
    appended = up.data / "redis" / "appendonlydir"
    appended.mkdir(parents=True)
    (appended / "appendonly.aof.manifest").write_text("nonsense\n")
    assert up.start().ends() == 1
    assert f"{up.data / 'logs' / 'redis.log'} says why" in up.text()


def test_redis_of_the_owner_is_used_and_not_started(up: Up, redis_url: str) -> None:
    up.redis_url = redis_url
    up.services["agent"] = TELL_ENVIRONMENT
    up.start().ready()
    wait_for(lambda: up.log("agent"), "agent told")
    assert json.loads(up.log("agent"))["REDIS_URL"] == redis_url
    assert not (up.data / "logs" / "redis.log").exists()
    assert "does not answer" not in up.text()


def test_redis_of_the_owner_that_is_away_is_said_without_its_password(up: Up) -> None:
    up.redis_url = f"redis://user:hush@127.0.0.1:{free_port()}/0"
    up.start().ready()
    assert "(REDIS_URL) does not answer yet: " in up.text()
    assert "hush" not in up.text()


@pytest.mark.parametrize("name", ["with a space", "ü" * 20, "long" * 30], ids=["space", "umlaut", "long"])
def test_odd_data_folders(up: Up, name: str) -> None:
    up.data = up.folder / name
    up.start().ready()
    assert up.redis().ping()
    assert len(os.fsencode(redis_socket(up.data))) <= 100


def test_data_folder_that_cannot_be_one(up: Up) -> None:
    up.data.write_text("a file")
    assert up.start().ends() == 1
    assert f"the data folder {up.data} cannot be used" in up.text()


def test_web_that_is_slow_is_waited_for(up: Up) -> None:
    gate = up.folder / "gate"
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    up.services["web"] = wait + up.services["web"]
    up.services["agent"] = SLEEPER.format(word="agent-is-here")
    up.start()
    up.says("agent-is-here")
    assert "ready" not in up.text()
    gate.touch()
    up.ready()


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SPARKWEB_PORT", "http", "SPARKWEB_PORT='http': is not a whole number"),
        ("SPARKWEB_PORT", "0", "SPARKWEB_PORT='0': must lie between 1 and 65535"),
        ("SPARKWEB_DATA_DIR", "data", "SPARKWEB_DATA_DIR='data': must be an absolute path"),
        ("REDIS_URL", "http://hush@x", "REDIS_URL: must begin with one of"),
    ],
)
def test_odd_settings_are_refused_by_name_and_value(
    name: str, value: str, sentence: str, tmp_path: Path
) -> None:
    ended = manage("up", **({"SPARKWEB_DATA_DIR": str(tmp_path)} | {name: value}))
    assert ended.returncode in (1, 2)
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hush" not in ended.stderr


def test_up_takes_no_arguments_and_explains_itself() -> None:
    assert manage("up", "--port", "1").returncode == 2
    helped = manage("up", "--help")
    assert helped.returncode == 0
    assert "Ctrl-C" in helped.stdout


def test_supervisor_loads_neither_django_nor_celery() -> None:
    code = "import sys, sparkweb.supervisor, sparkweb.config; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    heavy = {"django", "celery", "redis", "psutil", "asyncio", "logging", "ssl"}
    assert not heavy & set(loaded.stdout.split())
