"""Addresses of the search, pages and API."""

from django.urls import path, re_path

from transcripts_app import api_search, views_search

SAVED = r"^transcripts/saved-searches"

urlpatterns = [
    path("transcripts/search/", views_search.transcript_search, name="transcript_search"),
    path(
        "transcripts/search/counts/", views_search.transcript_search_counts, name="transcript_search_counts"
    ),
    path(
        "transcripts/search/suggest/",
        views_search.transcript_search_suggest,
        name="transcript_search_suggest",
    ),
    path(
        "transcripts/search/recent/", views_search.transcript_search_recent, name="transcript_search_recent"
    ),
    path("transcripts/search/save/", views_search.transcript_search_save, name="transcript_search_save"),
    path(
        "transcripts/search/saved/<int:pk>/rename/",
        views_search.transcript_search_rename,
        name="transcript_search_rename",
    ),
    path(
        "transcripts/search/saved/<int:pk>/delete/",
        views_search.transcript_search_delete,
        name="transcript_search_delete",
    ),
]

api_urlpatterns = [
    re_path(
        r"^transcripts/search/?$", api_search.TranscriptSearchView.as_view(), name="api_transcript_search"
    ),
    re_path(
        r"^transcripts/search/counts/?$",
        api_search.TranscriptSearchCountsView.as_view(),
        name="api_transcript_search_counts",
    ),
    re_path(
        r"^transcripts/titles/?$", api_search.TranscriptTitlesView.as_view(), name="api_transcript_titles"
    ),
    re_path(SAVED + r"/?$", api_search.SavedSearchesView.as_view(), name="api_saved_searches"),
    re_path(SAVED + r"/(?P<number>[0-9]+)/?$", api_search.SavedSearchView.as_view(), name="api_saved_search"),
]
