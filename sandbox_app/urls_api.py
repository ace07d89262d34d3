from django.urls import include, path, re_path

from sandbox_app import api_audit, api_execute, api_images, api_runs, api_search, api_services, api_tools
from sparkweb.api import Router

router = Router()
router.register("runs", api_runs.RunViewSet, basename="api_run")

BUILDS = r"^sandbox-image/builds"
BUILD = BUILDS + r"/(?P<uid>[0-9a-f]{16})"

SERVICE = r"^services/(?P<name>[a-z]{1,20})/(?P<node>[a-z0-9-]{1,40})"

urlpatterns = [
    re_path(r"^tools/?$", api_tools.Tools.as_view(), name="api_tools"),
    re_path(r"^tool-audit/?$", api_audit.ToolAudit.as_view(), name="api_tool_audit"),
    re_path(r"^tool-audit/verify/?$", api_audit.ToolAuditVerify.as_view(), name="api_tool_audit_verify"),
    re_path(r"^tool-audit/accept/?$", api_audit.ToolAuditAccept.as_view(), name="api_tool_audit_accept"),
    re_path(r"^tool-audit/export/?$", api_audit.ToolAuditExport.as_view(), name="api_tool_audit_export"),
    re_path(r"^tool-audit/use/?$", api_audit.ToolAuditUse.as_view(), name="api_tool_audit_use"),
    re_path(
        r"^tool-audit/(?P<number>[0-9]+)/?$",
        api_audit.ToolAuditRecord.as_view(),
        name="api_tool_audit_record",
    ),
    re_path(r"^tools-openai/?$", api_tools.ToolsOpenAi.as_view(), name="api_tools_openai"),
    re_path(r"^tools/(?P<name>[^/]+)/?$", api_tools.ToolDetail.as_view(), name="api_tool"),
    re_path(r"^reload/?$", api_tools.ToolsReload.as_view(), name="api_tools_reload"),
    re_path(r"^execute/(?P<tool>[^/]+)/?$", api_execute.Execute.as_view(), name="compat_execute"),
    re_path(r"^sandbox-image/?$", api_images.SandboxImageView.as_view(), name="api_sandbox_image"),
    re_path(BUILDS + r"/?$", api_images.ImageBuildsView.as_view(), name="api_image_builds"),
    re_path(BUILD + r"/?$", api_images.ImageBuildView.as_view(), name="api_image_build"),
    re_path(BUILD + r"/cancel/?$", api_images.ImageBuildCancelView.as_view(), name="api_image_build_cancel"),
    re_path(r"^search/?$", api_search.Search.as_view(), name="compat_search"),
    re_path(r"^services/?$", api_services.Services.as_view(), name="api_services"),
    re_path(SERVICE + r"/log/?$", api_services.ServiceLog.as_view(), name="api_service_log"),
    re_path(
        SERVICE + r"/(?P<verb>start|restart|stop)/?$",
        api_services.ServiceChange.as_view(),
        name="api_service_change",
    ),
    path("", include(router.urls)),
]
