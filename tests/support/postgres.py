"""A private PostgreSQL for script/test, on a loopback port and a socket in its folder.

    python -m tests.support.postgres start DIR    # prints its URL
    python -m tests.support.postgres stop DIR     # ends it and removes DIR

PostgreSQL refuses to run as root; then it runs as the `postgres` user of Debian's package.
Nothing is synced to disk: what it holds is thrown away.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.ports import free_port

START_SECONDS = 30


class PostgresUnavailable(RuntimeError):
    """PostgreSQL cannot run here; the sentence says why."""


class Postgres:
    """One PostgreSQL below `folder`, which it owns. `url` connects as its superuser."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.url_file = self.folder / "url"

    @property
    def url(self) -> str:
        return self.url_file.read_text().strip()

    def start(self) -> Postgres:
        """Make a cluster and wait until it answers."""
        programs = programs_find()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._hand_over(self.folder)
        password, port = secrets.token_hex(8), free_port()
        password_file = self.folder / "password"
        password_file.write_text(password)
        self._hand_over(password_file)
        self._run(programs / "initdb", "-D", self.data, "-U", "sparkweb", "--auth=scram-sha-256",
                  f"--pwfile={password_file}", "--encoding=UTF8", "--no-locale", "--no-sync")  # fmt: skip
        self.url_file.write_text(f"postgresql://sparkweb:{password}@127.0.0.1:{port}/postgres\n")
        return self.resume()

    def resume(self) -> Postgres:
        """Start the server on its cluster, at the same address, and wait until it answers."""
        port = self.url.rpartition(":")[2].partition("/")[0]
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        )
        options += " -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
        log = self.folder / "postgres.log"
        try:
            self._run(programs_find() / "pg_ctl", "-D", self.data, "-o", options, "-l", log, "-w",
                      "-t", str(START_SECONDS), "start")  # fmt: skip
        except PostgresUnavailable as error:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise PostgresUnavailable(f"{error}\n{tail}") from None
        return self

    def halt(self) -> None:
        """Stop the server at once, cutting off its clients; what was committed stays."""
        self._run(programs_find() / "pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")

    def stop(self) -> None:
        """End it at once and remove its folder. Not running: only the folder goes."""
        if (self.data / "postmaster.pid").exists():
            self._run(programs_find() / "pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _hand_over(self, path: Path) -> None:
        path.chmod(0o700)
        if os.geteuid() == 0:
            user = _server_user()
            os.chown(path, user.pw_uid, user.pw_gid)

    def _run(self, *command: object) -> None:
        user = _server_user() if os.geteuid() == 0 else None
        ended = subprocess.run(
            [str(word) for word in command],
            cwd="/",
            # What pg_ctl leaves running would hold a pipe open for ever.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            check=False,
        )
        if ended.returncode:
            raise PostgresUnavailable(f"{' '.join(map(str, command))} ended with {ended.returncode}")


def programs_find() -> Path:
    """Return the folder of initdb and pg_ctl: the newest that Debian installed, or the PATH's."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    program = shutil.which("initdb")
    if program is None:
        raise PostgresUnavailable("PostgreSQL is not installed (apt-get install postgresql)")
    return Path(program).resolve().parent


def _server_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresUnavailable("there is no user postgres (apt-get install postgresql)") from None


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in ("start", "stop"):
        print("usage: python -m tests.support.postgres start|stop DIR", file=sys.stderr)
        return 2
    server = Postgres(Path(arguments[1]))
    try:
        if arguments[0] == "start":
            print(server.start().url)
        else:
            server.stop()
    except PostgresUnavailable as error:
        print(f"No private PostgreSQL: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
