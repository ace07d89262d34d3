from django.urls import re_path

from transcripts_app import api_imports, api_keeping, api_purge, api_shares, api_uploads

KEY = r"(?P<key>[0-9a-z]{1,16})"

urlpatterns = [
    re_path(
        r"^transcripts/sources/?$", api_imports.TranscriptSources.as_view(), name="api_transcript_sources"
    ),
    re_path(
        r"^transcripts/sources/(?P<number>[0-9]+)/?$",
        api_imports.TranscriptSourceDetail.as_view(),
        name="api_transcript_source",
    ),
    re_path(
        r"^transcripts/archive/?$", api_imports.TranscriptArchive.as_view(), name="api_transcript_archive"
    ),
    re_path(r"^transcripts/imports/?$", api_imports.TranscriptRuns.as_view(), name="api_transcript_imports"),
    re_path(
        r"^transcripts/imports/(?P<number>[0-9]+)/?$",
        api_imports.TranscriptRun.as_view(),
        name="api_transcript_import",
    ),
    re_path(
        r"^transcripts/imports/(?P<number>[0-9]+)/files/?$",
        api_imports.TranscriptRunFiles.as_view(),
        name="api_transcript_import_files",
    ),
    re_path(
        r"^transcripts/imported-files/(?P<number>[0-9]+)/?$",
        api_imports.TranscriptFileDetail.as_view(),
        name="api_transcript_imported_file",
    ),
    re_path(
        r"^transcripts/bad-lines/(?P<number>[0-9]+)/?$",
        api_imports.TranscriptBadLine.as_view(),
        name="api_transcript_bad_line",
    ),
    re_path(
        r"^transcripts/requests/?$", api_imports.ArchiveRequests.as_view(), name="api_transcript_requests"
    ),
    re_path(
        r"^transcripts/requests/(?P<number>[0-9]+)/?$",
        api_imports.ArchiveRequestDetail.as_view(),
        name="api_transcript_request",
    ),
    re_path(
        r"^transcripts/uploads/?$", api_uploads.TranscriptUploads.as_view(), name="api_transcript_uploads"
    ),
    re_path(
        r"^transcripts/uploads/(?P<uid>[0-9a-f]{16})/?$",
        api_uploads.TranscriptUploadDetail.as_view(),
        name="api_transcript_upload",
    ),
    re_path(
        r"^transcripts/uploads/(?P<uid>[0-9a-f]{16})/content/?$",
        api_uploads.TranscriptUploadContent.as_view(),
        name="api_transcript_upload_content",
    ),
    re_path(
        rf"^transcripts/sessions/{KEY}/keeping/?$",
        api_keeping.TranscriptKeeping.as_view(),
        name="api_transcript_keeping",
    ),
    re_path(
        rf"^transcripts/sessions/{KEY}/notes/?$",
        api_keeping.TranscriptNotes.as_view(),
        name="api_transcript_notes",
    ),
    re_path(
        rf"^transcripts/sessions/{KEY}/notes/(?P<number>[0-9]+)/?$",
        api_keeping.TranscriptNote.as_view(),
        name="api_transcript_note",
    ),
    re_path(
        rf"^transcripts/projects/{KEY}/access/?$",
        api_keeping.TranscriptAccess.as_view(),
        name="api_transcript_access",
    ),
    re_path(r"^transcripts/purge/?$", api_purge.TranscriptPurge.as_view(), name="api_transcript_purge"),
    re_path(
        rf"^transcripts/sessions/{KEY}/restore/?$",
        api_purge.TranscriptRestore.as_view(),
        name="api_transcript_restore",
    ),
    re_path(
        rf"^transcripts/sessions/{KEY}/shares/?$",
        api_shares.TranscriptShares.as_view(),
        name="api_transcript_shares",
    ),
    re_path(
        rf"^transcripts/sessions/{KEY}/shares/(?P<number>[0-9]+)/?$",
        api_shares.TranscriptShare.as_view(),
        name="api_transcript_share",
    ),
]
