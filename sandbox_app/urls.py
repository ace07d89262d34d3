from django.urls import path

from sandbox_app import views_nodes, views_tools

# A tool's own page comes last: no tool may be called like what stands before it (toolfile.RESERVED).
urlpatterns = [
    path("node/tool-arguments/", views_nodes.tool_arguments, name="node_tool_arguments"),
    path("node/tool-folder/", views_nodes.tool_folder, name="node_tool_folder"),
    path("node/tool-artifacts/", views_nodes.tool_artifacts, name="node_tool_artifacts"),
    path("tools/", views_tools.tools, name="tools"),
    path("tools/reload/", views_tools.tools_reload, name="tools_reload"),
    path("tools/<str:name>/", views_tools.tool, name="tool"),
    path("tools/<str:name>/change/", views_tools.tool_change_view, name="tool_change"),
    path("tools/<str:name>/forget/", views_tools.tool_forget_view, name="tool_forget"),
]
