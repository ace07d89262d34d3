"""`manage.py up`: everything SparkWeb needs on one machine, as children of one small process.

    redis ─ private, unless REDIS_URL is given; first to start, last to stop
    prepare ─ runs to its end: database, first user, this node's key
    web and agent, then control and archive ─ restarted with backoff when they end

Ctrl-C or SIGTERM stops all within 5 s, a second one at once; when this process
is killed the kernel kills the children. No Django here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sparkweb.child_processes import ChildGroup, ProcessSpec
from sparkweb.env import EnvironmentInvalid
from sparkweb.installation import data_dir_prepare, redis_socket
from sparkweb.private_redis import (
    RedisUnavailable,
    redis_answers,
    redis_command,
    redis_listens,
    redis_program,
)
from sparkweb.process_output import Terminal

REDIS_SECONDS = 60
LEFTOVER_SECONDS = 3
WEB_FIRST_SECONDS = 20
WEB_SECONDS = 60
PROBE_SECONDS = 0.5
# What only the central processes may know: the agent opens no database and signs no session.
CENTRAL_SECRETS = ("DATABASE_URL", "SPARKWEB_SECRET_KEY", "SPARKWEB_ADMIN_PASSWORD")
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


class CannotStart(RuntimeError):
    """`up` cannot run here and now; the sentence says why and what to do."""


@dataclass(frozen=True)
class House:
    """What `up` runs: the commands of its processes, and where they live.

    `prepared_for` tells what `prepare` would work on. While that is what it was
    when prepare last ended well, web need not wait for it: it runs once web is
    there. None: web always waits.
    """

    data_dir: Path
    host: str
    port: int
    redis_url: str | None
    prepare: list[str]
    services: dict[str, list[str]]
    prepared_for: Callable[[], str | None] = lambda: None

    @property
    def web_url(self) -> str:
        host = ANY_ADDRESS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def main() -> int:
    """Run `manage.py up`. Returns the exit status: 0 after a wanted stop, 1 if it could not start."""
    try:
        house = _house_from_environment()
        return run(house, os.environ, Terminal())
    except (CannotStart, RedisUnavailable, EnvironmentInvalid) as error:
        print(f"SparkWeb cannot start: {error}", file=sys.stderr)
        return 1


def _house_from_environment() -> House:
    from sparkweb import config  # reads the environment, and may refuse it

    manage = [sys.executable, str(config.BASE_DIR / "manage.py")]
    return House(
        data_dir=config.DATA_DIR,
        host=config.HOST,
        port=config.PORT,
        redis_url=config.REDIS_URL if os.environ.get("REDIS_URL") else None,
        prepare=[*manage, "prepare"],
        services={name: [*manage, name] for name in ("web", "agent", "control", "archive")},
        prepared_for=lambda: _prepared_for(config.BASE_DIR, config.DATA_DIR, config.NODE_KEY_FILE),
    )


def _prepared_for(code: Path, data_dir: Path, key_file: Path) -> str | None:
    """A hash of the database's address and of all migrations; None where a first start is due."""
    url = os.environ.get("DATABASE_URL", "")
    database = Path(url.removeprefix("sqlite:///") or data_dir / "db.sqlite3")
    if not key_file.exists() or not (url.startswith("postgres") or database.exists()):
        return None
    digest = hashlib.sha256(f"{url} {key_file}".encode())
    migrations = [*code.glob("*/migrations/*.py"), *code.glob("*/*/migrations/*.py")]
    # requirements.txt stands for the migrations of packages.
    for path in sorted([*migrations, code / "requirements.txt"]):
        if "node_modules" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def run(house: House, environment: Mapping[str, str], terminal: Terminal) -> int:
    """Start everything, keep it running until a stop is asked for, stop everything.

    Raises CannotStart or RedisUnavailable before anything runs.
    """
    try:
        data_dir_prepare(house.data_dir)
    except OSError as error:
        raise CannotStart(
            f"the data folder {house.data_dir} cannot be used: {error.strerror}. "
            "Set SPARKWEB_DATA_DIR to a folder that you may write to."
        ) from None
    with _only_one(house.data_dir), ChildGroup(house.data_dir / "logs", terminal) as group:
        try:
            _port_check(group, house)
            shared = _environment(house, environment)
            _redis_start(group, house, shared)
            early = _is_prepared(house)
            if not early:
                _prepare(group, house, shared)
            if not group.stop_requests:
                _services_start(group, house, shared)
            if early and not group.stop_requests:
                _prepare_late(group, house, shared)
            group.wait(lambda: False)
            group.say("stopping")
        except CannotStart as error:
            if not group.stop_requests:
                raise
            group.say(f"stopping ({error})")
    return 0


def _environment(house: House, environment: Mapping[str, str]) -> dict[str, str]:
    return {
        **environment,
        "SPARKWEB_DATA_DIR": str(house.data_dir),
        "REDIS_URL": house.redis_url or f"unix://{redis_socket(house.data_dir)}",
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder's lock. Raises CannotStart if another `up` has it."""
    with (data_dir / "run" / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            raise CannotStart(
                f"another `up` (process {holder}) already uses {data_dir}. Stop that one, "
                "or give this one a folder of its own with SPARKWEB_DATA_DIR."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _port_check(group: ChildGroup, house: House) -> None:
    """Raise CannotStart if web could not listen. A web that is just being killed gets a moment."""
    problem = _port_problem(house)
    if problem == errno.EADDRINUSE:
        group.wait(lambda: _port_problem(house) != errno.EADDRINUSE, LEFTOVER_SECONDS)
        problem = _port_problem(house)
    if problem == errno.EADDRINUSE:
        from sparkweb.adapters.ports import port_listener  # large, and only needed now

        raise CannotStart(
            f"port {house.port} on {house.host} is in use by {port_listener(house.host, house.port)}. "
            "Stop that program, or set SPARKWEB_PORT to a free port."
        )
    if problem == errno.EACCES:
        raise CannotStart(
            f"this user may not listen on port {house.port}. Set SPARKWEB_PORT to 1024 or more."
        )
    if problem is not None:
        raise CannotStart(
            f"SPARKWEB_HOST={house.host!r} is no address of this machine. "
            "127.0.0.1 is this machine alone, 0.0.0.0 every address it has."
        )


def _port_problem(house: House) -> int | None:
    """The error number of listening on web's address, None if it works. An unknown name is EADDRNOTAVAIL."""
    try:
        found = socket.getaddrinfo(house.host, house.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return errno.EADDRNOTAVAIL
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error.errno
    return None


def _redis_start(group: ChildGroup, house: House, environment: dict[str, str]) -> None:
    if house.redis_url is not None:
        _shared_redis_check(group, house.redis_url)
        return
    path = redis_socket(house.data_dir)
    # The Redis of an `up` that was killed a moment ago may still be ending.
    group.wait(lambda: not redis_listens(path), LEFTOVER_SECONDS)
    if redis_listens(path) and not group.stop_requests:
        raise CannotStart(f"another Redis already listens on {path}. Stop it first.")
    command = redis_command(redis_program(), house.data_dir)
    child = group.start(ProcessSpec("redis", command, environment, last=True, shown=False))
    ready = group.wait(lambda: redis_answers(path) or child.returncode is not None, REDIS_SECONDS)
    if not ready or not redis_answers(path):
        raise CannotStart(
            f"the private Redis did not come up; {house.data_dir / 'logs' / 'redis.log'} says why."
        )


def _shared_redis_check(group: ChildGroup, url: str) -> None:
    """Say it early when the Redis of REDIS_URL cannot be reached; the processes go on trying."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PROBE_SECONDS)
                connection.connect(parts.path)
        else:
            where = (parts.hostname or "localhost", parts.port or 6379)
            socket.create_connection(where, PROBE_SECONDS * 4).close()
    except OSError as error:
        where_text = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
        group.say(f"Redis at {where_text} (REDIS_URL) does not answer yet: {error}; trying on")


def _is_prepared(house: House) -> bool:
    mark = house.prepared_for()
    try:
        return mark is not None and (house.data_dir / "run" / "prepared").read_text() == mark
    except OSError:
        return False


def _prepare(group: ChildGroup, house: House, environment: dict[str, str]) -> None:
    """Bring the database up to date and make the first user. Its output is shown once and kept nowhere."""
    marked = house.data_dir / "run" / "prepared"
    marked.unlink(missing_ok=True)
    spec = ProcessSpec("prepare", house.prepare, environment, keep=False, logged=False)
    status = group.run(spec)
    if status:
        raise CannotStart(f"preparing the database failed (exit status {status}); the lines above say why.")
    if status == 0 and (mark := house.prepared_for()):
        marked.write_text(mark)


def _prepare_late(group: ChildGroup, house: House, environment: dict[str, str]) -> None:
    """Prepare what should be there already, as when a backup was put back; processes serve meanwhile."""
    try:
        _prepare(group, house, environment)
    except CannotStart as error:
        group.say(str(error))


def _services_start(group: ChildGroup, house: House, environment: dict[str, str]) -> None:
    """Start web and agent, and the others once web answers: two cores load one Django sooner than two."""
    running = {name: value for name, value in environment.items() if name != "SPARKWEB_ADMIN_PASSWORD"}
    plain = {name: value for name, value in environment.items() if name not in CENTRAL_SECRETS}
    plain.setdefault("SPARKWEB_WEB_URL", house.web_url)
    specs = {
        name: ProcessSpec(name, command, plain if name == "agent" else running)
        for name, command in house.services.items()
    }
    started = time.monotonic()
    web = group.start(specs["web"])
    if "agent" in specs:
        group.start(specs["agent"])
    group.wait(lambda: web_answers(house) or web.returncode is not None, WEB_FIRST_SECONDS)
    for name in [name for name in specs if name not in ("web", "agent")]:
        group.start(specs[name])
    if group.wait(lambda: web_answers(house), WEB_SECONDS):
        seconds = time.monotonic() - started
        group.say(f"SparkWeb is ready at {house.web_url} (web took {seconds:.1f} s). Ctrl-C stops it.")
    elif not group.stop_requests:
        log = house.data_dir / "logs" / "web.log"
        group.say(f"web does not answer at {house.web_url}/health yet; {log} may say why")


def web_answers(house: House) -> bool:
    """Whether GET /health answers 200."""
    where = (ANY_ADDRESS.get(house.host, house.host), house.port)
    request = f"GET /health HTTP/1.1\r\nHost: localhost:{house.port}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError), socket.create_connection(where, PROBE_SECONDS) as connection:
        connection.sendall(request.encode())
        return connection.recv(64).split(b" ")[1:2] == [b"200"]
    return False
