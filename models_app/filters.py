"""Filters of the API's lists."""

from __future__ import annotations

from django_filters import rest_framework as filters

from models_app.models import GuardianAct, Launch, LaunchState, ModelDefinition


class DefinitionFilter(filters.FilterSet):
    """`?engine=`, `?enabled=`, `?pinned=`, and `?search=` in slug, name and model id."""

    search = filters.CharFilter(method="by_text", label="Part of slug, name or model id")

    class Meta:
        model = ModelDefinition
        fields = ["engine", "enabled", "pinned"]

    def by_text(self, rows, _name, text):  # type: ignore[no-untyped-def]
        found = rows.filter(slug__icontains=text) | rows.filter(name__icontains=text)
        return found | rows.filter(model_id__icontains=text)


class LaunchFilter(filters.FilterSet):
    """By state (several allowed), live, definition, node, engine, person, and when it was asked for."""

    state = filters.MultipleChoiceFilter(choices=LaunchState.choices)
    live = filters.BooleanFilter()
    definition = filters.CharFilter(field_name="definition_slug")
    node = filters.CharFilter(field_name="node_name")
    person = filters.CharFilter(field_name="requested_by__username", label="User name of who asked for it")
    since = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Launch
        fields = ["engine"]


class GuardianActFilter(filters.FilterSet):
    """By node, launch, definition, what was done, and when."""

    node = filters.CharFilter(field_name="node_name")
    launch = filters.CharFilter(field_name="launch__uid", label="Uid of the launch that was ended")
    definition = filters.CharFilter(field_name="definition_slug")
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = GuardianAct
        fields = ["action"]
