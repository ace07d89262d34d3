"""Makes rows for tests, with values that an owner could have typed."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from metrics_app.models import Node
from models_app.models import GuardianAct, Launch, LaunchAttempt, LaunchMember, ModelDefinition
from sparkweb.accounts.models import Role, User

PASSWORD = "a long test password"


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        django_get_or_create = ("username",)
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")
    role = Role.VIEWER
    password = factory.django.Password(PASSWORD)


class NodeFactory(DjangoModelFactory):
    class Meta:
        model = Node
        django_get_or_create = ("name",)

    name = factory.Sequence(lambda n: f"spark-{n + 1}")


class DefinitionFactory(DjangoModelFactory):
    class Meta:
        model = ModelDefinition

    slug = factory.Sequence(lambda n: f"model-{n}")
    name = factory.LazyAttribute(lambda it: it.slug.title())
    engine = "vllm"
    model_id = "org/model"
    port = factory.Sequence(lambda n: 8100 + n)
    estimated_memory_gb = 1


class LaunchFactory(DjangoModelFactory):
    class Meta:
        model = Launch

    definition = factory.SubFactory(DefinitionFactory)
    definition_slug = factory.SelfAttribute("definition.slug")
    engine = factory.SelfAttribute("definition.engine")
    node = factory.SubFactory(NodeFactory)
    node_name = factory.SelfAttribute("node.name")


class AttemptFactory(DjangoModelFactory):
    class Meta:
        model = LaunchAttempt

    launch = factory.SubFactory(LaunchFactory)
    number = 1
    generation = factory.SelfAttribute("launch.generation")


class MemberFactory(DjangoModelFactory):
    class Meta:
        model = LaunchMember

    attempt = factory.SubFactory(AttemptFactory)
    node = factory.SelfAttribute("attempt.launch.node")
    port = factory.SelfAttribute("attempt.launch.definition.port")
    container_name = factory.LazyAttribute(lambda it: f"sparkweb-{it.attempt.launch.definition_slug}-1")
    image = "vllm/vllm-openai:v0.11"


class GuardianActFactory(DjangoModelFactory):
    class Meta:
        model = GuardianAct

    uid = factory.Sequence(lambda n: f"{n:016x}")
    launch = factory.SubFactory(LaunchFactory)
    node = factory.SelfAttribute("launch.node")
    node_name = factory.SelfAttribute("launch.node_name")
    definition_slug = factory.SelfAttribute("launch.definition_slug")
    action = "kill"
    victim_kind = "start"
    cause = "below_floor"
    sentence = (
        "stopped by the memory guardian: 2.1 GiB of memory were available, less than the floor of 3.0 GiB. "
        "It was the newest start"
    )
    available_bytes = 2_254_857_830
    total_bytes = 130_663_940_096
    floor_bytes = 3 * 2**30
    lower_floor_bytes = 3 * 2**29
    readings = factory.LazyFunction(
        lambda: [[-2 + 0.1 * n, 7_400_000_000 - 257_000_000 * n, None] for n in range(21)]
    )
