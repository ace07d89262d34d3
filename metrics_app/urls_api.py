from django.urls import include, path, re_path

from metrics_app.api import NodeViewSet
from metrics_app.api_alerts import (
    AlertChannelViewSet,
    AlertRuleViewSet,
    AlertViewSet,
    SilenceViewSet,
)
from metrics_app.api_fabric import FabricTestViewSet, FabricView
from metrics_app.compat import Containers, LogLevel, Memory, Metrics
from metrics_app.views_energy import Energy
from sparkweb.api import Router

router = Router()
router.register("nodes", NodeViewSet, basename="api_node")
router.register("alerts", AlertViewSet, basename="api_alert")
router.register("alert-rules", AlertRuleViewSet, basename="api_alert_rule")
router.register("silences", SilenceViewSet, basename="api_silence")
router.register("alert-channels", AlertChannelViewSet, basename="api_alert_channel")
router.register("fabric-tests", FabricTestViewSet, basename="api_fabric_test")

urlpatterns = [
    re_path(r"^fabric/?$", FabricView.as_view(), name="api_fabric"),
    re_path(r"^energy/?$", Energy.as_view(), name="api_energy"),
    re_path(r"^metrics/?$", Metrics.as_view(), name="compat_metrics"),
    re_path(r"^system/memory/?$", Memory.as_view(), name="compat_memory"),
    re_path(r"^containers/?$", Containers.as_view(), name="compat_containers"),
    re_path(r"^config/log-level/?$", LogLevel.as_view(), name="compat_log_level"),
    path("", include(router.urls)),
]
