from django.urls import re_path

from sandbox_app import api_sessions

SESSION = r"^sessions/(?P<uid>[^/]+)"

urlpatterns = [
    re_path(r"^sessions/?$", api_sessions.Sessions.as_view(), name="api_sessions"),
    re_path(SESSION + r"/?$", api_sessions.Session.as_view(), name="api_session"),
    re_path(SESSION + r"/extend/?$", api_sessions.SessionExtend.as_view(), name="api_session_extend"),
    re_path(SESSION + r"/files/?$", api_sessions.SessionFiles.as_view(), name="api_session_files"),
    re_path(SESSION + r"/content/?$", api_sessions.SessionContent.as_view(), name="api_session_content"),
    re_path(SESSION + r"/folders/?$", api_sessions.SessionFolders.as_view(), name="api_session_folders"),
]
