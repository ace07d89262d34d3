"""Pages and calls of branches, context, files, blame and errors."""

from django.urls import path, re_path

from transcripts_app import (
    api_insight,
    views_blame,
    views_branches,
    views_context,
    views_errors,
    views_files,
)

SESSION = "transcripts/sessions/<str:key>/"
API_SESSION = r"^transcripts/sessions/(?P<key>[0-9a-z]{1,16})/"

urlpatterns = [
    path(SESSION + "branches/", views_branches.transcript_branches, name="transcript_branches"),
    path(SESSION + "context/", views_context.transcript_context, name="transcript_context"),
    path(SESSION + "files/", views_files.transcript_files, name="transcript_files"),
    path("transcripts/blame/", views_blame.transcript_blame, name="transcript_blame"),
    path("transcripts/blame/paths/", views_blame.transcript_blame_paths, name="transcript_blame_paths"),
    path("transcripts/errors/", views_errors.transcript_errors, name="transcript_errors"),
    path("transcripts/errors/<str:group>/", views_errors.transcript_error, name="transcript_error"),
]
api_urlpatterns = [
    re_path(API_SESSION + r"branches/?$", api_insight.Branches.as_view(), name="api_transcript_branches"),
    re_path(
        API_SESSION + r"branches/compare/?$", api_insight.BranchPair.as_view(),
        name="api_transcript_branch_pair",
    ),
    re_path(API_SESSION + r"context/?$", api_insight.Context.as_view(), name="api_transcript_context"),
    re_path(
        API_SESSION + r"changed-files/?$", api_insight.Files.as_view(), name="api_transcript_changed_files"
    ),
    re_path(
        API_SESSION + r"changed-files/at/?$", api_insight.FileAt.as_view(), name="api_transcript_file_at"
    ),
    re_path(r"^transcripts/blame/?$", api_insight.BlameView.as_view(), name="api_transcript_blame"),
    re_path(
        r"^transcripts/blame/paths/?$", api_insight.BlamePaths.as_view(), name="api_transcript_blame_paths"
    ),
    re_path(r"^transcripts/errors/?$", api_insight.Errors.as_view(), name="api_transcript_errors"),
    re_path(
        r"^transcripts/errors/(?P<group>[0-9a-f]{16})/?$", api_insight.ErrorGroup.as_view(),
        name="api_transcript_error",
    ),
]  # fmt: skip
