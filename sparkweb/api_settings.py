"""How the API behaves and is described: settings of Django REST framework and drf-spectacular."""

from __future__ import annotations

from sparkweb.env import env_rate

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sparkweb.accounts.authentication.ApiKeyAuthentication",
        "sparkweb.accounts.authentication.LoginSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["sparkweb.accounts.permissions.RolePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "sparkweb.paging.Pages",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "sparkweb.exceptions.api_exception_handler",
    "DEFAULT_THROTTLE_CLASSES": ["sparkweb.accounts.throttling.CallerRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "caller": env_rate("SPARKWEB_API_RATE", "1200/min", "API calls allowed for one user or key."),
    },
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SparkWeb",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": "Models, nodes and figures of your NVIDIA machines. Authenticate with a session or "
    "`Authorization: Bearer <key>`.",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": ["sparkweb.accounts.permissions.RolePermission"],
    "ENUM_NAME_OVERRIDES": {
        "SeverityEnum": "metrics_app.models_alerts.Severity",
        "NodeStatusEnum": "metrics_app.models.NodeStatus",
        "FabricTestStateEnum": "metrics_app.models_fabric.FabricTestState",
        "LaunchStateEnum": "models_app.models.LaunchState",
        "NoticeStateEnum": "sparkweb.outbox.models.NoticeState",
        "GuardianActionEnum": "models_app.models.GuardianAction",
        "StageEnum": "models_app.models.Stage",
        "StorageJobDesiredEnum": "models_app.models_storage.JobDesired",
        "DesiredEnum": "models_app.models.Desired",
        "StorageJobKindEnum": "models_app.models_storage.JobKind",
        "StorageJobStateEnum": "models_app.models_storage.JobState",
        "RunStateEnum": "sandbox_app.models.RunState",
        "RunOutcomeEnum": "sandbox_app.models.Outcome",
        "RunDesiredEnum": "sandbox_app.models.RunDesired",
        "TranscriptVisibilityEnum": "transcripts_app.models.Visibility",
        "ArchiveRequestStateEnum": "transcripts_app.models_requests.RequestState",
        "CompatStatusEnum": "models_app.serializers.COMPAT_STATUSES",
    },
}
