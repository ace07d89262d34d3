from django.urls import path, re_path

from metrics_app import (
    views,
    views_alert_channels,
    views_alerts,
    views_energy,
    views_fabric,
    views_history,
    views_nodes,
)
from metrics_app.views_prometheus import Scrape, ScrapeKnown

urlpatterns = [
    re_path(r"^metrics/?$", Scrape.as_view(), name="scrape"),
    re_path(r"^metrics/known/?$", ScrapeKnown.as_view(), name="scrape_known"),
    path("", views.dashboard, name="dashboard"),
    path("node/flights/", views_nodes.node_flight, name="node_flight"),
    path("energy/", views_energy.energy, name="energy"),
    path("alerts/", views_alerts.alerts, name="alerts"),
    path("alerts/firing/", views_alerts.alerts_firing_part, name="alerts_firing"),
    path("alerts/<int:pk>/acknowledge/", views_alerts.alert_acknowledge_view, name="alert_acknowledge"),
    path("alerts/silences/", views_alerts.silence_add_view, name="silence_add"),
    path("alerts/silences/<int:pk>/end/", views_alerts.silence_end_view, name="silence_end"),
    path("alerts/rules/", views_alerts.alert_rules, name="alert_rules"),
    path("alerts/rules/new/", views_alerts.alert_rule_new, name="alert_rule_new"),
    path("alerts/rules/<int:pk>/", views_alerts.alert_rule, name="alert_rule"),
    path("alerts/rules/<int:pk>/delete/", views_alerts.alert_rule_delete, name="alert_rule_delete"),
    path("alerts/channels/", views_alert_channels.alert_channels, name="alert_channels"),
    path("alerts/channels/<int:pk>/", views_alert_channels.alert_channel, name="alert_channel"),
    path(
        "alerts/channels/<int:pk>/test/", views_alert_channels.alert_channel_test, name="alert_channel_test"
    ),
    path(
        "alerts/channels/<int:pk>/delete/",
        views_alert_channels.alert_channel_delete,
        name="alert_channel_delete",
    ),
    path("fabric/", views_fabric.fabric, name="fabric"),
    path("fabric/running/", views_fabric.fabric_running, name="fabric_running"),
    path("fabric/tests/", views_fabric.fabric_test_start, name="fabric_test_start"),
    path("fabric/tests/<slug:uid>/", views_fabric.fabric_test, name="fabric_test"),
    path("nodes/", views.nodes, name="nodes"),
    path("node-new/", views.node_new, name="node_new"),
    path("nodes/<str:name>/", views.node, name="node"),
    path("nodes/<str:name>/flights/<int:pk>/", views_history.flight, name="flight"),
    path("nodes/<str:name>/history/", views_history.node_history, name="node_history"),
]
