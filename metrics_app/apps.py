from django.apps import AppConfig


class MetricsConfig(AppConfig):
    name = "metrics_app"
    verbose_name = "Machines"

    def ready(self) -> None:
        from metrics_app import handlers

        handlers.register()
