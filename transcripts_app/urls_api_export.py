from django.urls import re_path

from transcripts_app import api_export

EXPORT = r"^transcripts/exports/(?P<uid>[0-9a-f]{16})"
KEY = r"(?P<key>[0-9a-z]{1,16})"

urlpatterns = [
    re_path(
        r"^transcripts/exports/?$", api_export.TranscriptExports.as_view(), name="api_transcript_exports"
    ),
    re_path(EXPORT + r"/?$", api_export.TranscriptExportOne.as_view(), name="api_transcript_export"),
    re_path(
        EXPORT + r"/file/?$", api_export.TranscriptExportFile.as_view(), name="api_transcript_export_file"
    ),
    re_path(
        r"^transcripts/redaction/?$", api_export.RedactionProfiles.as_view(), name="api_redaction_profiles"
    ),
    re_path(
        r"^transcripts/redaction/(?P<name>[a-z0-9-]{1,40})/?$",
        api_export.RedactionProfileOne.as_view(),
        name="api_redaction_profile",
    ),
    re_path(
        rf"^transcripts/sessions/{KEY}/redaction/?$",
        api_export.RedactionPreview.as_view(),
        name="api_redaction_preview",
    ),
    re_path(
        rf"^transcripts/projects/{KEY}/mask/?$",
        api_export.ProjectMaskView.as_view(),
        name="api_transcript_mask",
    ),
]
