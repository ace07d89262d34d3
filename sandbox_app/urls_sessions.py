from django.urls import path

from sandbox_app import views_session_node, views_sessions

SESSION = "tools/sessions/<str:uid>/"

urlpatterns = [
    path("node/session-files/body/", views_session_node.node_session_body, name="node_session_body"),
    path("node/session-files/answer/", views_session_node.node_session_answer, name="node_session_answer"),
    path("tools/sessions/", views_sessions.tool_sessions, name="tool_sessions"),
    path("tools/sessions/new/", views_sessions.tool_session_new, name="tool_session_new"),
    path(SESSION, views_sessions.tool_session, name="tool_session"),
    path(SESSION + "panel/", views_sessions.tool_session_panel, name="tool_session_panel"),
    path(SESSION + "extend/", views_sessions.tool_session_extend_view, name="tool_session_extend"),
    path(SESSION + "end/", views_sessions.tool_session_end_view, name="tool_session_end"),
    path(SESSION + "files/", views_sessions.tool_session_files, name="tool_session_files"),
    path(SESSION + "download/", views_sessions.tool_session_download, name="tool_session_download"),
    path(SESSION + "delete/", views_sessions.tool_session_file_delete, name="tool_session_file_delete"),
    path(SESSION + "folders/", views_sessions.tool_session_folder, name="tool_session_folder"),
]
