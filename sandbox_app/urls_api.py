from django.urls import re_path

from sandbox_app import api_tools

urlpatterns = [
    re_path(r"^tools/?$", api_tools.Tools.as_view(), name="api_tools"),
    re_path(r"^tools-openai/?$", api_tools.ToolsOpenAi.as_view(), name="api_tools_openai"),
    re_path(r"^tools/(?P<name>[^/]+)/?$", api_tools.ToolDetail.as_view(), name="api_tool"),
    re_path(r"^reload/?$", api_tools.ToolsReload.as_view(), name="api_tools_reload"),
]
