from django.urls import path

from transcripts_app import views_export, views_redaction

EXPORT = "transcripts/export/"
REDACTION = "transcripts/redaction/"

urlpatterns = [
    path(EXPORT, views_export.transcript_exports, name="transcript_exports"),
    path(EXPORT + "list/", views_export.transcript_export_list, name="transcript_export_list"),
    path(EXPORT + "<str:uid>/file/", views_export.transcript_export_file, name="transcript_export_file"),
    path(
        EXPORT + "<str:uid>/cancel/", views_export.transcript_export_cancel, name="transcript_export_cancel"
    ),
    path(
        EXPORT + "<str:uid>/delete/", views_export.transcript_export_delete, name="transcript_export_delete"
    ),
    path(REDACTION, views_redaction.transcript_redaction, name="transcript_redaction"),
    path(REDACTION + "new/", views_redaction.transcript_redaction_new, name="transcript_redaction_new"),
    path(
        REDACTION + "preview/",
        views_redaction.transcript_redaction_preview,
        name="transcript_redaction_preview",
    ),
    path(
        REDACTION + "<slug:name>/",
        views_redaction.transcript_redaction_profile,
        name="transcript_redaction_profile",
    ),
    path(
        REDACTION + "<slug:name>/change/",
        views_redaction.transcript_redaction_change,
        name="transcript_redaction_change",
    ),
    path("transcripts/projects/<str:key>/mask/", views_redaction.transcript_mask, name="transcript_mask"),
    path(
        "transcripts/sessions/<str:key>/reveal/", views_redaction.transcript_reveal, name="transcript_reveal"
    ),
]
