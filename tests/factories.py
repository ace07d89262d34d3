"""Makes rows for tests, with values that an owner could have typed."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from metrics_app.models import Node
from models_app.models import Launch, LaunchAttempt, LaunchMember, ModelDefinition
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
