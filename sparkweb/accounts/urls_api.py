from django.urls import include, path, re_path

from sparkweb.accounts.api import ApiKeyViewSet, AuditViewSet, UserViewSet, WhoAmI
from sparkweb.api import Router

router = Router()
router.register("users", UserViewSet, basename="api_user")
router.register("keys", ApiKeyViewSet, basename="api_key")
router.register("audit", AuditViewSet, basename="api_audit")

urlpatterns = [re_path(r"^me/?$", WhoAmI.as_view(), name="api_me"), path("", include(router.urls))]
