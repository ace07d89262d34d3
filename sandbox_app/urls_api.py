from django.urls import include, path, re_path

from sandbox_app import api_execute, api_runs, api_tools
from sparkweb.api import Router

router = Router()
router.register("runs", api_runs.RunViewSet, basename="api_run")

urlpatterns = [
    re_path(r"^tools/?$", api_tools.Tools.as_view(), name="api_tools"),
    re_path(r"^tools-openai/?$", api_tools.ToolsOpenAi.as_view(), name="api_tools_openai"),
    re_path(r"^tools/(?P<name>[^/]+)/?$", api_tools.ToolDetail.as_view(), name="api_tool"),
    re_path(r"^reload/?$", api_tools.ToolsReload.as_view(), name="api_tools_reload"),
    re_path(r"^execute/(?P<tool>[^/]+)/?$", api_execute.Execute.as_view(), name="compat_execute"),
    path("", include(router.urls)),
]
