from django.urls import include, path, re_path

from models_app import compat
from models_app.api import CatalogueView, DefinitionViewSet, GuardianActViewSet, LaunchViewSet
from models_app.api_adoption import AdoptView
from models_app.api_changes import DefinitionChangeViewSet
from models_app.api_schedules import ScheduleViewSet, TurnViewSet
from models_app.api_storage import StorageDeleteView, StorageJobViewSet, StorageScanView, StorageView
from models_app.api_webhooks import WebhookViewSet
from sparkweb.api import Router

router = Router()
router.register("definitions", DefinitionViewSet, basename="api_definition")
router.register("definition-changes", DefinitionChangeViewSet, basename="api_change")
router.register("launches", LaunchViewSet, basename="api_launch")
router.register("schedules", ScheduleViewSet, basename="api_schedule")
router.register("turns", TurnViewSet, basename="api_turn")
router.register("guardian-acts", GuardianActViewSet, basename="api_guardian_act")
router.register("webhooks", WebhookViewSet, basename="api_webhook")
router.register("storage-jobs", StorageJobViewSet, basename="api_storage_job")

MODEL = r"^models/(?P<model>[^/]+)"

NODE = r"^nodes/(?P<name>[a-z0-9][a-z0-9-]*)/storage"

urlpatterns = [
    re_path(r"^catalogue/?$", CatalogueView.as_view(), name="api_catalogue"),
    re_path(r"^models/?$", compat.Models.as_view(), name="compat_models"),
    re_path(MODEL + r"/?$", compat.Model.as_view(), name="compat_model"),
    re_path(MODEL + r"/start/?$", compat.Start.as_view(), name="compat_model_start"),
    re_path(MODEL + r"/stop/?$", compat.Stop.as_view(), name="compat_model_stop"),
    re_path(MODEL + r"/health/?$", compat.Health.as_view(), name="compat_model_health"),
    re_path(MODEL + r"/logs/?$", compat.Logs.as_view(), name="compat_model_logs"),
    re_path(MODEL + r"/memory-check/?$", compat.MemoryCheckView.as_view(), name="compat_model_memory_check"),
    re_path(NODE + r"/?$", StorageView.as_view(), name="api_node_storage"),
    re_path(NODE + r"/scan/?$", StorageScanView.as_view(), name="api_node_storage_scan"),
    re_path(NODE + r"/delete/?$", StorageDeleteView.as_view(), name="api_node_storage_delete"),
    re_path(r"^nodes/(?P<name>[a-z0-9][a-z0-9-]*)/adopt/?$", AdoptView.as_view(), name="api_node_adopt"),
    path("", include(router.urls)),
]
