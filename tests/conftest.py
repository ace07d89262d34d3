"""Fixtures that every app's tests share: users of each role, clients, keys, a real Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from sparkweb.accounts.models import Role, User
from tests.factories import NodeFactory, UserFactory
from tests.support.archive import *  # noqa: F403
from tests.support.audit_flush import *  # noqa: F403
from tests.support.docker_fixtures import *  # noqa: F403
from tests.support.one_worker import pytest_xdist_make_scheduler  # noqa: F401
from tests.support.redis import *  # noqa: F403


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real-engine", action="store_true", help="also run the tests on the real vLLM image")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the real engine, unless --real-engine asks for it."""
    if config.getoption("--real-engine"):
        return
    left_out = [item for item in items if item.get_closest_marker("real_engine")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def _cold_cache() -> Iterator[None]:
    """Throttles count in the cache; no test inherits another's count, nor what others told of a node.

    Once a page test of this worker has started a Redis at the address in settings, whatever tests do
    with reports is kept there.
    """
    cache.clear()
    socket = settings.DATA_DIR / "run" / "redis.sock"
    if socket.exists():
        with contextlib.suppress(redis.ConnectionError), redis.Redis(unix_socket_path=str(socket)) as client:
            client.flushall()
    yield
    cache.clear()


@pytest.fixture
def viewer(db: None) -> User:
    return UserFactory(username="viewer", role=Role.VIEWER)


@pytest.fixture
def operator(db: None) -> User:
    return UserFactory(username="operator", role=Role.OPERATOR)


@pytest.fixture
def admin(db: None) -> User:
    return UserFactory(username="admin", role=Role.ADMIN)


@pytest.fixture
def local_node(db: None):  # type: ignore[no-untyped-def]
    """The node on this machine, as `prepare` makes it."""
    return NodeFactory(name="spark-1")


@pytest.fixture
def client_of() -> Callable[[User | None], Client]:
    """Return a browser logged in as a user, or as nobody."""

    def make(user: User | None = None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def key_of() -> Callable[..., str]:
    """Return a new API key of a user with the given scopes, as text."""
    from sparkweb.accounts.actor import SYSTEM
    from sparkweb.accounts.services import api_key_create

    def make(user: User, *scopes: str) -> str:
        return api_key_create(user=user, scopes=list(scopes), name="test", actor=SYSTEM)[1]

    return make


@pytest.fixture
def bearer(key_of: Callable[..., str]) -> Callable[..., Client]:
    """Return a client that sends an API key of a user with the given scopes, and no cookie."""

    def make(user: User, *scopes: str) -> Client:
        return Client(headers={"authorization": f"Bearer {key_of(user, *scopes)}"}, enforce_csrf_checks=True)

    return make
