"""An engine that answers as it is told, models that are ready on it, and the gateway before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from chat_app.gateway.threads import DATABASE
from models_app.models import Launch, LaunchState
from sparkweb.accounts.models import User
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory
from tests.support.gateway import RunningGateway, gateway_run
from tests.support.site import Site, site_run

ReadyMake = Callable[..., Launch]


@pytest.fixture
def engine() -> Iterator[Site]:
    with site_run() as site:
        yield site


@pytest.fixture
def ready(transactional_db: None, engine: Site) -> ReadyMake:
    """Make a model that is ready on an engine; `served` is the engine's own name for it."""

    def make(
        slug: str = "qwen", *, port: int = 0, served: str = "", state: str = LaunchState.READY
    ) -> Launch:
        definition = DefinitionFactory(slug=slug, settings={"max_model_len": 4096})
        node = NodeFactory(name=settings.NODE_NAME)
        launch = LaunchFactory(definition=definition, node=node, state=state)
        probe = {"kind": "openai", "port": port or engine.port, "model": served or slug}
        MemberFactory(attempt=AttemptFactory(launch=launch), port=port or engine.port, spec={"probe": probe})
        return launch

    return make


@pytest.fixture
def gateway(transactional_db: None) -> Iterator[RunningGateway]:
    with gateway_run() as one:
        yield one
        DATABASE.close_connections()


@pytest.fixture
def key(operator: User, key_of: Callable[..., str]) -> str:
    return key_of(operator, "use")
