from django.urls import path

from transcripts_app import views_projects, views_raw, views_reading, views_sessions
from transcripts_app.urls_insight import urlpatterns as insight_urls
from transcripts_app.urls_search import urlpatterns as search_urls

SESSION = "transcripts/sessions/<str:key>/"

urlpatterns = [
    path("transcripts/", views_sessions.transcripts, name="transcripts"),
    path("transcripts/projects/", views_projects.transcript_projects, name="transcript_projects"),
    path("transcripts/projects/<str:key>/", views_projects.transcript_project, name="transcript_project"),
    path(SESSION, views_reading.transcript_session, name="transcript_session"),
    path(SESSION + "part/", views_reading.transcript_session_part, name="transcript_session_part"),
    path(SESSION + "jump/", views_reading.transcript_jump, name="transcript_jump"),
    path(SESSION + "outline/", views_reading.transcript_outline, name="transcript_outline"),
    path(SESSION + "agents/<int:file>/", views_reading.transcript_agent, name="transcript_agent"),
    path(SESSION + "records/<str:record>/", views_reading.transcript_record, name="transcript_record"),
    path(SESSION + "media/<str:uid>/<int:place>/", views_raw.transcript_media, name="transcript_media"),
    path(SESSION + "records/<str:record>/raw/", views_raw.transcript_raw, name="transcript_raw"),
    path(SESSION + "records/<str:record>/whole/", views_reading.transcript_whole, name="transcript_whole"),
    *insight_urls,
    *search_urls,
]
