from django.urls import re_path

from transcripts_app import api_sessions
from transcripts_app.urls_insight import api_urlpatterns as insight_urls
from transcripts_app.urls_search import api_urlpatterns as search_urls

SESSION = r"^transcripts/sessions/(?P<key>[0-9a-z]{1,16})"

urlpatterns = [
    re_path(
        r"^transcripts/projects/?$", api_sessions.TranscriptProjects.as_view(), name="api_transcript_projects"
    ),
    re_path(
        r"^transcripts/projects/(?P<key>[0-9a-z]{1,16})/?$",
        api_sessions.TranscriptProject.as_view(),
        name="api_transcript_project",
    ),
    re_path(
        r"^transcripts/sessions/?$", api_sessions.TranscriptSessions.as_view(), name="api_transcript_sessions"
    ),
    re_path(SESSION + r"/?$", api_sessions.TranscriptSession.as_view(), name="api_transcript_session"),
    re_path(
        SESSION + r"/records/?$", api_sessions.TranscriptRecords.as_view(), name="api_transcript_records"
    ),
    re_path(
        SESSION + r"/records/(?P<record>[0-9A-Za-z-]{1,60})/?$",
        api_sessions.TranscriptRecord.as_view(),
        name="api_transcript_record",
    ),
    re_path(
        SESSION + r"/records/(?P<record>[0-9A-Za-z-]{1,60})/raw/?$",
        api_sessions.TranscriptRecordRaw.as_view(),
        name="api_transcript_record_raw",
    ),
    re_path(SESSION + r"/files/?$", api_sessions.TranscriptFiles.as_view(), name="api_transcript_files"),
    re_path(
        SESSION + r"/files/(?P<file>[0-9]{1,15})/?$",
        api_sessions.TranscriptFileBytes.as_view(),
        name="api_transcript_file",
    ),
    *insight_urls,
    *search_urls,
]
