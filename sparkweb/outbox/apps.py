from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "sparkweb.outbox"
    label = "outbox"
    verbose_name = "Outbox"
