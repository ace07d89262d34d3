from django.urls import re_path

from sandbox_app import api_sessions, api_storage

SESSION = r"^sessions/(?P<uid>[^/]+)"
STORAGE = r"^storage/(?P<uid>[^/]+)"

urlpatterns = [
    re_path(r"^sessions/?$", api_sessions.Sessions.as_view(), name="api_sessions"),
    re_path(SESSION + r"/?$", api_sessions.Session.as_view(), name="api_session"),
    re_path(SESSION + r"/extend/?$", api_sessions.SessionExtend.as_view(), name="api_session_extend"),
    re_path(SESSION + r"/files/?$", api_sessions.SessionFiles.as_view(), name="api_session_files"),
    re_path(SESSION + r"/content/?$", api_sessions.SessionContent.as_view(), name="api_session_content"),
    re_path(SESSION + r"/folders/?$", api_sessions.SessionFolders.as_view(), name="api_session_folders"),
    re_path(STORAGE + r"/?$", api_storage.Storage.as_view(), name="compat_storage"),
    re_path(STORAGE + r"/keys/?$", api_storage.StorageKeys.as_view(), name="compat_storage_keys"),
    re_path(STORAGE + r"/files/?$", api_storage.StorageFiles.as_view(), name="compat_storage_files"),
]
