"""What the API views of every app share: addresses, the error shape, who asks."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import exceptions as drf
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.routers import SimpleRouter

from sparkweb.accounts.actor import Actor
from sparkweb.accounts.services import actor_of


class Router(SimpleRouter):
    """Every address with and without its trailing slash: no call is redirected."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=True)
        self.trailing_slash = "/?"


class NotFound(drf.NotFound):
    """404 with a sentence of its own."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, "not_found")


class ErrorSerializer(serializers.Serializer[Any]):
    """Every refusal: one sentence for people, one word for programs."""

    error = serializers.CharField()
    code = serializers.CharField()


class NamedField(serializers.SlugRelatedField[Any]):
    """A row that is told by its name; a name with NUL is no row's, and PostgreSQL would not even look."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str) and "\0" in data:
            self.fail("does_not_exist", slug_name=self.slug_field, value=data.replace("\0", "?"))
        return super().to_internal_value(data)


REFUSALS = {
    401: OpenApiResponse(ErrorSerializer, "No session and no usable API key"),
    403: OpenApiResponse(ErrorSerializer, "The role or the key's scope does not reach"),
    404: OpenApiResponse(ErrorSerializer, "There is no such thing"),
    409: OpenApiResponse(ErrorSerializer, "It cannot be done now; the sentence says why"),
    429: OpenApiResponse(ErrorSerializer, "Too many calls; Retry-After says when to come back"),
}


def api_actor(request: Request) -> Actor:
    """Return who calls the API, for the services' audit entries."""
    return actor_of(request, "api")


def refusals(*statuses: int) -> dict[int, OpenApiResponse]:
    """Return the error answers of an endpoint for its schema; 401 and 403 are on all of them."""
    return {status: REFUSALS[status] for status in (401, 403, *statuses)}


@extend_schema(exclude=True)
class Schema(SpectacularAPIView):
    """The OpenAPI document, as YAML or (`?format=json` or by Accept) as JSON."""


class Docs(SpectacularSwaggerSplitView):
    """The documentation page: Swagger UI from the sidecar package, its script from this address."""

    url_name = "schema"
