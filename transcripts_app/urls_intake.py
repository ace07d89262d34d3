from django.urls import path

from transcripts_app import (
    views_imports,
    views_keeping,
    views_nodes,
    views_purge,
    views_shares,
    views_uploads,
)

urlpatterns = [
    path("transcripts/imports/", views_imports.transcript_imports, name="transcript_imports"),
    path(
        "transcripts/imports/state/", views_imports.transcript_imports_state, name="transcript_imports_state"
    ),
    path("transcripts/imports/sources/", views_imports.transcript_source_add, name="transcript_source_add"),
    path(
        "transcripts/imports/sources/<int:number>/",
        views_imports.transcript_source_change,
        name="transcript_source_change",
    ),
    path(
        "transcripts/imports/runs/<int:number>/",
        views_imports.transcript_import_run,
        name="transcript_import_run",
    ),
    path(
        "transcripts/imports/files/<int:number>/",
        views_imports.transcript_import_file,
        name="transcript_import_file",
    ),
    path(
        "transcripts/imports/bad-lines/<int:number>/",
        views_imports.transcript_import_bad,
        name="transcript_import_bad",
    ),
    path("transcripts/upload/", views_uploads.transcript_upload, name="transcript_upload"),
    path("transcripts/upload/list/", views_uploads.transcript_upload_list, name="transcript_upload_list"),
    path("node/transcripts/sources/", views_nodes.transcript_node_sources, name="node_transcript_sources"),
    path("node/transcripts/present/", views_nodes.transcript_node_present, name="node_transcript_present"),
    path("node/transcripts/piece/", views_nodes.transcript_node_piece, name="node_transcript_piece"),
    path("transcripts/sessions/<str:key>/keep/", views_keeping.transcript_keep, name="transcript_keep"),
    path(
        "transcripts/sessions/<str:key>/keep/change/",
        views_keeping.transcript_keep_change,
        name="transcript_keep_change",
    ),
    path("transcripts/projects/<str:key>/access/", views_keeping.transcript_access, name="transcript_access"),
    path("transcripts/purge/", views_purge.transcript_purge, name="transcript_purge"),
    path(
        "transcripts/sessions/<str:key>/restore/", views_purge.transcript_restore, name="transcript_restore"
    ),
    path("shared/<str:token>/", views_shares.shared_session, name="shared_session"),
    path("transcripts/sessions/<str:key>/links/", views_shares.transcript_shares, name="transcript_shares"),
    path(
        "transcripts/sessions/<str:key>/links/<int:number>/revoke/",
        views_shares.transcript_share_revoke,
        name="transcript_share_revoke",
    ),
]
