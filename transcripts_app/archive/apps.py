from django.apps import AppConfig


class ArchiveConfig(AppConfig):
    name = "transcripts_app.archive"
    label = "archive"
    verbose_name = "Transcript archive"
