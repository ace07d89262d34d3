from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "chat_app"
    verbose_name = "Chat and gateway"

    def ready(self) -> None:
        from chat_app.prometheus import usage_families
        from metrics_app import prometheus

        prometheus.SOURCES.append(usage_families)
