from django.urls import path, re_path

from sandbox_app import (
    views_audit,
    views_images,
    views_nodes,
    views_run_list,
    views_runs,
    views_services,
    views_tools,
)
from sandbox_app.mcp.views import Mcp

# A tool's own page comes last: no tool may be called like what stands before it (toolfile.RESERVED).
urlpatterns = [
    re_path(r"^mcp/?$", Mcp.as_view(), name="mcp"),
    path("node/tool-arguments/", views_nodes.tool_arguments, name="node_tool_arguments"),
    path("node/tool-folder/", views_nodes.tool_folder, name="node_tool_folder"),
    path("node/tool-artifacts/", views_nodes.tool_artifacts, name="node_tool_artifacts"),
    path("tools/", views_tools.tools, name="tools"),
    path("tools/reload/", views_tools.tools_reload, name="tools_reload"),
    path("tools/runs/", views_run_list.tool_runs, name="tool_runs"),
    path("tools/runs/<str:uid>/again/", views_run_list.tool_run_again, name="tool_run_again"),
    path("tools/runs/<str:uid>/compare/", views_run_list.tool_run_compare, name="tool_run_compare"),
    path("tools/audit/", views_audit.tool_audit, name="tool_audit"),
    path("tools/audit/state/", views_audit.tool_audit_state, name="tool_audit_state"),
    path("tools/audit/verify/", views_audit.tool_audit_verify, name="tool_audit_verify"),
    path("tools/audit/accept/", views_audit.tool_audit_accept, name="tool_audit_accept"),
    path("tools/audit/export/", views_audit.tool_audit_export, name="tool_audit_export"),
    path("tools/audit/use/", views_audit.tool_audit_use, name="tool_audit_use"),
    path("tools/audit/<int:number>/", views_audit.tool_audit_record, name="tool_audit_record"),
    path("tools/services/", views_services.tool_services, name="tool_services"),
    path("tools/services/nodes/", views_services.tool_service_list, name="tool_service_list"),
    path(
        "tools/services/<slug:name>/<slug:node>/log/",
        views_services.tool_service_log,
        name="tool_service_log",
    ),
    path(
        "tools/services/<slug:name>/<slug:node>/<slug:verb>/",
        views_services.tool_service_change,
        name="tool_service_change",
    ),
    path("tools/image/", views_images.tool_image, name="tool_image"),
    path("tools/image/nodes/", views_images.tool_image_list, name="tool_image_list"),
    path("tools/image/build/", views_images.tool_image_build, name="tool_image_build"),
    path("tools/image/builds/<slug:uid>/cancel/", views_images.tool_image_cancel, name="tool_image_cancel"),
    path("tools/runs/<str:uid>/", views_runs.tool_run, name="tool_run"),
    path("tools/runs/<str:uid>/panel/", views_runs.tool_run_panel, name="tool_run_panel"),
    path("tools/runs/<str:uid>/cancel/", views_runs.tool_run_cancel_view, name="tool_run_cancel"),
    path("tools/runs/<str:uid>/approve/", views_runs.tool_run_approve_view, name="tool_run_approve"),
    path("tools/runs/<str:uid>/deny/", views_runs.tool_run_deny_view, name="tool_run_deny"),
    path("tools/<str:name>/", views_tools.tool, name="tool"),
    path("tools/<str:name>/run/", views_tools.tool_try, name="tool_try"),
    path("tools/<str:name>/change/", views_tools.tool_change_view, name="tool_change"),
    path("tools/<str:name>/forget/", views_tools.tool_forget_view, name="tool_forget"),
]
