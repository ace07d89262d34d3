"""A real web process on a loopback port, with its own data folder, database and Redis."""

from __future__ import annotations

import asyncio
import contextlib
import http.cookiejar
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from channels_redis.core import RedisChannelLayer
from websockets.asyncio.client import ClientConnection, connect

from sparkweb.streams import Streams
from tests.support.ports import free_port
from tests.support.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "the first admin's password"
START_SECONDS = 90.0


class WebProcess:
    """`manage.py prepare`, then `manage.py web`; ask it by HTTP, as everyone does."""

    def __init__(self, **environment: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="web-"))
        self.redis = RedisServer().start()
        self.port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SPARKWEB_")},
            "DJANGO_SETTINGS_MODULE": "sparkweb.settings",
            "SPARKWEB_DATA_DIR": str(self.folder / "data"),
            "SPARKWEB_STATIC_ROOT": str(self.folder / "static"),
            "SPARKWEB_PORT": str(self.port),
            "SPARKWEB_NODE": "spark-1",
            "SPARKWEB_ADMIN_PASSWORD": PASSWORD,
            "REDIS_URL": self.redis.url,
            **environment,
        }
        self.environment.pop("DATABASE_URL", None)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.folder / "web.log"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one management command in this installation."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=check, timeout=600
        )

    def start(self) -> WebProcess:
        """Prepare, start, and return once /health answers."""
        self.manage("prepare")
        static, collected = self.folder / "static", ROOT / "staticfiles"
        if (collected / "staticfiles.json").exists() and not static.exists():
            static.symlink_to(collected)  # script/test has collected them; it takes a minute beside others
        static.mkdir(exist_ok=True)
        if not (static / "staticfiles.json").exists():
            self.manage("collectstatic", "--noinput")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "web"],
            cwd=ROOT,
            env=self.environment,
            stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"web did not start: {self.log.read_text()}")
            time.sleep(0.05)
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Signal it; returns its exit code and how many seconds it took to end."""
        assert self.process
        begun = time.monotonic()
        self.process.send_signal(how)
        return self.process.wait(timeout=60), time.monotonic() - begun

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.redis.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def rss_bytes(self) -> int:
        assert self.process
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    # Talking to it ----------------------------------------------------------------

    def key(self, *scopes: str, user: str = "admin") -> str:
        """Make an API key by the management command."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        return self.manage("create_api_key", user, *words).stdout.strip()

    def call(self, method: str, path: str, key: str, body: Any = None) -> tuple[int, Any]:
        """Make one API call; returns status and decoded JSON (None for an empty body)."""
        request = urllib.request.Request(f"http://{self.host}{path}", method=method)
        request.add_header("Authorization", f"Bearer {key}")
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=60) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        return status, json.loads(raw) if raw else None

    def login(self, username: str = "admin", password: str = PASSWORD) -> str:
        """Log in as a browser does; returns the Cookie header of the session."""
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        address = f"http://{self.host}/login/"
        opener.open(address).read()
        token = next(cookie.value for cookie in jar if cookie.name == "sparkweb_csrf") or ""
        form = urllib.parse.urlencode(
            {"username": username, "password": password, "csrfmiddlewaretoken": token}
        )
        opener.open(address, form.encode()).read()
        pairs = [f"{cookie.name}={cookie.value}" for cookie in jar]
        assert any(pair.startswith("sparkweb_session=") for pair in pairs), "login failed"
        return "; ".join(pairs)

    def browse(self, path: str, cookie: str, form: dict[str, str] | None = None) -> int:
        """Open a page, or post a form with its CSRF token; returns the status, redirects not followed."""
        request = urllib.request.Request(f"http://{self.host}{path}", headers={"Cookie": cookie})
        data = None
        if form is not None:
            token = dict(pair.split("=", 1) for pair in cookie.split("; "))["sparkweb_csrf"]
            data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token}).encode()
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, data, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    @contextlib.asynccontextmanager
    async def socket(self, cookie: str = "", **headers: str) -> AsyncIterator[Browser]:
        """Open /ws/live/ as a page of ours would; `headers` replace Host and Origin."""
        origin = headers.get("Origin", f"http://{self.host}")
        extra = {"Cookie": cookie} if cookie else {}
        extra |= {name: value for name, value in headers.items() if name not in ("Origin", "Path")}
        address = f"ws://{self.host}{headers.get('Path', '/ws/live/')}"
        options: dict[str, Any] = {"origin": origin or None, "additional_headers": extra, "compression": None}
        async with connect(
            address, max_size=None, max_queue=None, ping_interval=None, **options
        ) as connection:
            yield Browser(connection)

    @contextlib.asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        """Publish frames as control does."""
        layer = RedisChannelLayer(hosts=[self.redis.url], prefix="sparkweb:layer", capacity=100, expiry=10)
        try:
            yield Publisher(layer)
        finally:
            await layer.close_pools()

    def streams(self) -> Streams:
        return Streams(self.redis.url)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Browser:
    """The browser's end of a socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def text(self, seconds: float = 60.0) -> str:
        async with asyncio.timeout(seconds):
            message = await self.connection.recv()
        assert isinstance(message, str)
        return message

    async def until(self, kind: str, seconds: float = 60.0, **fields: Any) -> dict[str, Any]:
        """Return the next frame of a type with these fields, passing over all others."""
        async with asyncio.timeout(seconds):
            while True:
                frame = orjson.loads(await self.connection.recv())
                if frame["type"] == kind and all(frame.get(name) == value for name, value in fields.items()):
                    return dict(frame)

    async def closed(self, seconds: float = 60.0) -> int:
        """Read until the server closes; returns the close code."""
        async with asyncio.timeout(seconds):
            await self.connection.wait_closed()
        code = self.connection.close_code
        assert code is not None
        return code


class Publisher:
    """Sends frames to the group that web processes listen to."""

    def __init__(self, layer: RedisChannelLayer) -> None:
        self.layer = layer

    async def publish(self, key: str, frame: dict[str, Any] | str) -> str:
        text = frame if isinstance(frame, str) else orjson.dumps(frame).decode()
        await self.layer.group_send("live", {"type": "live.frame", "key": key, "frame": text})
        return text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None
