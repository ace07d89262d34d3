from django.apps import AppConfig


class TranscriptsConfig(AppConfig):
    name = "transcripts_app"
    verbose_name = "Transcripts"
